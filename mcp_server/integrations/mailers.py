"""The providers of mail by their options. A provider's module is imported when it is made, not before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mcp_server.domain.email.transport import Mailer

PORTS = {"none": 25, "starttls": 587, "tls": 465}
"""The usual port of an SMTP server, by how the connection is encrypted."""


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """Provider `file`: the folder."""

    folder: Path


@dataclass(frozen=True, slots=True)
class SmtpServerOptions:
    """Provider `smtp`: the server, and the login where it wants one."""

    host: str
    port: int | None = None
    tls: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SendGridOptions:
    """Provider `sendgrid`: the account."""

    api_key: str = field(repr=False)
    base_url: str


MailerOptions = OutboxOptions | SmtpServerOptions | SendGridOptions


class LazyMailer:
    """Opens the provider at its first use, and closes what was opened."""

    def __init__(self, make: "Callable[[], Mailer]") -> None:
        self._make = make
        self._mailer: Mailer | None = None

    def __call__(self) -> "Mailer":
        """The provider."""
        if self._mailer is None:
            self._mailer = self._make()
        return self._mailer

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._mailer is not None:
            await self._mailer.close()


def make_mailer(options: MailerOptions) -> "Mailer":
    """The provider that these options are for."""
    if isinstance(options, SmtpServerOptions):
        return _smtp(options)
    if isinstance(options, SendGridOptions):
        from mcp_server.integrations.sendgrid import SendGridMailer

        return SendGridMailer(options.api_key, options.base_url)
    from mcp_server.integrations.file_outbox import FileOutbox

    return FileOutbox(options.folder)


def _smtp(options: SmtpServerOptions) -> "Mailer":
    from mcp_server.integrations.smtp import SmtpMailer, SmtpOptions

    port = options.port or PORTS[options.tls]
    return SmtpMailer(SmtpOptions(options.host, port, options.tls, options.username, options.password))
