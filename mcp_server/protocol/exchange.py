"""One answer over HTTP: a JSON body, or a stream of events once something has to be told before it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from mcp.server import _streamable_http_modern as sdk
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import MessageMetadata
from mcp.shared.transport_context import TransportContext
from pydantic_core import to_json
from starlette.types import Send

from mcp_server.protocol.wire import Id

_TRANSPORT = TransportContext(kind="streamable-http", can_send_request=False)
_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]
_LIFE = b": ping\r\n\r\n"


class Exchange:
    """What the SDK has for one request, and its answer (`DispatchContext`). A server of this era asks its client
    nothing."""

    transport = _TRANSPORT
    message_metadata: MessageMetadata = None
    can_send_request = False

    def __init__(
        self, request_id: Id, progress_token: Id | None, send: Send, told: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Begin it.

        Args:
            request_id: of the request.
            progress_token: by which the client wants to hear how far it is.
            send: sends to the client.
            told: headers of the answer.
        """
        self._told = told
        self.request_id = request_id
        self._progress_token = progress_token
        self._send = send
        self._is_stream = False
        self._turn = asyncio.Lock()
        self._living: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        # The SDK's own pace, so that both are slow to begin a stream, and no proxy takes one for dead.
        self._timer = loop.call_later(sdk._SSE_PING_INTERVAL, self._live, loop)  # pyright: ignore[reportPrivateUsage]

    @property
    def cancel_requested(self) -> anyio.Event:
        """Who goes away cancels; nothing is asked beside that."""
        return anyio.Event()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Refuse: there is no way back."""
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Tell the client something before the answer."""
        await self._event({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far it is, where the client asked for that."""
        if self._progress_token is None:
            return
        told = {"progressToken": self._progress_token, "progress": progress, "total": total, "message": message}
        known = {name: value for name, value in told.items() if value is not None}
        await self.notify("notifications/progress", known)

    async def answer(self, status: int, message: dict[str, Any]) -> None:
        """The answer, which is the last of it. Once there is a stream its status is told."""
        self.end()
        if self._is_stream:
            await self._event(message, more=False)
            return
        body = _bytes(message)
        length = (b"content-length", b"%d" % len(body))
        head = [length, (b"content-type", b"application/json"), *self._told]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    def end(self) -> None:
        """No sign of life any more."""
        self._timer.cancel()
        if self._living is not None:
            self._living.cancel()
            self._living = None

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        self._living = loop.create_task(self._signs_of_life())

    async def _signs_of_life(self) -> None:
        """A proxy ends a stream on which nothing comes."""
        while True:
            await self._write(_LIFE)
            await asyncio.sleep(sdk._SSE_PING_INTERVAL)  # pyright: ignore[reportPrivateUsage]

    async def _event(self, message: dict[str, Any], *, more: bool = True) -> None:
        await self._write(b"event: message\r\ndata: " + _bytes(message) + b"\r\n\r\n", more=more)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        async with self._turn:  # who reads slowly is waited for: nothing may come before the head meanwhile
            if not self._is_stream:
                await self._send({"type": "http.response.start", "status": 200, "headers": [*_STREAM, *self._told]})
                self._is_stream = True
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _bytes(message: dict[str, Any]) -> bytes:
    try:
        return to_json(message)  # a fifth of the time that Python's own takes
    except ValueError:  # half a character, which JSON can say in ASCII alone
        return json.dumps(message, separators=(",", ":")).encode()
