"""From settings to what sends mail and where its links lead."""

from collections.abc import Callable
from pathlib import Path

from mcp_server.config import Settings, default_database, secret
from mcp_server.domain.email_addresses import parse_address
from mcp_server.domain.emails import SENDER_DEFAULT, EmailPolicy
from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.mail_transport import Mailer

_PORTS = {"none": 25, "starttls": 587, "tls": 465}


class LazyMailer:
    """Opens the provider at its first use, and closes what was opened."""

    def __init__(self, make: Callable[[], Mailer]) -> None:
        self._make = make
        self._mailer: Mailer | None = None

    def __call__(self) -> Mailer:
        """The provider."""
        if self._mailer is None:
            self._mailer = self._make()
        return self._mailer

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._mailer is not None:
            await self._mailer.close()


def email_policy(settings: Settings) -> EmailPolicy:
    """What the operator allows.

    Raises:
        ValidationFailed: a setting that the provider needs is missing, or is no address.
    """
    if settings.email_provider != "file" and settings.email_from is None:
        raise ValidationFailed(f"The email provider {settings.email_provider} needs DATAMCP_EMAIL_FROM, the sender.")
    if settings.email_provider == "smtp" and settings.smtp_host is None:
        raise ValidationFailed("The email provider smtp needs DATAMCP_SMTP_HOST.")
    if settings.email_provider == "sendgrid" and _sendgrid_key(settings) is None:
        raise ValidationFailed("The email provider sendgrid needs DATAMCP_SENDGRID_API_KEY (or _FILE).")
    if settings.email_from is not None:
        parse_address(settings.email_from)
    return EmailPolicy(
        provider=settings.email_provider,
        sender=settings.email_from or SENDER_DEFAULT,
        allow=settings.email_allow,
        per_hour=settings.email_per_hour,
        approvers=settings.email_approvers,
    )


def links_base(settings: Settings) -> str | None:
    """Where a person reaches this server's pages; None where there are none."""
    if settings.public_url is not None:
        if not settings.public_url.startswith(("http://", "https://")):
            raise ValidationFailed(
                f"DATAMCP_PUBLIC_URL must begin with http:// or https://, not {settings.public_url!r}."
            )
        return settings.public_url
    if settings.console_port:
        return f"http://127.0.0.1:{settings.console_port}"
    if settings.transport != "stdio":
        return f"http://{settings.host}:{settings.port}"
    return None


def make_mailer(settings: Settings) -> Mailer:
    """The provider that the settings name; its module is imported only now."""
    if settings.email_provider == "smtp":
        from mcp_server.integrations.smtp import SmtpMailer, SmtpOptions

        return SmtpMailer(
            SmtpOptions(
                host=settings.smtp_host or "",
                port=settings.smtp_port or _PORTS[settings.smtp_tls],
                tls=settings.smtp_tls,
                username=settings.smtp_username,
                password=secret(settings.smtp_password, settings.smtp_password_file, "SMTP_PASSWORD"),
            )
        )
    if settings.email_provider == "sendgrid":
        from mcp_server.integrations.sendgrid import SendGridMailer

        return SendGridMailer(_sendgrid_key(settings) or "", settings.sendgrid_base_url)
    from mcp_server.integrations.file_outbox import FileOutbox

    return FileOutbox(outbox_folder(settings))


def outbox_folder(settings: Settings) -> Path:
    """Where provider `file` writes: beside an SQLite database, else in the user data folder."""
    if settings.email_outbox is not None:
        return settings.email_outbox
    url = settings.database_url
    beside = Path(url.removeprefix("sqlite:///")).expanduser() if url.startswith("sqlite:///") else default_database()
    return beside.parent / "outbox"


def _sendgrid_key(settings: Settings) -> str | None:
    return secret(settings.sendgrid_api_key, settings.sendgrid_api_key_file, "SENDGRID_API_KEY")
