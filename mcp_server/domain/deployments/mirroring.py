"""What a mirror does about one key of two stores that both may change, by what was alike when it last looked.

The rule is the same for both sides: what one side alone changed goes to the other; what both changed is a conflict, and
stays as it is on both sides until one of them, having seen the other's, writes again.
"""

from typing import Literal, NamedTuple

from mcp_server.kernel.times import SECOND, Micros

SETTLES_AFTER: Micros = 120 * SECOND
"""For how long the other side may still show what was there before it was written: Cloudflare says a minute or more."""

Status = Literal["synced", "pending", "conflict", "error"]
Move = Literal["nothing", "push", "pull"]


class Known(NamedTuple):
    """What is written down of a key; each hash is of the value with its metadata, None where there is none.

    Attributes:
        status: `pending`: written to the other side, and not seen there yet.
        local: what this side held when both were looked at last.
        remote: what the other side held, or will hold once it shows what was written.
        before: what the other side held before it was written.
        pushed_at: when it was written.
        message: why not, where it is a conflict or an error.
    """

    status: Status = "synced"
    local: str | None = None
    remote: str | None = None
    before: str | None = None
    pushed_at: Micros | None = None
    message: str | None = None


class Decision(NamedTuple):
    """What is to be done, and what is known once that is done."""

    move: Move
    known: Known


def decide(known: Known, local: str | None, remote: str | None, now: Micros) -> Decision:
    """What is to be done about a key.

    Args:
        known: what is written down; of a key that is new, nothing was alike.
        local: what this side holds.
        remote: what the other side holds.
        now: the time.
    """
    if local == remote:
        return Decision("nothing", Known("synced", local, remote))
    remote = known.remote if is_echo(known, remote, now) else remote
    if local == remote:
        return Decision("nothing", known)
    is_local_new, is_remote_new = local != known.local, remote != known.remote
    if is_local_new and is_remote_new:
        return Decision("nothing", Known("conflict", local, remote, message=_CONFLICT))
    if is_local_new:
        return Decision("push", Known("pending", local, local, remote, now))
    if is_remote_new:
        return Decision("pull", Known("synced", remote, remote))
    return Decision("nothing", known)


_CONFLICT = "Both sides changed it. Look at both and write it again on one side: that one counts."


def is_echo(known: Known, remote: str | None, now: Micros) -> bool:
    """Whether the other side still shows what was there before it was written."""
    return known.pushed_at is not None and remote == known.before and now - known.pushed_at < SETTLES_AFTER
