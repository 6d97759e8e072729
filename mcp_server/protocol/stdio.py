"""MCP over stdin and stdout.

The SDK's own stdio transport reads in a thread that cannot be cancelled, so a server waiting for input would outlive
SIGTERM. Here a daemon thread reads the raw descriptor, so the event loop can leave at any time; and answers under way
when stdin ends are still sent, so that `server < requests` works.
While serving, file descriptor 0 is empty and 1 is stderr, so that stray prints cannot corrupt the protocol.
"""

import asyncio
import os
import select
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp.server.lowlevel import Server
from mcp.shared._context_streams import ContextReceiveStream, ContextSendStream, create_context_streams
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST

from mcp_server.kernel.json_text import dump_json
from mcp_server.protocol.wire import WireError, parse

READ_BYTES = 1 << 16
CHUNKS_AHEAD_MAX = 16
LINE_BYTES_MAX = 16 * 1024 * 1024
PIPE_BUF = 4096
"""POSIX: a pipe that polls writable takes this much without blocking."""

Incoming = SessionMessage | Exception
FINISH_SECONDS = 1.0
"""How long answers under way may take once stdin has ended."""


async def serve_stdio(server: Server[Any], stop: anyio.Event) -> None:
    """Serve one client until stdin ends or `stop` is set."""
    with _own_descriptors() as (stdin, stdout):
        connection = _Connection(stdin, stdout)
        async with anyio.create_task_group() as group:

            async def stopper() -> None:
                await stop.wait()
                group.cancel_scope.cancel()

            group.start_soon(stopper)
            read_stream, write_stream = connection.open(group)
            await server.run(read_stream, write_stream, server.create_initialization_options())
            with anyio.move_on_after(FINISH_SECONDS):
                await connection.all_sent.wait()
            group.cancel_scope.cancel()


class _Connection:
    """The two descriptors, and the requests that have no answer yet."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(CHUNKS_AHEAD_MAX)
        self._unanswered: set[str | int] = set()
        self._all_answered = asyncio.Event()
        self._writing = asyncio.Lock()
        self.all_sent = asyncio.Event()

    def open(self, group: TaskGroup) -> tuple[ContextReceiveStream[Incoming], ContextSendStream[SessionMessage]]:
        """The message streams that the SDK's server runs on, fed and drained by tasks of `group`."""
        to_server, read_stream = create_context_streams[Incoming](0)
        write_stream, from_server = create_context_streams[SessionMessage](0)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="stdin-reader", daemon=True).start()
        group.start_soon(self._deliver, to_server)
        group.start_soon(self._send, from_server)
        return read_stream, write_stream

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in the reader thread: chunks go to the loop, a bounded number ahead of it."""
        while True:
            self._room.acquire()
            try:
                chunk = os.read(self._stdin, READ_BYTES)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the loop has ended
                return
            if not chunk:
                return

    async def _deliver(self, to_server: ContextSendStream[Incoming]) -> None:
        async with to_server:
            async for line in self._lines():
                try:
                    message = _message(line)
                except WireError as error:
                    await self._write(dump_json(error.answer).encode() + b"\n")
                    continue
                if isinstance(message, types.JSONRPCRequest):
                    self._unanswered.add(message.id)
                await to_server.send(SessionMessage(message))
            if self._unanswered:
                with anyio.move_on_after(FINISH_SECONDS):
                    await self._all_answered.wait()

    async def _lines(self) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        size = 0
        while chunk := await self._chunks.get():
            self._room.release()
            *complete, rest = chunk.split(b"\n")
            for line in complete:
                whole = b"".join([*parts, line]).strip()
                parts, size = [], 0
                if whole:
                    yield whole
            if rest:
                size += len(rest)
                # A line without an end must not fill the memory; what is left of it fails to parse.
                parts = [*parts, rest] if size <= LINE_BYTES_MAX else [b"?"]
        if parts:
            yield b"".join(parts)

    async def _send(self, from_server: ContextReceiveStream[SessionMessage]) -> None:
        async with from_server:
            async for outgoing in from_server:
                message = outgoing.message
                await self._write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                if isinstance(message, (types.JSONRPCResponse, types.JSONRPCError)) and message.id is not None:
                    self._answered(message.id)
        self.all_sent.set()

    async def _write(self, line: bytes) -> None:
        async with self._writing:
            if len(line) <= PIPE_BUF and self._is_writable():
                _write_all(self._stdout, line)
            else:
                await anyio.to_thread.run_sync(_write_all, self._stdout, line, abandon_on_cancel=True)

    def _answered(self, request_id: str | int) -> None:
        self._unanswered.discard(request_id)
        if not self._unanswered:
            self._all_answered.set()

    def _is_writable(self) -> bool:
        return sys.platform != "win32" and bool(select.select([], [self._stdout], [], 0)[1])


def _message(line: bytes) -> types.JSONRPCMessage:
    members = parse(line)
    try:
        return types.jsonrpc_message_adapter.validate_python(members, by_name=False)
    except ValueError as error:
        given = members.get("id")
        identified = given if isinstance(given, (str, int)) else None
        raise WireError(INVALID_REQUEST, "This is no JSON-RPC 2.0 message of MCP.", identified) from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:  # the client has gone; stdin will end too
            return


@contextmanager
def _own_descriptors() -> Generator[tuple[int, int]]:
    """Private duplicates of stdin and stdout; the well-known numbers lead to nothing and to stderr meanwhile."""
    sys.stdout.flush()
    stdin, stdout = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    try:
        yield stdin, stdout
    finally:
        os.dup2(stdout, 1)
