"""SMTP through aiosmtplib: a few connections kept open, the answer of every recipient, and nothing sent twice.

The dialogue is our own up to the content, since what a broken connection means depends on where it broke: before the
content went out nothing was sent, after it nobody knows.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from mcp_server.domain.email.model import Outcome, OutcomeStatus, outcomes_for
from mcp_server.domain.email.transport import Mail, Report
from mcp_server.integrations.mime import message, needing_utf8
from mcp_server.kernel.addresses import wire_address

CONNECTIONS_MAX = 4
IDLE_SECONDS_MAX = 30.0
_START_INPUT = 354


@dataclass(frozen=True, slots=True)
class SmtpOptions:
    """Where and how to send. `password` never leaves this object."""

    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    username: str | None = None
    password: str | None = None
    timeout_seconds: float = 30.0
    tls_context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"SmtpOptions({self.host}:{self.port}, {self.tls})"


class SmtpMailer:
    """Sends through one server. See `Mailer`."""

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options
        self._idle: list[tuple[float, SMTP]] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        """Write the mail, then send it over a kept connection, or a new one where it has died meanwhile."""
        content = await asyncio.to_thread(message, mail)
        async with self._room:
            try:
                client = await self._connection(mail)
            except _Refused as refused:
                return Report(outcomes_for(recipients, refused.status, refused.code, refused.message))
            dialogue = _Dialogue(client, content, recipients, self._options.timeout_seconds)
            try:
                report = await dialogue.run(hand_over)
            except BaseException:
                client.close()
                raise
            if client.is_connected:
                self._idle.append((asyncio.get_running_loop().time(), client))
            return report

    async def close(self) -> None:
        """Say goodbye on every connection."""
        while self._idle:
            _, client = self._idle.pop()
            try:
                async with asyncio.timeout(1):
                    await client.quit()
            except (SMTPException, OSError, TimeoutError):
                client.close()

    async def _connection(self, mail: Mail) -> SMTP:
        """A connection on which MAIL FROM was accepted."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, client = self._idle.pop()
            if now - since > IDLE_SECONDS_MAX or not client.is_connected:
                client.close()
                continue
            try:
                await self._begin(client, mail)
            except (SMTPException, OSError) as error:
                if isinstance(error, SMTPResponseException) and client.is_connected:
                    raise _refused(error, "MAIL FROM") from error
                client.close()  # it died while it was idle: nothing was said yet, so a new one may say it
                continue
            return client
        client = await self._connected()
        try:
            await self._begin(client, mail)
        except (SMTPException, OSError) as error:
            client.close()
            raise _refused(error, "MAIL FROM") from error
        return client

    async def _connected(self) -> SMTP:
        options = self._options
        client = SMTP(
            hostname=options.host,
            port=options.port,
            use_tls=options.tls == "tls",
            start_tls=options.tls == "starttls",
            tls_context=options.tls_context,
            timeout=options.timeout_seconds,
        )
        step = f"connecting to {options.host}:{options.port}"
        try:
            await client.connect()
            step = "EHLO"
            if client.is_ehlo_or_helo_needed:
                await self._greet(client)
            if options.username is not None:
                step = "AUTH"
                await client.login(options.username, options.password or "")
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise _refused(error, step) from error
        return client

    @staticmethod
    async def _greet(client: SMTP) -> None:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()

    async def _begin(self, client: SMTP, mail: Mail) -> None:
        options: list[str] = []
        if international := needing_utf8(mail):
            if not client.supports_extension("smtputf8"):
                why = (
                    f"{self._options.host} knows no international addresses (no SMTPUTF8): {', '.join(international)}."
                )
                raise _Refused("failed", None, why[:500])
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        await client.mail(wire_address(mail.sender), options=options, encoding="utf-8")


class _Dialogue:
    """One mail on one connection, from the recipients to the end of the content."""

    def __init__(self, client: SMTP, content: bytes, recipients: Sequence[str], timeout_seconds: float) -> None:
        self._client = client
        self._message = content
        self._recipients = recipients
        self._timeout = timeout_seconds
        self._outcomes: dict[str, Outcome] = {}

    async def run(self, hand_over: Callable[[], Awaitable[None]]) -> Report:
        accepted = await self._name_recipients()
        if not accepted:
            await self._reset()
            return Report(self._outcomes)
        try:
            start = await self._client.execute_command(b"DATA")
            if start.code != _START_INPUT:
                raise SMTPResponseException(start.code, start.message)
        except (SMTPException, OSError) as error:
            return await self._all(accepted, _refused(error, "DATA"))
        await hand_over()
        try:
            answer = await self._content()
        except (SMTPException, OSError) as error:
            self._client.close()
            why = f"The connection broke after the content went out ({_reason(error)}): it may have been accepted."
            return Report(self._outcomes | outcomes_for(accepted, "unknown", None, why))
        if answer.code // 100 != 2:
            refused = _refused(SMTPResponseException(answer.code, answer.message), "the content")
            return await self._all(accepted, refused)
        return Report(self._outcomes | outcomes_for(accepted, "sent", answer.code, answer.message[:500]))

    async def _name_recipients(self) -> list[str]:
        accepted: list[str] = []
        for number, address in enumerate(self._recipients):
            try:
                await self._client.rcpt(wire_address(address), encoding="utf-8")
            except (SMTPException, OSError) as error:
                refused = _refused(error, "RCPT TO")
                self._outcomes[address] = Outcome(refused.status, refused.code, refused.message)
                if not self._client.is_connected:
                    rest = [*accepted, *self._recipients[number:]]
                    self._outcomes |= outcomes_for(rest, "deferred", refused.code, refused.message)
                    return []
            else:
                accepted.append(address)
        return accepted

    async def _content(self) -> aiosmtplib.SMTPResponse:
        protocol = self._client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        body = re.sub(rb"(?m)^\.", b"..", self._message)
        protocol.write(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return await protocol.read_response(timeout=self._timeout)

    async def _all(self, accepted: Sequence[str], refused: "_Refused") -> Report:
        await self._reset()
        return Report(self._outcomes | outcomes_for(accepted, refused.status, refused.code, refused.message))

    async def _reset(self) -> None:
        try:
            await self._client.rset()
        except (SMTPException, OSError):
            self._client.close()


class _Refused(Exception):
    """The server, or the way to it, said no."""

    def __init__(self, status: OutcomeStatus, code: int | None, message: str) -> None:
        self.status: OutcomeStatus = status
        self.code = code
        self.message = message
        super().__init__(message)


def _refused(error: BaseException, step: str) -> _Refused:
    """What a failure before the content means: 5xx is for good, all else may pass."""
    if isinstance(error, _Refused):
        return error
    if isinstance(error, SMTPResponseException):
        status: OutcomeStatus = "failed" if error.code // 100 == 5 else "deferred"
        return _Refused(status, error.code, f"The server answered {error.code} at {step}: {error.message[:500]}")
    untrusted = isinstance(error.__cause__ or error, ssl.SSLCertVerificationError)
    if untrusted or isinstance(error, aiosmtplib.SMTPNotSupported):
        return _Refused("failed", None, f"Refused at {step}: {_reason(error)}")
    return _Refused("deferred", None, f"Failed at {step}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:300]
