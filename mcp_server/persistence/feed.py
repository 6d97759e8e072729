"""The event feed: wakes whoever waits for a change, whichever process made it.

One task reads new events from the log and hands them to listeners by aggregate type. It is woken at once by this
process's own commits and by a watcher thread for everyone else's, and rests while nobody listens. A read that fails
costs a delay and no event: the task reads again from where it was. Delivery is best effort all the same: what must
happen at least once is a task inserted in the same transaction, never a listener.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from mcp_server.kernel.events import SNAPSHOT
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.positions import Position
from mcp_server.kernel.store import Row

READ_AT_ONCE = 500
BACKLOG_MAX = 1000
LOOK_AGAIN_SECONDS = 1.0
"""How often to look without a hint: on PostgreSQL a commit becomes readable only when older ones have ended."""


class Watcher(Protocol):
    """How an engine notices other processes' commits."""

    def wait(self) -> bool:
        """Block for an interval; whether there may be something to read."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Listener:
    """One waiter's view of the feed: events of the types it asked for, in order."""

    def __init__(self, aggregate_types: frozenset[str]) -> None:
        self._types = aggregate_types
        self._events: list[Row] = []
        self._arrived = asyncio.Event()
        self.overflowed = False

    async def wait(self, seconds: float) -> list[Row]:
        """The events that arrived; an empty list when none did within `seconds`."""
        if not self._events:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: on Python 3.11 it swallows a cancellation that comes with the event.
                async with asyncio.timeout(max(seconds, 0)):
                    await self._arrived.wait()
        events, self._events = self._events, []
        self._arrived.clear()
        return events

    def nudge(self) -> None:
        """End the wait that is under way."""
        self._arrived.set()

    def take_overflow(self) -> bool:
        """Whether events were dropped since this was last asked."""
        overflowed, self.overflowed = self.overflowed, False
        return overflowed

    def offer(self, events: list[Row]) -> None:
        """Hand over new events. One that never takes them loses the oldest, and costs nobody else."""
        mine = [
            event
            for event in events
            if (not self._types or event["aggregate_type"] in self._types) and not event["type"].endswith(SNAPSHOT)
        ]
        if not mine:
            return
        self._events.extend(mine)
        if len(self._events) > BACKLOG_MAX:
            self.overflowed = True
            del self._events[:-BACKLOG_MAX]
        self._arrived.set()


class EventFeed:
    """The listeners, the task that feeds them and the thread that watches for them."""

    def __init__(
        self,
        read_after: Callable[[Position, int], Awaitable[list[Row]]],
        read_end: Callable[[], Awaitable[Position]],
        open_watcher: Callable[[], Watcher],
        loops: Loops,
    ) -> None:
        self._read_after = read_after
        self._read_end = read_end
        self._open_watcher = open_watcher
        self._loops = loops
        self._position = Position(0, 0)
        self._listeners: set[Listener] = set()
        self.waits_are_over = False
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._pump: asyncio.Task[None] | None = None
        self._watching = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.asynccontextmanager
    async def listen(self, *aggregate_types: str) -> AsyncGenerator[Listener]:
        """A listener that misses nothing committed after this is entered; it may hear of changes just before, too.

        Raises:
            OpsError: the end of the log cannot be read, and nobody listened before.
        """
        listener = Listener(frozenset(aggregate_types))
        async with self._starting:
            if self._pump is None or self._pump.done():
                self._position = await self._read_end()
                self._pump = asyncio.create_task(self._loops.keep("event-feed", self._run), name="event-feed")
            self._listeners.add(listener)
        self._watch()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._watching.clear()

    def end_waits(self) -> None:
        """Let whoever waits for a change answer with what there is, now and from now on: the server ends."""
        self.waits_are_over = True
        for listener in self._listeners:
            listener.nudge()

    def wake(self) -> None:
        """Something was committed. Callable from any thread."""
        if self._listeners:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
                self._loop.call_soon_threadsafe(self._woken.set)

    async def close(self) -> None:
        """Stop feeding and watching."""
        self._stopped.set()
        self._watching.set()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _run(self) -> None:
        while self._listeners or self._starting.locked():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._drain()
            except Exception:
                self._woken.set()  # what the hint was about is still unread
                raise

    async def _drain(self) -> None:
        while events := await self._read_after(self._position, READ_AT_ONCE):
            for listener in list(self._listeners):
                listener.offer(events)
            self._position = Position.of(events[-1])

    def _watch(self) -> None:
        self._watching.set()
        if self._thread is None:
            watch = ("store-watcher", self._watch_on, self._stopped)
            self._thread = threading.Thread(
                target=self._loops.keep_in_thread, args=watch, name="store-watcher", daemon=True
            )
            self._thread.start()

    def _watch_on(self) -> None:
        watcher = self._open_watcher()
        try:
            self.wake()  # what was committed before it was open has no other witness
            while not self._stopped.is_set():
                self._watching.wait()
                if not self._stopped.is_set() and watcher.wait():
                    self.wake()
        finally:
            watcher.close()
