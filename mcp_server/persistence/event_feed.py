"""The event feed: wakes whoever waits for a change, whichever process made it.

One task reads new events from the log and hands them to listeners by aggregate type. It is woken at once by this
process's own commits and by a watcher thread for everyone else's, and rests while nobody listens. Delivery is best
effort: what must happen at least once is a task inserted in the same transaction, never a listener.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from mcp_server.persistence.event_log import SNAPSHOT, Position
from mcp_server.persistence.transaction import Row

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
    ) -> None:
        self._read_after = read_after
        self._read_end = read_end
        self._open_watcher = open_watcher
        self._listeners: set[Listener] = set()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._pump: asyncio.Task[None] | None = None
        self._watching = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.asynccontextmanager
    async def listen(self, *aggregate_types: str) -> AsyncGenerator[Listener]:
        """A listener that misses nothing committed after this is entered; it may hear of changes just before, too."""
        listener = Listener(frozenset(aggregate_types))
        async with self._starting:
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._run(await self._read_end()), name="event-feed")
            self._listeners.add(listener)
        self._watch()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._watching.clear()

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

    async def _run(self, position: Position) -> None:
        while self._listeners or self._starting.locked():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            position = await self._drain(position)

    async def _drain(self, position: Position) -> Position:
        while events := await self._read_after(position, READ_AT_ONCE):
            position = Position.of(events[-1])
            for listener in list(self._listeners):
                listener.offer(events)
        return position

    def _watch(self) -> None:
        self._watching.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch_loop, name="store-watcher", daemon=True)
            self._thread.start()

    def _watch_loop(self) -> None:
        watcher = self._open_watcher()
        while not self._stopped.is_set():
            self._watching.wait()
            if not self._stopped.is_set() and watcher.wait():
                self.wake()
        watcher.close()
