"""Locks: exclusive, waited for, with fencing numbers that rise."""

import time
from collections import defaultdict
from collections.abc import Coroutine
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Refused, Unanswered

NAMES = ("lock-0", "lock-1")
TTL_SECONDS = 2


class Held(NamedTuple):
    """A time in which somebody knew that a lock is theirs: from the answer until it let go, or until the end told."""

    fencing_token: int
    holder: str
    since: float
    until: float


class Locks(Part):
    """What was answered about locks."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.held: dict[str, list[Held]] = defaultdict(list)

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Four who want the same two locks."""
        return [self._use(f"locker-{n}") for n in range(4)]

    def has_enough(self) -> bool:
        """Each lock was held by two of them."""
        return all(len({one.holder for one in self.held[name]}) > 1 for name in NAMES)

    async def unsettled(self) -> int:
        """Locks that somebody left to their end."""
        return len((await self.fleet.surely("locks_find"))["locks"])

    async def _use(self, agent: str) -> None:
        await self.fleet.surely("agents_register", name=agent)
        while self.fleet.producing:
            name = self.fleet.chance.choice(NAMES)
            me = {"name": name, "as_agent": agent}
            try:
                answer = await self.fleet.any_seat().call(
                    "locks_acquire", **me, ttl_seconds=TTL_SECONDS, wait_seconds=1
                )
            except Unanswered:
                continue
            except Refused as refused:  # what it left to its end is what another waits for
                assert refused.code == "conflict" and "deadlock" in str(refused), refused
                continue
            if "lock" not in answer:
                continue
            lock, since = answer["lock"], time.time()
            await self.fleet.pause(0.01, 0.2)
            expires = datetime.fromisoformat(lock["expires_at"]).timestamp()
            self.held[name].append(Held(lock["fencing_token"], agent, since, min(time.time(), expires)))
            if self.fleet.chance.random() < 0.8:  # else it is left to its end
                await self._release(me, expires)

    async def _release(self, me: dict[str, Any], expires: float) -> None:
        try:
            await self.fleet.any_seat().call("locks_release", **me)
        except Unanswered:
            return
        except Refused as refused:  # it had ended before a frozen server went on
            assert refused.code in ("not_found", "permission_denied") and time.time() >= expires, refused

    async def check(self) -> None:
        """Nobody held what another held, and numbers rose with each holder."""
        for name in NAMES:
            held = sorted((one for one in self.held[name] if one.until > one.since), key=lambda one: one.since)
            for before, after in pairwise(held):
                assert before.until <= after.since or before.holder == after.holder, (name, before, after)
            numbers = [one.fencing_token for one in held]
            assert numbers == sorted(numbers), name
            assert len({(one.fencing_token, one.holder) for one in held}) == len(set(numbers)), name
            self.fleet.happened[name] = len(numbers)
