"""What the operator set about mails."""

from dataclasses import dataclass

from mcp_server.kernel.services import Services

SENDER_DEFAULT = "DataMCPServerAgent <desk@localhost>"


@dataclass(frozen=True, slots=True)
class EmailPolicy:
    """What the operator allows.

    Attributes:
        provider: who sends.
        sender: the From address.
        allow: patterns of recipients; none allow everyone.
        per_hour: recipients within an hour at most; None for no limit.
        approvers: who is asked about a mail to somebody who is not allowed; without any it is refused.
    """

    provider: str = "file"
    sender: str = SENDER_DEFAULT
    allow: tuple[str, ...] = ()
    per_hour: int | None = None
    approvers: tuple[str, ...] = ()


def provider(services: Services) -> str:
    """Who sends mails of this process."""
    return services.option(EmailPolicy).provider
