"""The event feed: wakes whoever waits for a change, whichever process made it.

One task reads new events from the log and hands them to listeners by aggregate type. It is woken at once by this
process's own commits and by a watcher thread for everyone else's, and rests while nobody listens; who does something
from time to time rests here, too, for as long as nobody commits. A read that fails costs a delay and no event: the task
reads again from where it was. Delivery is best effort all the same: what must happen at least once is a task inserted
in the same transaction, never a listener.

Listeners hear of a change as soon as it is committed. The log that cursors go through may show it later: on PostgreSQL
only once every older transaction has ended, in whichever database, so that no commit comes in behind a cursor. Who
listens to everything, and so may read the log, hears of such a change once more then.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from mcp_server.kernel.events import SNAPSHOT
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.positions import START, Position
from mcp_server.kernel.store import Row

READ_AT_ONCE = 500
LET_GO_SECONDS = 0.02
"""How soon after a change the log is looked at for it, should it be held back; each look doubles that."""
BACKLOG_MAX = 1000
LOOK_AGAIN_SECONDS = 1.0
"""How often to look without a hint: where hints may be missed, and after one, while something is held back."""
LOOK_AGAIN_SELDOM_SECONDS = 60.0
"""The same where the watcher misses nothing."""
BREATH_SECONDS = 1.0
"""How long who has nothing urgent to do sleeps before the next commit may wake it."""


class Page(NamedTuple):
    """What is to be read next: what a mark has not seen, in several pages where it is much."""

    since: str
    upto: str = ""
    """Where this is not the first page: the mark that the first one was read by."""
    after: Position = START


class Watcher(Protocol):
    """How an engine notices other processes' commits."""

    @property
    def misses_nothing(self) -> bool:
        """Whether every commit ends a wait soon, however long nothing happened before."""
        ...

    def wait(self) -> bool:
        """Block until there may be something new; whether there may be something to read."""
        ...

    def interrupt(self) -> None:
        """End the wait that is under way, or else the next. From any thread."""
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
            await _is_set_within(self._arrived, seconds)
        events, self._events = self._events, []
        self._arrived.clear()
        return events

    def nudge(self) -> None:
        """End the wait that is under way."""
        self._arrived.set()

    def lose(self) -> None:
        """Events may have been missed."""
        self.overflowed = True
        self._arrived.set()

    @property
    def hears_everything(self) -> bool:
        """Whether it asked for no types in particular."""
        return not self._types

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
        read_since: Callable[[Page, int], Awaitable[list[Row]]],
        read_mark: Callable[[], Awaitable[Row]],
        open_watcher: Callable[[], Watcher],
        loops: Loops,
        *,
        hears_all: bool,
    ) -> None:
        self._read_since = read_since
        self._read_mark = read_mark
        self._open_watcher = open_watcher
        self._loops = loops
        self._page = Page("0")
        self._ahead: list[Row] = []
        """What was told before the log shows it."""
        self._listeners: set[Listener] = set()
        self.waits_are_over = False
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._pump: asyncio.Task[None] | None = None
        self._watching = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._hears_all = hears_all
        self._leaving: asyncio.TimerHandle | None = None
        self.commits = 0
        self._heard_at = time.monotonic()
        self._resting: set[asyncio.Event] = set()

    @contextlib.asynccontextmanager
    async def listen(self, *aggregate_types: str) -> AsyncGenerator[Listener]:
        """A listener that misses nothing committed after this is entered; it may hear of changes just before, too.

        Raises:
            OpsError: the end of the log cannot be read, and nobody listened before.
        """
        listener = Listener(frozenset(aggregate_types))
        async with self._starting:
            if self._pump is None or self._pump.done():
                self._page, self._ahead = Page((await self._read_mark())["mark"]), []
                self._pump = asyncio.create_task(self._loops.keep("event-feed", self._run), name="event-feed")
            self._listeners.add(listener)
        self._watching.set()
        self._watch()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._watching.clear()
                self._leave_soon()

    def _leave_soon(self) -> None:
        """Let the pump find out that nobody listens, should it stay so."""
        if self._leaving is None or self._leaving.when() <= self._loop.time():
            self._leaving = self._loop.call_later(LOOK_AGAIN_SECONDS, self._woken.set)

    def end_waits(self) -> None:
        """Let whoever waits for a change answer with what there is, now and from now on: the server ends."""
        self.waits_are_over = True
        for listener in self._listeners:
            listener.nudge()

    def wake(self) -> None:
        """Something was committed. Callable from any thread."""
        self.commits += 1
        self._heard_at = time.monotonic()
        if self._listeners or self._resting:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
                self._loop.call_soon_threadsafe(self._rouse)

    async def rest(self, woken: asyncio.Event, since: int, seconds: float) -> None:
        """Wait until `woken` is set, for so long at most; after a second, only while nobody commits. See `Feed`."""
        breath = 0.0 if self._is_quiet else min(seconds, BREATH_SECONDS)
        if breath and (await _is_set_within(woken, breath) or seconds <= breath or not self._hears_all):
            return
        self._watch()
        self._resting.add(woken)
        try:
            if self._misses_nothing and self.commits == since:
                await _is_set_within(woken, seconds - breath)
        finally:
            self._resting.discard(woken)

    @property
    def _misses_nothing(self) -> bool:
        return self._watcher is not None and self._watcher.misses_nothing

    @property
    def _is_quiet(self) -> bool:
        """Whether nobody committed lately: one commit more is not one of many, which would wake at each."""
        return self._misses_nothing and time.monotonic() - self._heard_at > BREATH_SECONDS

    def _rouse(self) -> None:
        self._woken.set()
        for resting in self._resting:
            resting.set()

    async def close(self) -> None:
        """Stop feeding and watching."""
        self._stopped.set()
        if self._leaving is not None:
            self._leaving.cancel()
        self._watching.set()
        if self._watcher is not None:
            self._watcher.interrupt()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _run(self) -> None:
        was_told, looks_again = True, LET_GO_SECONDS
        await self._find_its_place()
        while self._listeners or self._starting.locked():
            is_soon = was_told or not self._misses_nothing
            rest = LOOK_AGAIN_SECONDS if is_soon else LOOK_AGAIN_SELDOM_SECONDS
            was_told = await _is_set_within(self._woken, min(rest, looks_again) if self._ahead else rest)
            self._woken.clear()
            try:
                is_more = await self._drain()
                looks_again = LET_GO_SECONDS if is_more else min(looks_again * 2, LOOK_AGAIN_SECONDS)
                await self._let_go()
            except Exception:
                self._woken.set()  # what the hint was about is still unread
                raise

    async def _find_its_place(self) -> None:
        """At the beginning and after each failure. Where another server took over that had not heard of all commits, it
        gives out their numbers again: who listens is told to look, and the feed goes on from there."""
        mark = (await self._read_mark())["mark"]
        if _reach(mark) < _reach(self._page.since):
            self._page, self._ahead = Page(mark), []
            for listener in self._listeners:
                listener.lose()

    async def _drain(self) -> bool:
        """Hand on what is new; whether there was anything."""
        is_more = False
        while True:
            events = await self._read_since(self._page, READ_AT_ONCE)
            self._offer(events, self._listeners)
            self._ahead += [event for event in events if event["is_ahead"]]
            self._page = _after(self._page, events)
            is_more = is_more or bool(events)
            if len(events) < READ_AT_ONCE:
                return is_more

    async def _let_go(self) -> None:
        """Tell once more of what the log shows only now."""
        if not self._ahead:
            return
        oldest = (await self._read_mark())["oldest"]
        shown = [event for event in self._ahead if event["xid"] < oldest]
        self._ahead = [event for event in self._ahead if event["xid"] >= oldest]
        hearing = [listener for listener in self._listeners if listener.hears_everything]
        self._offer(shown, hearing)
        if len(self._ahead) > BACKLOG_MAX:
            del self._ahead[:-BACKLOG_MAX]  # who is told of the rest looks at all
            for listener in hearing:
                listener.lose()

    @staticmethod
    def _offer(events: list[Row], listeners: Iterable[Listener]) -> None:
        for listener in list(listeners) if events else ():
            listener.offer(events)

    def _watch(self) -> None:
        if self._thread is None:
            watch = ("store-watcher", self._watch_on, self._stopped)
            self._thread = threading.Thread(
                target=self._loops.keep_in_thread, args=watch, name="store-watcher", daemon=True
            )
            self._thread.start()

    def _watch_on(self) -> None:
        watcher = self._open_watcher()
        try:
            self._watcher = watcher
            self.wake()  # what was committed before it was open has no other witness
            while not self._stopped.is_set():
                if not watcher.misses_nothing:
                    self._watching.wait()
                if not self._stopped.is_set() and watcher.wait():
                    self.wake()
                    self._watching.wait(BREATH_SECONDS)  # who only rests here is in no hurry
        finally:
            self._watcher = None
            watcher.close()


def _after(page: Page, events: list[Row]) -> Page:
    if len(events) == READ_AT_ONCE:
        return Page(page.since, page.upto or events[-1]["mark"], Position.of(events[-1]))
    return Page(events[-1]["mark"] if events else page.upto or page.since)


def _reach(mark: str) -> int:
    """How far a mark has seen: an event's number, or of a snapshot (`oldest:next:open,...`) the next transaction's."""
    return int(mark.split(":")[1] if ":" in mark else mark)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    # Not wait_for: on Python 3.11 it swallows a cancellation that comes with the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    return event.is_set()
