"""The deadlocks that waiting for a lock may close."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mcp_server.domain.locks.model import Claim, Holder
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.quoting import named


class Wait(NamedTuple):
    """Somebody waits for what another holds, or wants first."""

    waiter: Claim
    wanted: Claim
    held: bool = True

    def said(self) -> str:
        """Who waits for whom, for people and models."""
        how = "holds" if self.held else "wants first"
        return f"{self.waiter.said()} waits for {named(self.wanted.name)}, which {self.wanted.said()} {how}"

    def details(self) -> dict[str, str]:
        """The same as data."""
        return {"waiter": self.waiter.label, "name": self.wanted.name, "holder": self.wanted.label}


def find_deadlock(asked: Sequence[Wait], waits_of: Callable[[Holder], Iterable[Wait]]) -> list[Wait] | None:
    """The circle that one's waiting would close, or None.

    Whoever waits for a lock waits for everyone who keeps it from being granted, so any circle is one that never opens
    by itself.

    Args:
        asked: what somebody is about to wait for.
        waits_of: what another waits for already.
    """
    came_by: dict[Holder, tuple[Wait, Holder | None]] = {}
    frontier: list[Holder] = []

    def reach(waits: Iterable[Wait], waiter: Holder | None) -> None:
        for wait in waits:
            if wait.wanted.holder not in came_by:
                came_by[wait.wanted.holder] = wait, waiter
                frontier.append(wait.wanted.holder)

    reach(asked, None)
    while frontier:
        holder = frontier.pop()
        if holder == asked[0].waiter.holder:
            return _way_to(holder, came_by)
        reach(waits_of(holder), holder)
    return None


def _way_to(holder: Holder | None, came_by: Mapping[Holder, tuple[Wait, Holder | None]]) -> list[Wait]:
    way: list[Wait] = []
    while holder is not None:
        wait, holder = came_by[holder]
        way.append(wait)
    return way[::-1]


def deadlock(circle: Sequence[Wait]) -> Conflict:
    """The refusal to wait for what can never come."""
    return Conflict(
        f"Waiting would be a deadlock: {', and '.join(wait.said() for wait in circle)}.",
        next="Release what you hold with locks_release, let the others finish, and acquire all you need again in one "
        "agreed order.",
        details={"deadlock": [wait.details() for wait in circle]},
    )
