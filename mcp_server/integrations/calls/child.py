"""The media process: takes orders as lines on stdin, tells what happens as lines on stdout, and ends when stdin does,
whatever it is doing then. Started by `door`:

    python -m mcp_server.integrations.calls.child

Two threads read and write, so that neither a parent that is slow nor one that is dead depends on the loop of the media.
"""

import asyncio
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from aiortc.exceptions import InvalidStateError

from mcp_server.domain.calls import orders
from mcp_server.integrations.calls import webrtc
from mcp_server.integrations.calls.call import Call
from mcp_server.integrations.calls.wire import LINE_BYTES_MAX, Begin, Open, Ready, packed, unpacked

BEAT_SECONDS = 1.0
UNREAD_LINES_MAX = 20_000
"""A parent that lets so much lie, minutes of everything, is taken for lost."""

ENDING_SECONDS_MAX = 1.0
"""How long it may take to say goodbye to everybody."""

log = logging.getLogger("datamcp.calls")


class Child:
    """All calls of the media process."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Calls come after the first line, which says what the operator set; `write` sends a line."""
        self._write = write
        self._begin: Begin | None = None
        self._calls: dict[str, Call] = {}

    def take(self, line: bytes) -> None:
        """Obey a line. An order for a call that is over is none: it was under way when the call ended."""
        call_id, what = unpacked(line)
        if isinstance(what, Begin):
            self._begin = what
            self._write(packed(Ready()))
        elif isinstance(what, Open):
            assert self._begin is not None
            clock = asyncio.get_running_loop().time
            self._calls[call_id] = Call(what, self._begin, lambda told: self._told(call_id, told), clock)
        elif call_id in self._calls and isinstance(what, orders.Order):
            self._calls[call_id].obey(what)

    def _told(self, call_id: str, told: orders.Told) -> None:
        self._write(packed(told, call_id))
        if isinstance(told, orders.Closed):
            self._calls.pop(call_id, None)

    async def beat(self) -> None:
        """Look after every call once a second, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BEAT_SECONDS
        while True:
            await asyncio.sleep(due - loop.time())
            late = max(0.0, loop.time() - due)
            for call in list(self._calls.values()):
                call.beat(late)
            due = loop.time() + BEAT_SECONDS

    async def close(self) -> None:
        """End every call."""
        await asyncio.gather(*(call.close("the desk ended") for call in list(self._calls.values())))


def _read(loop: asyncio.AbstractEventLoop, take: Callable[[bytes], None], ended: asyncio.Event) -> None:
    """Pass on the parent's lines; at their end, end for certain."""
    try:
        while line := sys.stdin.buffer.readline(LINE_BYTES_MAX + 1):
            loop.call_soon_threadsafe(take, line)
        loop.call_soon_threadsafe(ended.set)
    except RuntimeError:  # the loop is closed
        return
    finally:
        threading.Timer(2 * ENDING_SECONDS_MAX, os._exit, [1]).start()


def _write(lines: "queue.Queue[bytes]", out: BinaryIO) -> None:
    """Write until an empty line."""
    try:
        while line := lines.get():
            out.write(line)
            if lines.empty():
                out.flush()
    except OSError:  # nobody reads any more; stdin ends, too
        return


def _unheard(_loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """What failed in the background with nobody waiting: that a connection was lost meanwhile is no news."""
    error = told.get("exception")
    if not isinstance(error, ConnectionError | InvalidStateError):
        log.error("%s", told.get("message"), exc_info=error)


async def serve(out: BinaryIO) -> None:
    """Serve until stdin ends, or the process is told to end; lines go to `out`."""
    loop, ended, lines = asyncio.get_running_loop(), asyncio.Event(), queue.Queue[bytes](UNREAD_LINES_MAX)

    def write(line: bytes) -> None:
        try:
            lines.put_nowait(line)
        except queue.Full:
            log.error("the desk does not read; the media process ends")
            os._exit(1)

    def take(line: bytes) -> None:
        try:
            child.take(line)
        except Exception as error:
            log.error("a line of the desk was not understood", exc_info=error)

    child = Child(write)
    loop.set_exception_handler(_unheard)
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform != "win32":
            loop.add_signal_handler(number, ended.set)
    threading.Thread(target=_read, args=(loop, take, ended), daemon=True).start()
    writer = threading.Thread(target=_write, args=(lines, out), daemon=True)
    writer.start()
    beat = asyncio.create_task(child.beat())
    await ended.wait()
    beat.cancel()
    try:
        async with asyncio.timeout(ENDING_SECONDS_MAX):
            await child.close()
    except TimeoutError:
        log.error("not everybody could be told that the call ends")
    write(b"")
    writer.join(ENDING_SECONDS_MAX)


def main() -> int:
    """Run until the parent ends; it ends what it started by ending itself."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    webrtc.prepare()
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # whatever else is printed is no line of ours
        asyncio.run(serve(out))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
