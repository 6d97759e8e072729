"""The web server: uvicorn, bounded in what it takes on, and asleep while nothing comes.

A connection that brings no whole request head in time is ended, and so is one that asks no more and does not read. One
too many takes the place of the one that was silent longest; where all are being answered, it is told to come again. So
files are left for the database, and who asks is let in however many only hold connections open.
"""

import asyncio
import contextlib
from collections.abc import Generator
from email.utils import formatdate
from functools import lru_cache
from time import time
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mcp_server.kernel.going import GOING, Going

HEAD_SECONDS_MAX = 10.0
"""How long a request's head may take to arrive; what is idle between two requests is ended sooner, by uvicorn."""
UNREAD_SECONDS_MAX = 60.0
"""How long a client may read nothing of what it was answered; the system's own buffers are filled in steps."""
HEAD_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 4096
FILES_KEPT = 32
"""How many files are left for everything that is no connection."""
CONNECTS_AT_ONCE_MAX = 256
GOODBYE_SECONDS = 1
"""How long answers that are under way may take once the server ends."""
KEPT_SECONDS = 8
"""How long a connection is kept between two requests: longer than the SDK's client keeps one (5 seconds), which else
asks now and then on one that is just being closed, and is told nothing of what became of its call."""
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def room(open_files_max: int) -> tuple[int, int]:
    """How many connections a process that may open so many files takes, and how many more may knock at once: they are
    open before they can be refused."""
    free = max(open_files_max - FILES_KEPT, 2)
    at_once = min(CONNECTS_AT_ONCE_MAX, free // 2)
    return min(CONNECTIONS_MAX, free - at_once), at_once


class HeadWithBody:
    """A transport that writes the head of an answer together with the body that follows at once: each write wakes the
    client, which costs more than all else that an answer needs."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._awaits_head = True

    def write(self, data: bytes) -> None:
        """Write; a head not before this turn of the loop ends."""
        if self._awaits_head:
            self._awaits_head, self._head = False, data
            self._loop.call_soon(self._flush)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._transport.write(head + data)  # `writelines` of asyncio fails on a connection that is gone

    def close(self) -> None:
        """Close, once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more goes out."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


class _Config(uvicorn.Config):
    connections_max: int = CONNECTIONS_MAX
    """uvicorn's own limit refuses who would be the last to fit, and does not say when to come again."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    config: _Config
    _in_head = False
    _head_bytes = 0
    rests_since = 0.0
    _deadline: asyncio.TimerHandle | None = None
    _unread = 0
    """How much of the last answers the client had not read when it was last looked at."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, if there is room."""
        super().connection_made(transport)
        self._going = Going()
        self._rest()
        if len(self.connections) > self.config.connections_max and not self._take_place():
            transport.write(FULL)
            transport.close()

    def _take_place(self) -> bool:
        """End the connection that has been silent longest, if one is."""
        others = cast("set[Connection]", self.connections - {self})
        silent = [one for one in others if one.rests]
        if silent:
            longest = min(silent, key=lambda one: one.rests_since)
            longest.transport.abort()
            self.connections.discard(longest)  # it is told so only later
        return bool(silent)

    @property
    def rests(self) -> bool:
        """Whether nothing is being answered."""
        return not self.cycle or self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        self._going.gone()
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        """Take more of a request; a head that is too long ends it."""
        in_head = self._in_head
        super().data_received(data)
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """A head is whole. What its target says of the host counts, as HTTP has it, and not its header."""
        self._in_head = False
        if not self.url.startswith(b"/"):
            _, _, target = self.url.partition(b"://")
            others = [header for header in self.headers if header[0] != b"host"]
            self.headers[:] = [*others, (b"host", target.partition(b"/")[0])]
        self.scope[GOING] = self._going  # pyright: ignore[reportGeneralTypeIssues]
        self.server_state.default_headers = [_date(int(time())), *self.config.encoded_headers]
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", HeadWithBody(self.transport, self.loop))

    def on_response_complete(self) -> None:
        """What was asked is answered."""
        super().on_response_complete()
        self._rest()

    def _rest(self) -> None:
        self.rests_since = self.loop.time()
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS_MAX, self._look)

    def _look(self) -> None:
        """End it where nothing was asked for too long, and nothing of the answers was read since the last look."""
        self._deadline = None
        if not self.rests:
            return  # the end of the response begins a new rest
        left = self.rests_since + HEAD_SECONDS_MAX - self.loop.time()
        unread = self.transport.get_write_buffer_size()
        if left <= 0 and unread == self._unread:
            self.transport.abort()
            return
        if left <= 0:
            self._unread, left = unread, UNREAD_SECONDS_MAX
        self._deadline = self.loop.call_later(left, self._look)


class WebServer(uvicorn.Server):
    """Serves one application until it is told to stop."""

    config: _Config

    def __init__(self, app: Any, host: str, port: int) -> None:
        connections, at_once = room(_open_files_max())
        super().__init__(
            _Config(
                app,
                host=host,
                port=port,
                http=Connection,
                ws="none",
                log_config=None,  # it would go to stdout, which is the protocol's on stdio
                access_log=False,
                date_header=False,  # renewed by a clock that ticks; a connection says it itself
                backlog=at_once,
                proxy_headers=False,  # whoever comes from this machine could say to be anybody
                server_header=False,
                timeout_keep_alive=KEPT_SECONDS,
                timeout_graceful_shutdown=GOODBYE_SECONDS,
            )
        )
        self.config.connections_max = connections
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to others: uvicorn would raise them again, before the desk is closed."""
        yield

    async def main_loop(self) -> None:
        """Sleep; uvicorn's own looks ten times a second whether it should stop."""
        await self._stopping.wait()

    def stop(self) -> None:
        """Take nothing more, and end once what is under way is answered."""
        self.should_exit = True
        self._stopping.set()


@lru_cache(maxsize=1)
def _date(second: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(second, usegmt=True).encode()


def _open_files_max() -> int:
    """As many files as the system lets this process open; asks for more where there are few."""
    try:
        import resource
    except ImportError:  # Windows
        return CONNECTIONS_MAX + CONNECTS_AT_ONCE_MAX + FILES_KEPT
    wanted = CONNECTIONS_MAX + CONNECTS_AT_ONCE_MAX + FILES_KEPT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed
    return soft
