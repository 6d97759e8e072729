"""What passes between the outbox and a provider: the mail, and what the provider made of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_server.domain.email.attachments import Attachment
from mcp_server.domain.email.model import Outcome
from mcp_server.kernel.services import Services


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it goes out. `bcc` is in no header: it stands in `recipients` only, like everyone.

    Attributes:
        answers: the message id of the mail to whose thread it belongs.
        date: microseconds UTC, when it was asked for.
    """

    id: str
    message_id: str
    date: int
    sender: str
    to: Sequence[str]
    cc: Sequence[str]
    bcc: Sequence[str]
    reply_to: str | None
    subject: str
    text: str | None
    html: str | None
    attachments: Sequence[Attachment]
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider made of a mail.

    Attributes:
        outcomes: by plain address; those it says nothing of are as before.
        retry_after_seconds: how long it asks to be left alone.
    """

    outcomes: Mapping[str, Outcome]
    retry_after_seconds: float | None = None


class Unbuildable(Exception):
    """A mail that cannot be written as a message, now or later. Nothing of it went out."""


class Mailer(Protocol):
    """A way to send mail. Safe to use from many tasks at once."""

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        """Send a mail to some of its recipients.

        Args:
            mail: what to send.
            recipients: plain addresses that have not got it yet.
            hand_over: awaited just before the content goes out, when it is written; if it raises, nothing went out.

        Returns:
            The outcome for each: `sent`, `deferred` (may succeed later), `failed`, or `unknown` (the content went out,
            and the answer was lost).

        Raises:
            Unbuildable: before anything was handed over.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


async def _nothing(services: Services, told: Mapping[str, Any]) -> str | None:
    raise AssertionError(f"nobody was told how to write of {sorted(told)}")


@dataclass(frozen=True, slots=True)
class LateWords:
    """Writes the text of a mail that is made only when it goes out, given what it is about; None where that is over.
    The composition root says which, since what it is about lies above mails."""

    write: Callable[[Services, Mapping[str, Any]], Awaitable[str | None]] = _nothing


def _nobody() -> Mailer:
    raise AssertionError("nobody was told how mails go out")


@dataclass(frozen=True, slots=True)
class MailProvider:
    """Opens this process's way to send mail at its first use; the composition root says which."""

    open: Callable[[], Mailer] = _nobody
