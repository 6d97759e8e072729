"""MCP over stdin and stdout.

The SDK's own stdio transport reads in a thread that cannot be cancelled, so a server waiting for input would outlive
SIGTERM. Here the event loop reads what is there, and daemon threads do what may take long, so that it can leave at any
time, whatever the client does; and what was taken in when stdin ends is still answered, so that `server < requests`
works. A client that does not read is slowed down: no more is taken in than is answered.
While serving, file descriptor 0 is empty and 1 is stderr, so that stray prints cannot corrupt the protocol.
"""

import asyncio
import os
import select
import stat
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel
import mcp_types as types
from anyio.abc import TaskGroup
from mcp.server.lowlevel import Server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import INVALID_REQUEST

from mcp_server.kernel import untold
from mcp_server.kernel.json_text import dump_json
from mcp_server.protocol.large import note_size, read_large
from mcp_server.protocol.opening import CHANNEL, DISCOVER, Opening, no_discovery
from mcp_server.protocol.stdout import Output
from mcp_server.protocol.wire import METHOD_NOT_FOUND, WireError, request_id, rpc_message

LISTEN = "subscriptions/listen"
INITIALIZED = "notifications/initialized"
CHANNEL_MESSAGE = f"notifications/{CHANNEL}"
READ_BYTES = 1 << 16
CHUNKS_AHEAD_MAX = 16
LINE_BYTES_MAX = 4 * 1024 * 1024
"""As many as over HTTP."""

UNANSWERED_MAX = 64
"""How many requests are taken in while the client does not read what was answered."""

STUCK_SECONDS = 1.0
"""How long a client may read nothing once it has ended its input."""
FINISH_SECONDS = 30.0
"""How long the next answer may take once stdin has ended; waits end at once."""


Say = Callable[[str, dict[str, str]], Coroutine[Any, Any, None]]
"""Sends a text and what it is about through a channel."""
Channel = Callable[[Say], Coroutine[Any, Any, None]]
"""Sends what came, for as long as it is let run."""


async def serve_stdio(
    server: Server[Any],
    opening: Opening,
    stop: anyio.Event,
    end_waits: Callable[[], None],
    channel: Channel | None = None,
) -> None:
    """Serve one client until stdin ends, and what came before is answered; until nobody reads stdout, when nothing
    more is taken, and what waits is cancelled; or until `stop` is set.

    Args:
        server: for both eras.
        opening: read what came first.
        stop: to end without more ado.
        end_waits: lets what waits for a change answer with what there is; called when stdin ends.
        channel: runs from the end of the handshake on, where this server is a channel of Claude Code.
    """
    experimental = None if channel is None else {CHANNEL: dict[str, Any]()}
    with _own_descriptors() as (stdin, stdout):
        async with anyio.create_task_group() as group:
            connection = _Connection(Input(stdin, opening), Output(stdout), opening, end_waits, group, channel)

            async def stopper() -> None:
                await stop.wait()
                connection.is_open = False
                group.cancel_scope.cancel()

            group.start_soon(stopper)
            group.start_soon(connection.end_when_unread)
            options = server.create_initialization_options(experimental_capabilities=experimental)
            await server.run(connection, connection, options)
            group.cancel_scope.cancel()


class Input:
    """Stdin, read a bounded number of chunks ahead: by the event loop where the system can tell that there is something
    to read, else by a thread, as of a file."""

    def __init__(self, descriptor: int, opening: Opening) -> None:
        self._descriptor = descriptor
        self._opening = opening
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(CHUNKS_AHEAD_MAX)
        self._is_full = False
        """Whether nothing is read, since too much waits to be taken."""
        self._start(self._read_first)

    def has_ended(self) -> bool:
        """Whether the client has closed it, although there may be more to read."""
        if sys.platform == "win32":
            return False
        looked_at = select.poll()
        looked_at.register(self._descriptor, select.POLLHUP)
        return any(found & select.POLLHUP for _, found in looked_at.poll(0))

    def end(self) -> None:
        """Let who waits for the next line go on: nothing more is to be taken."""
        self._chunks.put_nowait(b"")

    async def lines(self) -> AsyncIterator[bytes]:
        """Each line that holds something. One that is too long is cut, which makes it longer than any other may be."""
        parts: list[bytes] = []
        size = 0
        while chunk := await self._next():
            *complete, rest = chunk.split(b"\n")
            for line in complete:
                whole = b"".join([*parts, line]).strip()
                parts, size = [], 0
                if whole:
                    yield whole
            if rest and size <= LINE_BYTES_MAX:  # a line without an end must not fill the memory
                size += len(rest)
                parts.append(rest)
        if parts:
            yield b"".join(parts)

    async def _next(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.release()
        if self._is_full:
            self._is_full = False
            self._loop.add_reader(self._descriptor, self._take)
        return chunk

    def _start(self, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name="stdin-reader", daemon=True).start()

    def _read_first(self) -> None:
        first = self._opening.first()
        if first is not None and not self._hand_over(first):
            return
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._watch)

    def _watch(self) -> None:
        try:
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise PermissionError  # as Linux would; macOS watches a file, and tells nothing of its end
            self._loop.add_reader(self._descriptor, self._take)
        except (OSError, NotImplementedError):  # a file, or Windows
            self._start(self._read_all)

    def _take(self) -> None:
        self._is_full = not self._room.acquire(blocking=False)
        chunk = b"" if self._is_full else self._read()
        if not chunk:
            self._loop.remove_reader(self._descriptor)
        if not self._is_full:
            self._chunks.put_nowait(chunk)

    def _read_all(self) -> None:
        while self._room.acquire() and self._hand_over(self._read()):
            pass

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, READ_BYTES)
        except OSError:
            return b""

    def _hand_over(self, chunk: bytes) -> bool:
        """To the event loop; whether there may be more."""
        try:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except RuntimeError:  # the loop has ended
            return False
        return bool(chunk)


class _Connection:
    """One client: the stream of messages that the SDK's server reads, and the one that it writes."""

    def __init__(
        self,
        stdin: Input,
        stdout: Output,
        opening: Opening,
        end_waits: Callable[[], None],
        group: TaskGroup,
        channel: Channel | None,
    ) -> None:
        self._lines = stdin.lines()
        self._input = stdin
        self._output = stdout
        self._opening = opening
        self._end_waits = end_waits
        self._group = group
        self._channel = channel
        self._has_begun = False
        """Whether the channel runs."""
        self._unanswered: Counter[object] = Counter()
        """Ids of requests, of which a script may give several the same; and one for each line that is refused."""
        self._streams: Counter[object] = Counter()
        """Ids of requests that are answered when waits end."""
        self._answered = asyncio.Event()
        self.is_open = True
        """Whether what is sent still goes out."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None: ...

    async def aclose(self) -> None:
        """There is nothing to close: the descriptors are the process's."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage:
        """The next message that can be taken.

        Raises:
            anyio.EndOfStream: stdin has ended, and what came before is answered; or nobody reads the answers.
        """
        async for line in self._lines:
            if not await self._reads():
                raise anyio.EndOfStream
            try:
                note_size(len(line))
                message = await read_large(len(line), self._message_of, line)
            except WireError as error:
                self._unanswered[error] += 1
                self._group.start_soon(self._refuse, error)
                await anyio.lowlevel.checkpoint()  # else a chunk of such lines is refused at once
                continue
            return SessionMessage(message, self._expect(message))
        if not self._output.broken.is_set():
            self._end_waits()
        await self._finish()
        raise anyio.EndOfStream

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message.

        Raises:
            anyio.ClosedResourceError: the server was told to stop.
        """
        if not self.is_open:
            untold.give_back()
            raise anyio.ClosedResourceError
        message = item.message
        try:
            if not self._was_answered(message):
                line = message.model_dump_json(by_alias=True, exclude_unset=True)
                if not await self._output.write(line.encode() + b"\n"):
                    untold.give_back()
        finally:
            if isinstance(message, (types.JSONRPCResponse, types.JSONRPCError)) and message.id is not None:
                self._settle(message.id)

    async def end_when_unread(self) -> None:
        """Take nothing more once nobody reads the answers, whatever waits or is asked by then."""
        await self._output.broken.wait()
        self._answered.set()
        self._input.end()

    async def _reads(self) -> bool:
        """Wait while too much is unread; False once the client has ended its input and reads nothing, or is gone."""
        while self._output.is_stuck and self._unanswered.total() >= UNANSWERED_MAX:
            written = self._output.written
            await self._output.moves(STUCK_SECONDS)
            if self._output.written == written and self._input.has_ended():
                return False
        return not self._output.broken.is_set()

    def _message_of(self, line: bytes) -> types.JSONRPCMessage:
        message = message_of(line)
        is_request = isinstance(message, types.JSONRPCRequest)
        if is_request and message.method == DISCOVER and self._channel is not None:
            raise no_discovery(message.id)  # the SDK would take it for the choice of an era
        return message

    async def _refuse(self, error: WireError) -> None:
        if error.code == METHOD_NOT_FOUND and error.request_id == self._opening.answered:
            self._opening.answered = None
        else:
            await self._output.write(dump_json(error.answer).encode() + b"\n")
        self._settle(error)

    def _begin_channel(self) -> None:
        if self._channel is not None and not self._has_begun:
            self._has_begun = True
            self._group.start_soon(self._channel, self._say)

    async def _say(self, content: str, meta: dict[str, str]) -> None:
        params = {"content": content, "meta": meta}
        await self.send(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method=CHANNEL_MESSAGE, params=params)))

    def _settle(self, request: object) -> None:
        for open_ones in (self._unanswered, self._streams):
            open_ones[request] -= 1
            if open_ones[request] <= 0:
                del open_ones[request]
        self._answered.set()

    def _expect(self, message: types.JSONRPCMessage) -> ServerMessageMetadata | None:
        """Note what comes of a message. A request ends with its answer; or without one, of which the SDK tells who
        gave it this: only it knows which request a cancel names, whose id it takes for another's of its value."""
        if isinstance(message, types.JSONRPCNotification) and message.method == INITIALIZED:
            self._begin_channel()
        if not isinstance(message, types.JSONRPCRequest):
            return None
        (self._streams if message.method == LISTEN else self._unanswered)[message.id] += 1

        async def settle() -> None:
            self._settle(message.id)

        return ServerMessageMetadata(on_request_unanswered=settle)

    def _was_answered(self, message: types.JSONRPCMessage) -> bool:
        """Whether the opening answered it; its id may be used again."""
        first = self._opening.answered
        if first is None or getattr(message, "id", None) != first or isinstance(message, types.JSONRPCRequest):
            return False
        self._opening.answered = None
        return True

    async def _finish(self) -> None:
        """Wait for the answers that are still out, as long as they come and are read."""
        loop = asyncio.get_running_loop()
        written, since = self._output.written, loop.time()
        while (self._unanswered or self._streams) and not self._output.broken.is_set():
            self._answered.clear()
            with anyio.move_on_after(STUCK_SECONDS):
                await self._answered.wait()
            if self._output.written != written:
                written, since = self._output.written, loop.time()
            elif loop.time() - since >= (STUCK_SECONDS if self._output.is_stuck else FINISH_SECONDS):
                return


def message_of(line: bytes) -> types.JSONRPCMessage:
    """The message that a line holds.

    Raises:
        WireError: it holds none.
    """
    if len(line) > LINE_BYTES_MAX:
        head = line[:READ_BYTES].decode(errors="replace")
        raise WireError(INVALID_REQUEST, f"A message has at most {LINE_BYTES_MAX:,} bytes.", request_id(head))
    return rpc_message(line)


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
