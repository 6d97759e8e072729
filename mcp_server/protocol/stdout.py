"""Stdout as MCP is written to it."""

import asyncio
import os
import queue
import select
import sys
import threading
from contextlib import suppress

import anyio

PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""POSIX: a pipe that polls writable takes this much without blocking; on Linux 4096 bytes, on macOS 512."""


class Output:
    """Stdout, written by a thread of its own where that may take long: nothing that ends the server waits for a client
    that does not read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._one_at_a_time = asyncio.Lock()
        self._free = asyncio.Event()
        self._free.set()
        self.written = 0
        """How many lines the client's end has taken."""
        self.broken = asyncio.Event()
        """Set once nobody reads any more; what is written from then on is dropped."""
        with suppress(OSError, NotImplementedError):  # a file, whose reader cannot go; Windows, where a write fails
            self._loop.add_reader(descriptor, self._look)
        threading.Thread(target=self._run, name="stdout-writer", daemon=True).start()

    @property
    def is_stuck(self) -> bool:
        """Whether a line waits for the client to read."""
        return not self._free.is_set()

    async def moves(self, seconds: float) -> None:
        """Wait until nothing is stuck any more, for so long at most."""
        with anyio.move_on_after(seconds):
            await self._free.wait()

    async def write(self, line: bytes) -> bool:
        """Write a line, once those before it are written. Whoever is cancelled meanwhile has still written it.

        Returns:
            Whether the client's end has taken all of it; else no client has read a whole line.
        """
        async with self._one_at_a_time:
            await self._free.wait()
            written = self.written
            if self.broken.is_set():
                return False
            if len(line) <= PIPE_BUF and self._is_writable():
                self._taken(_is_written(self._descriptor, line))
            else:
                self._free.clear()
                self._lines.put(line)
                await self._free.wait()
            return self.written > written

    def _run(self) -> None:
        while True:
            is_written = _is_written(self._descriptor, self._lines.get())
            try:
                self._loop.call_soon_threadsafe(self._taken, is_written)
            except RuntimeError:  # the loop has ended
                return

    def _taken(self, is_written: bool) -> None:
        self.written += is_written
        self._free.set()
        if not is_written:
            self._break()

    def _look(self) -> None:
        """The system tells of a reader that went as it tells of something to read. A terminal may have that, too."""
        looked_at = select.poll()
        looked_at.register(self._descriptor, 0)
        if looked_at.poll(0):
            self._break()
        else:
            self._loop.remove_reader(self._descriptor)

    def _break(self) -> None:
        self.broken.set()
        with suppress(NotImplementedError):
            self._loop.remove_reader(self._descriptor)

    def _is_writable(self) -> bool:
        return sys.platform != "win32" and bool(select.select([], [self._descriptor], [], 0)[1])


def _is_written(descriptor: int, data: bytes) -> bool:
    """Write all of it; False where the client has gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:
            return False
    return True
