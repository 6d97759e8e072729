"""Streams of events over HTTP end with the server, or once their caller is let in no more, and sleep until then."""

import asyncio
from collections.abc import Awaitable

from sse_starlette import sse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.kernel.authority import Actor
from mcp_server.protocol.letting_in import LettingIn
from mcp_server.protocol.whose import actor_of


class EndedPolitely:
    """Brings an answer to its end that was left in its midst: the client sees that there is no more of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = False

        async def noted(message: Message) -> None:
            nonlocal more
            more = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        await self._app(scope, receive, noted)
        if more:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class WhileLetIn:
    """Ends what a client opened to be told things by (a GET) when its caller is not let in any more, also where nothing
    is told there."""

    def __init__(self, app: ASGIApp, letting_in: LettingIn) -> None:
        self._app = app
        self._letting_in = letting_in

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        actor = actor_of(scope) if scope["method"] == "GET" else None
        return self._app(scope, receive, send) if actor is None else self._while(actor, scope, receive, send)

    async def _while(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        ended = asyncio.Event()
        async with self._letting_in.lasting(actor, ended.set):
            await self._app(scope, _until(ended, receive), send)


def _until(ended: asyncio.Event, receive: Receive) -> Receive:
    """What comes of a client, which is taken to go once it has ended: the application cleans up as it does then."""

    async def received() -> Message:
        coming, over = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            over.cancel()

    return received


def never_look() -> None:
    """Keep the library from looking twice a second whether the server ends: it is told."""
    _state().watcher_started = True


def end_streams() -> None:
    """End every stream that is open in this thread."""
    for event in list(_state().events):
        event.set()


def _state() -> "sse._ShutdownState":  # pyright: ignore[reportPrivateUsage]
    # The library knows uvicorn by its signal handlers alone, which are not installed here.
    return sse._get_shutdown_state()  # pyright: ignore[reportPrivateUsage]
