"""Named locks (reservations): requests, holds, and the deadlocks that waiting for them may close."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field

from mcp_server.kernel.arguments import Waiting
from mcp_server.kernel.errors import Conflict, InvalidTransition
from mcp_server.kernel.events import Event
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration
from mcp_server.kernel.values import Frozen, Line

LOCK_TTL_SECONDS_DEFAULT = 60
LockMode = Literal["exclusive", "shared"]


class AcquireLock(Waiting):
    """Who wants which lock, how, for how long, and how long to wait in line for it."""

    name: Line
    owner: Line = Field(description="You; by your instance_id the lock is free as soon as that instance is lost")
    mode: LockMode = "exclusive"
    ttl_seconds: float = Field(default=LOCK_TTL_SECONDS_DEFAULT, gt=0, le=7 * 86_400, allow_inf_nan=False)


class ReleaseLock(Frozen):
    """An owner gives a lock back, or keeps it for longer."""

    name: Line
    owner: Line
    fencing_token: int
    renew_seconds: float | None = Field(default=None, gt=0, le=7 * 86_400, allow_inf_nan=False)


class Hold(Record):
    """One owner's hold on a lock. The fencing token rises with each grant of the name."""

    name: str
    owner: str
    mode: LockMode
    fencing_token: int
    expires_at: Micros
    acquired_at: Micros

    @staticmethod
    def granted(request: AcquireLock, token: int, now: Micros) -> tuple["Hold", Event]:
        """A new hold."""
        expires_at = now + duration(request.ttl_seconds)
        data: dict[str, Any] = {
            "owner": request.owner,
            "mode": request.mode,
            "expires_at": expires_at,
            "acquired_at": now,
        }
        hold = Hold.adopt({"name": request.name, "fencing_token": token} | data)
        return hold, Event("lock.acquired", "lock", request.name, token, data)

    def renewed(self, seconds: float, now: Micros) -> tuple[Self, Event]:
        """The same hold, expiring later."""
        expires_at = now + duration(seconds)
        data = {"owner": self.owner, "expires_at": expires_at}
        return self.evolved({"expires_at": expires_at}), Event(
            "lock.renewed", "lock", self.name, self.fencing_token, data
        )

    def gone(self, why: Literal["released", "expired", "abandoned"]) -> Event:
        """The hold ended."""
        return Event(f"lock.{why}", "lock", self.name, self.fencing_token, {"owner": self.owner})

    def require(self, token: int) -> None:
        """Refuse a release or renewal with a token that is not this hold's.

        Raises:
            InvalidTransition: naming the current token's owner.
        """
        if token != self.fencing_token:
            raise InvalidTransition(
                f"Fencing token {token} is not the current one of lock {self.name!r}.",
                next="The hold was lost and granted again; acquire it anew with locks_acquire.",
                details={"name": self.name, "owner": self.owner, "your_token": token},
            )


def may_grant(mode: LockMode, others: Iterable[LockMode]) -> bool:
    """Whether a lock in `mode` is compatible with what others hold or wait for before it."""
    others = list(others)
    return not others or (mode == "shared" and all(other == "shared" for other in others))


class Wait(NamedTuple):
    """One owner waits for a lock that another holds."""

    waiter: str
    name: str
    holder: str


def find_deadlock(asked: Sequence[Wait], waits: Iterable[Wait]) -> list[Wait] | None:
    """The circle that one owner's waiting would close, or None.

    Whoever waits for a lock waits for everyone who holds it, so any circle is one that never opens by itself.

    Args:
        asked: what the owner is about to wait for.
        waits: who waits for whom already.
    """
    by_waiter: dict[str, list[Wait]] = {}
    for wait in waits:
        by_waiter.setdefault(wait.waiter, []).append(wait)
    paths = [[wait] for wait in asked]
    seen: set[str] = set()
    while paths:
        path = paths.pop()
        holder = path[-1].holder
        if holder == path[0].waiter:
            return path
        if holder not in seen:
            seen.add(holder)
            paths += [[*path, wait] for wait in by_waiter.get(holder, ())]
    return None


def deadlock(circle: Sequence[Wait]) -> Conflict:
    """The refusal to wait for what can never come."""
    said = ", and ".join(f"{wait.waiter!r} waits for {wait.name!r}, which {wait.holder!r} holds" for wait in circle)
    return Conflict(
        f"Waiting would be a deadlock: {said}.",
        next="Release what you hold with locks_release, let the others finish, and acquire all you need again in one "
        "agreed order.",
        details={"deadlock": [wait._asdict() for wait in circle]},
    )
