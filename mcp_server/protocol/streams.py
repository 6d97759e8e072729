"""Streams of events over HTTP end with the server, and sleep until then."""

from sse_starlette import sse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
