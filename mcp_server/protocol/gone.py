"""Clients over HTTP that go away while they wait."""

from collections.abc import Awaitable

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.kernel.json_text import dump_json
from mcp_server.pages.door import first_said
from mcp_server.protocol.large import read_large
from mcp_server.protocol.wire import WireError, parse

_KEPT_BACK = (b"last-event-id", b"authorization")


class FromNowOn:
    """Lets a client that comes back hear from now on. Nothing is kept of what it missed, which the SDK answers as a
    failure where a client asks for it. Nor does the SDK get the key: who it proves stands in the scope by then."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers = [header for header in scope["headers"] if header[0] not in _KEPT_BACK]
        return self._app({**scope, "headers": headers}, receive, send)


class CancelGone:
    """Cancels what a client of the 2025 era waits for once it is gone, by the notification that it did not send itself.

    The SDK lets such a request run on, for a client that comes back for the answer; here no answer is kept for it. In
    the 2026 era the SDK cancels by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        in_session = scope["method"] == "POST" and first_said(scope, b"mcp-session-id")
        return (self._watched if in_session else self._app)(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        gone = answered = False

        async def listen() -> Message:
            nonlocal gone
            message = await receive()
            body.extend(message.get("body", b""))
            gone = gone or (message["type"] == "http.disconnect" and not answered)
            return message

        async def answer(message: Message) -> None:
            nonlocal answered
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, listen, answer)
        finally:
            if gone:
                with CancelScope(shield=True):
                    await self._cancel(scope, bytes(body))

    async def _cancel(self, scope: Scope, body: bytes) -> None:
        try:
            request = await read_large(len(body), parse, body)
        except WireError:
            return
        if "id" not in request or "method" not in request:
            return
        cancelled = dump_json(
            {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": request["id"], "reason": "the client is gone"},
            }
        ).encode()
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        length = (b"content-length", str(len(cancelled)).encode())
        await self._app({**scope, "headers": [*headers, length]}, _once(cancelled), _nowhere)


def _once(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _nowhere(message: Message) -> None:
    del message
