"""What callers see of locks."""

from collections.abc import Sequence

from mcp_server.domain.locks.model import Hold
from mcp_server.kernel.times import iso
from mcp_server.kernel.views import View


class LockView(View):
    """A hold on a lock."""

    name: str
    owner: str
    mode: str
    fencing_token: int
    expires_at: str


class AcquiredLock(View):
    """The lock; or who holds it."""

    lock: LockView | None = None
    held_by: list[LockView] | None = None


class ReleasedLock(View):
    """Released, or the renewed lock."""

    released: bool | None = None
    lock: LockView | None = None


def lock_view(hold: Hold) -> LockView:
    """A hold as callers see it."""
    return LockView(
        name=hold.name,
        owner=hold.owner,
        mode=hold.mode,
        fencing_token=hold.fencing_token,
        expires_at=iso(hold.expires_at),
    )


def acquired(hold: Hold | None, others: Sequence[Hold]) -> AcquiredLock:
    """The lock; or who holds it."""
    if hold is None:
        return AcquiredLock(held_by=[lock_view(other) for other in others])
    return AcquiredLock(lock=lock_view(hold))


def released(renewed: Hold | None) -> ReleasedLock:
    """Released, or the renewed lock."""
    return ReleasedLock(released=True) if renewed is None else ReleasedLock(lock=lock_view(renewed))
