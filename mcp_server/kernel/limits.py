"""How much one caller has and does at once: the one place that counts.

Of each thing a caller has at most so many, all callers together four times that, and nobody more than half of what the
others leave: so there is room for one more, whoever came before. The local user, who needs no key, may have all.

What is held is released however it ends. How often somebody with a key may write is counted, too; the local user is
alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

from mcp_server.kernel.authority import Actor
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.rates import Rate

SHARES = 4
"""How many times what one caller may have there is for all."""


class Thing(StrEnum):
    """What is counted."""

    STREAMS = "streams"
    URIS = "uris"
    WAITS = "waits"
    SESSIONS = "sessions"
    CALLS = "calls"
    REQUESTS = "requests"
    BODY_BYTES = "body_bytes"


class _Said(NamedTuple):
    """What is said of a thing of which there is enough, what to do, and when to come again."""

    words: str
    todo: str
    retry_after_seconds: float


_SAID = {
    Thing.STREAMS: _Said("subscription streams open", "Close one, or watch more resources in one stream.", 5),
    Thing.URIS: _Said("resources watched", "Watch fewer: a list, such as ops://tasks, tells of all in it.", 5),
    Thing.WAITS: _Said("calls that wait", "Wait for several things in one call, or come again.", 5),
    Thing.SESSIONS: _Said("sessions open", "End one with DELETE, or go on in one.", 30),
    Thing.CALLS: _Said("calls under way", "Come again when some of them are answered.", 1),
    Thing.REQUESTS: _Said("requests under way", "Come again when some of them have arrived.", 1),
    Thing.BODY_BYTES: _Said("bytes of requests under way", "Come again when some of them are answered.", 1),
}


class Caller(NamedTuple):
    """Who is counted: a principal, or the address of somebody unknown; and whether it is the local user."""

    label: str
    is_local: bool = False

    @classmethod
    def of(cls, actor: Actor) -> Self:
        """The principal, whichever of its keys proved it and whoever speaks through it."""
        return cls(actor.label, actor.is_local)


@dataclass(frozen=True, slots=True)
class Most:
    """What one caller with a key may have and do.

    Attributes:
        streams: subscription streams.
        uris: resources that its streams watch together.
        uris_per_stream: resources that one stream watches.
        waits: calls that wait for something to happen.
        sessions: sessions of the eras before 2026.
        calls: calls under way; and requests over HTTP that are on the way.
        writes_per_second: writes, in the long run.
        writes_burst: writes at once.
        body_bytes: of requests over HTTP that are under way.
    """

    streams: int = 256
    uris: int = 10_000
    uris_per_stream: int = 1000
    waits: int = 128
    sessions: int = 500
    calls: int = 256
    writes_per_second: float = 2000.0
    writes_burst: int = 10_000
    body_bytes: int = 16 * 1024 * 1024

    def of(self, thing: Thing) -> int:
        """How many of a thing."""
        return self.calls if thing is Thing.REQUESTS else getattr(self, thing.value)


class Held:
    """What a caller holds of one thing. It is given back once, however often that is said."""

    def __init__(self, limits: "Limits", thing: Thing, caller: Caller, amount: int) -> None:
        self._limits = limits
        self._thing = thing
        self._caller = caller
        self._amount = amount

    def more(self, amount: int = 1) -> None:
        """Hold more.

        Raises:
            LimitExceeded: that would be too much.
        """
        self._limits.take(self._thing, self._caller, amount)
        self._amount += amount

    def less(self, amount: int = 1) -> None:
        """Give some back."""
        amount = min(amount, self._amount)
        self._limits.give_back(self._thing, self._caller, amount)
        self._amount -= amount

    def release(self) -> None:
        """Give all of it back."""
        amount, self._amount = self._amount, 0
        self._limits.give_back(self._thing, self._caller, amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.release()


def _uncounted(thing: str) -> None:
    del thing


class Limits:
    """Counts what every caller of one server has and does."""

    def __init__(
        self,
        most: Most | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nobody has anything.

        Args:
            most: what one caller may have and do.
            clock: seconds that only go on.
        """
        self.most = most = most or Most()
        self.on_refused: Callable[[str], None] = _uncounted
        """Told the name of the limit whenever somebody is refused."""
        self._each = {thing: most.of(thing) for thing in Thing}
        self._held = {thing: dict[str, int]() for thing in Thing}
        self._all = dict.fromkeys(Thing, 0)
        self._writes = Rate(most.writes_per_second, most.writes_burst, clock)

    def holding(self, thing: Thing, caller: Caller, amount: int = 1) -> Held:
        """Have so many more of a thing until what is returned is left or released.

        Raises:
            LimitExceeded: the caller, or all together, have as many as may be.
        """
        self.take(thing, caller, amount)
        return Held(self, thing, caller, amount)

    def held(self, thing: Thing) -> int:
        """How many of a thing all callers have."""
        return self._all[thing]

    def spend(self, caller: Caller, writes: int) -> None:
        """Count writes that a caller is about to make.

        Raises:
            LimitExceeded: they are too many now.
        """
        if caller.is_local:
            return
        wait = self._writes.wait(caller.label, min(writes, self.most.writes_burst))  # else it would never be due
        if wait:
            wait = max(round(wait, 2), 0.01)
            raise self._refused(
                f"{caller.label} may make {self.most.writes_per_second:g} writes a second here, and has made more.",
                f"Come again in {wait:g} seconds; several changes fit into one call.",
                {"limit": "writes_per_second", "retry_after_seconds": wait},
            )

    def require_few(self, uris: int) -> None:
        """Refuse a stream that watches too much.

        Raises:
            LimitExceeded: it would.
        """
        most = self.most.uris_per_stream
        if uris > most:
            raise self._refused(
                f"One stream watches at most {most} resources, and this one would watch {uris}.",
                _SAID[Thing.URIS].todo,
                {"limit": "uris_per_stream", "most": most},
            )

    def take(self, thing: Thing, caller: Caller, amount: int) -> None:
        """Count so many more; `holding` sees to it that they are given back.

        Raises:
            LimitExceeded: the caller, or all together, have as many as may be.
        """
        if not amount:
            return
        held, each = self._held[thing], self._each[thing]
        own = held.get(caller.label, 0)
        room = SHARES * each - (self._all[thing] - own)
        most = room if caller.is_local else min(each, (room + 1) // 2)
        if own + amount > most:
            raise self._too_many(thing, caller, own, most)
        held[caller.label] = own + amount
        self._all[thing] += amount

    def give_back(self, thing: Thing, caller: Caller, amount: int) -> None:
        """Count so many fewer, of which the caller has as many."""
        if not amount:
            return
        held = self._held[thing]
        left = held[caller.label] - amount
        self._all[thing] -= amount
        if left:
            held[caller.label] = left
        else:
            del held[caller.label]

    def _too_many(self, thing: Thing, caller: Caller, own: int, most: int) -> LimitExceeded:
        said = _SAID[thing]
        others = "" if most >= self._each[thing] else " as long as others have theirs"
        return self._refused(
            f"{caller.label} has {own} {said.words} here, and may have {max(most, 0)}{others}.",
            said.todo,
            {"limit": thing.value, "most": max(most, 0), "retry_after_seconds": said.retry_after_seconds},
        )

    def _refused(self, message: str, todo: str, details: dict[str, object]) -> LimitExceeded:
        self.on_refused(str(details["limit"]))
        return LimitExceeded(message, next=todo, details=details)
