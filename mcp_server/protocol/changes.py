"""From events to the resources they change, and to the streams that asked to be told."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.store import Feed, Listener

LISTEN_SECONDS = 3600.0

EVENTS_URI = "ops://events"


def plain(uri: str) -> str:
    """A URI as the house names the resource: escapes undone, no query."""
    return unquote(uri.split("?", 1)[0])


def _events_of(aggregate_type: str) -> str:
    """The part of the event log that tells of one kind of thing: not everybody sees all of it."""
    return f"{EVENTS_URI}/{aggregate_type}"


def changed_uris(areas: Areas, events: Iterable[Mapping[str, Any]]) -> set[str]:
    """The URIs of every resource that these events changed, each once however many events there were."""
    uris: set[str] = set()
    for event in events:
        uris.add(_events_of(event["aggregate_type"]))
        uris |= areas.uris(event["aggregate_type"], event["aggregate_id"])
    return uris


def _watched(uri: str, seen: Collection[str]) -> list[str]:
    named = plain(uri)
    return [_events_of(kind) for kind in seen] if named == EVENTS_URI else [named]


class Stream:
    """What one subscriber has been told to fetch anew and not yet heard: each URI and task once, however slow it is."""

    def __init__(self) -> None:
        self.uris: set[str] = set()
        self.task_ids: set[str] = set()
        self.watched: set[str] = set()
        """What it asked to be told of."""
        self.watched_tasks: set[str] = set()
        self.is_over = False
        """Whether nothing more will be told, since the server ends."""
        self._woken = asyncio.Event()

    def end(self) -> None:
        """Tell nothing more."""
        self.is_over = True
        self._woken.set()

    def tell(self, uris: Iterable[str] = (), task_ids: Iterable[str] = ()) -> None:
        """Remember what changed."""
        self.uris.update(uris)
        self.task_ids.update(task_ids)
        self._woken.set()

    async def wait(self) -> tuple[list[str], list[str]]:
        """The URIs and task ids that changed since this was last asked; waits until there are any, or it is over."""
        await self._woken.wait()
        self._woken.clear()
        uris, task_ids = sorted(self.uris), sorted(self.task_ids)
        self.uris, self.task_ids = set(), set()
        return uris, task_ids


class ChangeHub:
    """One listener for all streams: an event is looked at once, however many subscribers there are."""

    def __init__(self, feed: Feed, areas: Areas, loops: Loops) -> None:
        self._feed = feed
        self._areas = areas
        self._loops = loops
        self._by_uri: dict[str, dict[Stream, set[str]]] = {}
        self._by_task: dict[str, dict[Stream, None]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._streams: set[Stream] = set()
        self._behind = False
        """Whether events were taken from the listener that the streams have not been told of."""

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncGenerator[Stream]:
        """A stream that misses nothing committed after this is entered."""
        stream = Stream()
        self._streams.add(stream)
        try:
            if self._pump is None or self._pump.done():
                listening = asyncio.Event()
                self._pump = asyncio.create_task(self._run(listening), name="changes")
                self._listening = listening
            await _ready(self._listening, self._pump)
            yield stream
        finally:
            self._streams.discard(stream)
            self._forget(stream)
            if not self._streams and self._pump is not None:
                self._pump.cancel()
                self._pump = None

    def watch(self, stream: Stream, uri: str, seen: Collection[str]) -> None:
        """Tell the stream when the resource changes; of the event log, by the kinds of things whose events are seen."""
        stream.watched.add(uri)
        for watched in _watched(uri, seen):
            self._by_uri.setdefault(watched, {}).setdefault(stream, set()).add(uri)

    def watch_task(self, stream: Stream, task_id: str) -> None:
        """Tell the stream when the task changes."""
        stream.watched_tasks.add(task_id)
        self._by_task.setdefault(task_id, {})[stream] = None

    def unwatch(self, stream: Stream, uri: str) -> None:
        """Tell the stream no more of the resource; one it was never told of is no mistake."""
        stream.watched.discard(uri)
        for watched in _watched(uri, self._areas.aggregates):
            uris = self._by_uri.get(watched, {}).get(stream, set())
            uris.discard(uri)
            if not uris:
                _drop(self._by_uri, watched, stream)

    def _forget(self, stream: Stream) -> None:
        for uri in list(stream.watched):
            self.unwatch(stream, uri)
        for task_id in stream.watched_tasks:
            _drop(self._by_task, task_id, stream)

    async def _run(self, listening: asyncio.Event) -> None:
        async with self._feed.listen() as listener:  # should this fail, whoever opened the first stream is told
            listening.set()
            self._behind = False
            await self._loops.keep("changes", lambda: self._pass_on(listener))

    async def _pass_on(self, listener: Listener) -> None:
        """Tell the streams what the listener hears; everything, where events were dropped or taken in vain. Once waits
        are over, end them."""
        while not self._feed.waits_are_over:
            if self._behind:
                self._tell_all()
            self._behind = False
            events = await listener.wait(LISTEN_SECONDS)
            self._behind = True
            if not listener.take_overflow():
                self._tell(events)
                self._behind = False
        for stream in self._streams:
            stream.end()

    def _tell(self, events: Iterable[Mapping[str, Any]]) -> None:
        for uri in changed_uris(self._areas, events):
            for stream, uris in self._by_uri.get(uri, {}).items():
                stream.tell(uris=uris)
        for task_id in {event["aggregate_id"] for event in events} & self._by_task.keys():
            for stream in self._by_task[task_id]:
                stream.tell(task_ids=(task_id,))

    def _tell_all(self) -> None:
        """Events were dropped: everything may have changed."""
        for streams in self._by_uri.values():
            for stream, uris in streams.items():
                stream.tell(uris=uris)
        for task_id, watching in self._by_task.items():
            for stream in watching:
                stream.tell(task_ids=(task_id,))


def _drop(places: MutableMapping[str, dict[Stream, Any]], place: str, stream: Stream) -> None:
    streams = places.get(place, {})
    streams.pop(stream, None)
    if not streams:
        places.pop(place, None)


async def _ready(listening: asyncio.Event, pump: asyncio.Task[None]) -> None:
    """Until the pump listens, or has failed: then what it failed of is raised."""
    waiting = asyncio.create_task(listening.wait())
    try:
        await asyncio.wait((waiting, pump), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if pump.done() and not pump.cancelled():
        pump.result()
