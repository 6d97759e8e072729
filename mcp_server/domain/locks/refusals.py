"""What is said to who may not do something with a lock. Nobody is told another's fencing token."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.locks.endings import Ending
from mcp_server.domain.locks.model import Hold, ReleaseLock
from mcp_server.kernel.authority import VIA, Permission
from mcp_server.kernel.errors import LimitExceeded, NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.near import did_you_mean
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.times import Micros, iso

GLOBS_MAX = 200
"""So many globs one party may hold: each lock that anybody asks for is compared with all of them."""


def too_many_globs(speaker: str) -> LimitExceeded:
    """The refusal of one glob more."""
    return LimitExceeded(
        f"{speaker} holds {GLOBS_MAX} globs already, and every lock that anybody asks for is compared with them.",
        next="Nothing was acquired. Release some with locks_release, or take one that means them all, such as src/**.",
        details={"globs_max": GLOBS_MAX},
    )


def not_held(command: ReleaseLock, holds: Sequence[Hold], speaker: str, now: Micros, ending: Ending | None) -> OpsError:
    """The refusal to end or renew what others hold; with how the speaker's own hold ended, where it had one, and as
    whom the speaker would have to speak that is a principal."""
    how = "" if ending is None else f"{ending.said()} "
    how += "".join(
        f"You speak as {speaker} here: as_agent={quoted(name)} is its holder. " for name in _of(speaker, holds)
    )
    return PermissionDenied(
        f"{_not_yours(command)} the lock {named(command.name)}: {'; '.join(hold.said(now) for hold in holds)}.",
        next=f"{how}Wait for it with locks_acquire(wait_seconds=...), or ask its holder; force=true needs the "
        f"permission {Permission.LOCKS_CONTROL.value}.",
        details=_whose(command, speaker) | {"held_by": [held(hold) for hold in holds]} | _ended(ending),
    )


def _of(speaker: str, holds: Sequence[Hold]) -> list[str]:
    """The agents among holders that spoke through a principal which speaks as itself now."""
    found = [hold.speaker.removeprefix("agent:").partition(VIA) for hold in holds]
    return [name for name, _, principal in found if principal == speaker][:1]


def nobody_holds(
    command: ReleaseLock, speaker: str, *, ended: bool, ending: Ending | None = None, alike: Sequence[str] = ()
) -> NotFound:
    """The refusal to end or renew what nobody holds.

    Args:
        command: what was asked for.
        speaker: who asked.
        ended: whether somebody held it before.
        ending: how the speaker's own hold ended, where that is known.
        alike: names of locks that are held and look like this one.
    """
    return NotFound(
        f"{_not_yours(command)} the lock {named(command.name)}; nobody does.",
        next=_never_so(alike) if not ended else _so_before(ending),
        details=_whose(command, speaker) | _ended(ending),
    )


def _never_so(alike: Sequence[str]) -> str:
    why = f"There never was a lock of that very name. {did_you_mean(alike)}".strip()
    return f"{why} locks_find(agent_id=...) shows what an agent holds; locks_acquire takes it."


def _so_before(ending: Ending | None) -> str:
    if ending is not None:
        return f"{ending.said()} locks_acquire takes it again."
    why = "It was released or has expired; or its holder's instance was lost, which frees what is held under its id."
    return f"{why} locks_find(agent_id=...) shows what an agent holds; locks_acquire takes it again."


def _ended(ending: Ending | None) -> dict[str, Any]:
    return {} if ending is None else {"ended": ending.told()}


def _not_yours(command: ReleaseLock) -> str:
    return f"{named(command.owner)} does not hold" if command.owner else "You do not hold"


def _whose(command: ReleaseLock, speaker: str) -> dict[str, Any]:
    return {"name": command.name, "owner": command.owner or speaker}


def which(command: ReleaseLock, holds: Sequence[Hold]) -> ValidationFailed:
    """The question which of several holds is meant."""
    labels = [hold.owner or hold.speaker for hold in holds]
    return ValidationFailed(
        f"Several holds on {named(command.name)} could be meant: of {', '.join(map(named, labels))}.",
        next="Call again with owner: one of these.",
        details={"name": command.name, "owners": labels},
    )


def not_your_label(owner: str, speaker: str, whose: str) -> PermissionDenied:
    """The refusal of a label that is another agent's name, id or instance, or another speaker's label."""
    return PermissionDenied(
        f"{speaker} cannot hold a lock as {named(owner)}: that is {whose}.",
        next="Leave owner out to hold it yourself, or give a label of your own.",
        details={"owner": owner, "speaker": speaker},
    )


def no_force(speaker: str) -> PermissionDenied:
    """The refusal to touch another's lock."""
    return PermissionDenied(
        f"{speaker} lacks the permission {Permission.LOCKS_CONTROL.value}, which force=true needs.",
        next="Wait for the lock, or ask its holder or the operator of this server.",
        details={"permission": Permission.LOCKS_CONTROL.value},
    )


def held(hold: Hold) -> dict[str, str]:
    """Who holds a lock, as data."""
    return {"speaker": hold.speaker, "mode": hold.mode, "expires_at": iso(hold.expires_at)}
