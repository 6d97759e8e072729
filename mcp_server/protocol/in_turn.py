"""One caller's requests come one after the other while others are about (`kernel/turns.py`)."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.limits import Caller, Limits, Thing
from mcp_server.kernel.turns import Turn, Turns
from mcp_server.pages.bodies import too_many
from mcp_server.protocol.seam import TURN


class InTurn:
    """Lets a request come when it is its turn, before a byte of its body is read. Those that wait are counted."""

    def __init__(self, app: ASGIApp, limits: Limits, caller_of: Callable[[Scope], Caller]) -> None:
        self._app = app
        self._limits = limits
        self._caller_of = caller_of
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        caller = self._caller_of(scope)
        try:
            turn = self._turns.at_once(caller) or await self._waited(caller)
        except LimitExceeded as error:
            await too_many(error)(scope, receive, send)
            return
        own: dict[str, Any] = {TURN: turn}

        async def answer(message: Message) -> None:
            # Before the last byte: whoever calls again only when it was answered would else be taken to stand behind.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                turn.answered()
            await send(message)

        try:
            await self._app({**scope, **own}, receive, answer)
        finally:
            turn.done()

    async def _waited(self, caller: Caller) -> Turn:
        with self._limits.holding(Thing.REQUESTS, caller):
            return await self._turns.take(caller)
