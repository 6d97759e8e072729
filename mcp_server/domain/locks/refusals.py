"""What is said to who may not do something with a lock. Nobody is told another's fencing token."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.locks.model import Hold, ReleaseLock
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.times import Micros, iso


def not_held(command: ReleaseLock, holds: Sequence[Hold], speaker: str, now: Micros) -> OpsError:
    """The refusal to end or renew what the caller does not hold."""
    details: dict[str, Any] = {"name": command.name, "owner": command.owner or speaker}
    lost = f"{command.owner!r} does not hold" if command.owner else "You do not hold"
    if not holds:
        return NotFound(
            f"{lost} the lock {command.name!r}; nobody does.",
            next="It was never acquired by that very name, or was released or has expired. locks_find(agent_id=...) "
            "shows what an agent holds; locks_acquire takes it (again).",
            details=details,
        )
    return PermissionDenied(
        f"{lost} the lock {command.name!r}: {'; '.join(hold.said(now) for hold in holds)}.",
        next="Wait for it with locks_acquire(wait_seconds=...), or ask its holder; force=true takes the permission "
        f"{Permission.LOCKS_CONTROL.value}.",
        details=details | {"held_by": [held(hold) for hold in holds]},
    )


def which(command: ReleaseLock, holds: Sequence[Hold]) -> ValidationFailed:
    """The question which of several holds is meant."""
    labels = [hold.owner or hold.speaker for hold in holds]
    return ValidationFailed(
        f"Several holds on {command.name!r} could be meant: of {', '.join(map(repr, labels))}.",
        next="Call again with owner: one of these.",
        details={"name": command.name, "owners": labels},
    )


def not_your_label(owner: str, speaker: str, agent: str) -> PermissionDenied:
    """The refusal of a label that is another agent's name, id or instance."""
    return PermissionDenied(
        f"{speaker} cannot hold a lock as {owner!r}: that is the agent {agent}.",
        next="Leave owner out to hold it yourself, or give a label of your own.",
        details={"owner": owner, "speaker": speaker},
    )


def no_force(speaker: str) -> PermissionDenied:
    """The refusal to touch another's lock."""
    return PermissionDenied(
        f"{speaker} lacks the permission {Permission.LOCKS_CONTROL.value}, which force=true takes.",
        next="Wait for the lock, or ask its holder or the operator of this server.",
        details={"permission": Permission.LOCKS_CONTROL.value},
    )


def held(hold: Hold) -> dict[str, str]:
    """Who holds a lock, as data."""
    return {"speaker": hold.speaker, "mode": hold.mode, "expires_at": iso(hold.expires_at)}
