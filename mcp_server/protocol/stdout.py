"""Stdout as MCP is written to it."""

import asyncio
import os
import queue
import select
import sys
import threading

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
        threading.Thread(target=self._run, name="stdout-writer", daemon=True).start()

    @property
    def is_stuck(self) -> bool:
        """Whether a line waits for the client to read."""
        return not self._free.is_set()

    async def moves(self, seconds: float) -> None:
        """Wait until nothing is stuck any more, for so long at most."""
        with anyio.move_on_after(seconds):
            await self._free.wait()

    async def write(self, line: bytes) -> None:
        """Write a line, once those before it are written. Whoever is cancelled meanwhile has still written it."""
        async with self._one_at_a_time:
            await self._free.wait()
            if len(line) <= PIPE_BUF and self._is_writable():
                _write_all(self._descriptor, line)
                self.written += 1
            else:
                self._free.clear()
                self._lines.put(line)
                await self._free.wait()

    def _run(self) -> None:
        while True:
            _write_all(self._descriptor, self._lines.get())
            try:
                self._loop.call_soon_threadsafe(self._taken)
            except RuntimeError:  # the loop has ended
                return

    def _taken(self) -> None:
        self.written += 1
        self._free.set()

    def _is_writable(self) -> bool:
        return sys.platform != "win32" and bool(select.select([], [self._descriptor], [], 0)[1])


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:  # the client has gone; stdin will end too
            return
