"""SMTP servers for tests: a real one (aiosmtpd), and one that breaks at a given step."""

import asyncio
import contextlib
import datetime
import email
import email.policy
import re
import ssl
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import free_port


@dataclass
class Accepted:
    """One mail as the server got it."""

    sender: str
    recipients: list[str]
    raw: bytes
    user: str | None = None

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)  # type: ignore[return-value]


@dataclass
class Mailbox:
    """What a server accepted, and over how many connections."""

    mails: list[Accepted] = field(default_factory=list)
    connections: int = 0
    seconds: float = 0.0
    """How long it thinks about each recipient, before it keeps a content, and again before it says so."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: Any) -> Any:
        session.host_name = hostname
        with self.lock:
            self.connections += 1
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        await asyncio.sleep(self.seconds)
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("busy@"):
            return "451 4.3.0 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        user = session.auth_data.login.decode() if session.auth_data else None
        content = envelope.content if isinstance(envelope.content, bytes) else envelope.content.encode("ascii")
        await asyncio.sleep(self.seconds)
        with self.lock:
            self.mails.append(Accepted(envelope.mail_from, list(envelope.rcpt_tos), content, user))
        await asyncio.sleep(self.seconds)
        return "250 2.0.0 queued"


@contextmanager
def smtp_server(seconds: float = 0.0, **options: Any) -> Generator[tuple[Mailbox, int]]:
    """A real SMTP server on loopback in a thread of its own; its mailbox and port."""
    mailbox = Mailbox(seconds=seconds)
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **{"enable_SMTPUTF8": True} | options)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"desk", b"s3cret")
    return AuthResult(success=right, handled=False, auth_data=data)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for localhost: the server's context, and that of a client which trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))


class BreakingServer:
    """Speaks SMTP, and at one step answers something else, hangs up or says nothing.

    `breaks` maps a step (connect, EHLO, MAIL, RCPT, DATA, content, RSET) to what happens: an answer such as
    `451 later`, `hang up`, or `stall`. `accepted` counts contents that it kept.
    """

    def __init__(self, breaks: dict[str, str], content_seconds: float = 0.0) -> None:
        self.breaks = breaks
        self.content_seconds = content_seconds
        self.accepted = 0
        self.message_ids: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, EOFError):
                await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._answer(writer, "connect", "220 ready"):
            return
        while line := await reader.readline():
            verb = line.split()[0].upper().decode()
            usual = {"EHLO": "250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye"}.get(verb, "250 ok")
            if not await self._answer(writer, verb, usual):
                return
            if verb == "DATA" and "DATA" not in self.breaks:
                content = await reader.readuntil(b"\r\n.\r\n")
                if not self.breaks.get("content", "").startswith(("4", "5")):
                    self.accepted += 1
                    self.message_ids += re.findall(r"(?m)^Message-ID: (\S+)", content.decode("utf-8", "replace"))
                await asyncio.sleep(self.content_seconds)
                if not await self._answer(writer, "content", "250 queued"):
                    return

    async def _answer(self, writer: asyncio.StreamWriter, step: str, usual: str) -> bool:
        what = self.breaks.get(step, usual)
        if what == "stall":
            await asyncio.sleep(3600)
        if what == "hang up":
            return False
        writer.write(f"{what}\r\n".encode())
        await writer.drain()
        return True


@asynccontextmanager
async def breaking_server(*, content_seconds: float = 0.0, **breaks: str) -> AsyncGenerator[tuple[BreakingServer, int]]:
    """A server that breaks, or takes its time over each content; and its port."""
    broken = BreakingServer(breaks, content_seconds)
    server = await asyncio.start_server(broken.serve, "127.0.0.1", 0)
    try:
        yield broken, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in asyncio.all_tasks():
            if "BreakingServer.serve" in repr(task.get_coro()):
                task.cancel()
        await asyncio.sleep(0)
