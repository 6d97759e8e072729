"""What callers see of locks. A fencing token is shown to its holder, and to who may speak as an agent and asks
what that holds; never to who is kept out."""

from collections.abc import Sequence

from mcp_server.domain.agents.signs import Sign
from mcp_server.domain.locks.model import Claim, Hold
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros, iso, iso_or_none
from mcp_server.kernel.views import View


class LockView(View):
    """A hold on a lock: its owner, and who speaks where that is a label of somebody's; of another's, when that was last
    heard of, and until when it has to be heard of again or the lock is free. Of one
    just acquired or renewed: whether it lasts no longer than it did, the hold in another mode that ended for it, and
    for whom it was renewed."""

    name: str
    owner: str
    speaker: str | None = None
    mode: str
    fencing_token: int | None = None
    since: str | None = None
    expires_at: str
    seconds_left: int
    last_seen_seconds_ago: int | None = None
    free_if_silent_until: str | None = None
    unchanged: bool | None = None
    instead_of: str | None = None
    renewed_for: str | None = None


class PlaceView(View):
    """A place in line."""

    name: str
    owner: str
    speaker: str | None = None
    mode: str
    since: str | None = None


class LineView(View):
    """A lock: who holds it, and who waits for it, in order."""

    name: str
    holders: list[LockView]
    line: list[PlaceView]


class AcquiredLock(View):
    """The lock, and which other may be of the same file; or who holds it (some of them, where `more` do), and who waits
    before."""

    lock: LockView | None = None
    held_by: list[LockView] | None = None
    more: bool | None = None
    line: list[PlaceView] | None = None
    warnings: list[str] | None = None


class ReleasedLock(View):
    """Released, what that was, and whom it was taken from by force; or the lock, renewed or handed over, and then the
    label under which it was held."""

    released: bool | None = None
    was: str | None = None
    forced_from: str | None = None
    lock: LockView | None = None
    handed_to: str | None = None


class FoundLocks(View):
    """Locks by name; of one name that was asked for, whether nobody holds it, nor what keeps others out of it, nor
    waits for it."""

    locks: list[LineView]
    free: bool | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None


def lock_view(hold: Hold, now: Micros, *, with_token: bool, is_new: bool = False, sign: Sign | None = None) -> LockView:
    """A hold, with its token where the caller may speak as its holder.

    Args:
        hold: it.
        now: the current time.
        with_token: whether the token is shown.
        is_new: whether its holder has it since now, which it knows.
        sign: the holder's last sign of life, where that is shown and known.
    """
    return LockView(
        name=hold.name,
        owner=hold.owner or hold.speaker,
        speaker=hold.speaker if hold.owner else None,
        mode=hold.mode,
        fencing_token=hold.fencing_token if with_token else None,
        since=None if is_new else iso(hold.acquired_at),
        expires_at=iso(hold.expires_at),
        seconds_left=max(0, round((hold.expires_at - now) / SECOND)),
        last_seen_seconds_ago=None if sign is None else sign.seconds_ago(now),
        free_if_silent_until=iso_or_none(None if sign is None else sign.lost_after),
    )


def wanted_view(claim: Claim) -> PlaceView:
    """What somebody waits for before the caller."""
    speaker = claim.speaker if claim.holder.owner else None
    return PlaceView(name=claim.name, owner=claim.label, speaker=speaker, mode=claim.mode)


def line_view(name: str, holds: Sequence[LockView], places: Sequence[Row]) -> LineView:
    """A lock with its holders and its line."""
    line = [
        PlaceView(
            name=name,
            owner=row["owner"] or row["speaker"],
            speaker=row["speaker"] if row["owner"] else None,
            mode=row["mode"],
            since=iso(row["since"]),
        )
        for row in places
    ]
    return LineView(name=name, holders=list(holds), line=line)
