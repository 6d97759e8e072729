"""Arguments of which each is accepted and all together are not: the refusal says what to leave out or to add, so that
the call that would do can be shown."""

from datetime import datetime
from typing import Any, Final

from mcp_server.kernel.errors import ValidationFailed

CHANGE: Final = "change"
SURE: Final = "is_sure"
UNCLEAR: Final = "is_unclear"
LIKE: Final[Any] = ...
"""Stands for whatever would do at an argument."""


def not_together(message: str, *, next: str = "", **change: Any) -> ValidationFailed:  # noqa: A002
    """The refusal of arguments that do not go together.

    Args:
        message: what is wrong.
        next: what to do.
        change: for arguments by their names: None for one to leave out, `LIKE` for one to add, or its value.
    """
    return ValidationFailed(message, next=next, details={CHANGE: change})


def require_span(since: datetime | None, until: datetime | None) -> None:
    """Refuse two times between which nothing can lie.

    Raises:
        ValidationFailed: with the two the other way round.
    """
    if since is not None and until is not None and since > until:
        raise not_together(
            "`since` is later than `until`, so nothing can lie between them.",
            since=until.isoformat(),
            until=since.isoformat(),
        )


def meant(message: str, **change: Any) -> ValidationFailed:
    """The refusal of arguments of which it is known what was meant: they are shown as the call to send.

    Args:
        message: what is wrong.
        change: for arguments by their names: None for one to leave out, or its value.
    """
    return ValidationFailed(message, details={CHANGE: change, SURE: True})


def unclear(message: str, *, next: str = "") -> ValidationFailed:  # noqa: A002
    """The refusal of a value in whose place none is made up: it names one of several things, and only the caller knows
    which."""
    return ValidationFailed(message, next=next, details={UNCLEAR: True})
