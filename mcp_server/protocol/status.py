"""`/health` and `/metrics`: for a stranger, whether it works; the rest for who has a key, where there are keys."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import OpsError, Unavailable
from mcp_server.protocol.whose import actor_of

Answer = Callable[[Request], Awaitable[Response]]
_TOOLSET = "system"
"""What is told of all calls and events belongs to it."""


def health(desk: Desk, troubled: Callable[[], Sequence[str]], *, keys: bool) -> Answer:
    """200 where it works, else 503; what does not, for whom may know.

    Args:
        desk: what is asked.
        troubled: names the issuers that could not be asked for their keys the last time. Keys that are known go on,
            and so does everything else.
        keys: whether callers have keys. Where they have none, only this machine gets here.
    """

    async def answer(request: Request) -> Response:
        told = await _state(desk)
        if issuers := troubled():
            told["issuers"] = list(issuers)
        shown = told if not keys or actor_of(request.scope) is not None else {"ok": told["ok"]}
        return JSONResponse(shown, status_code=200 if told["ok"] else 503)

    return answer


def metrics(text: Callable[[], bytes], *, keys: bool) -> Answer:
    """What Prometheus reads."""

    async def answer(request: Request) -> Response:
        actor = actor_of(request.scope)
        if keys and (actor is None or not actor.may(Permission.EVENTS_READ)):
            return PlainTextResponse(f"This key lacks the permission {Permission.EVENTS_READ.value}.", 403)
        if actor is not None and not actor.scope.has_toolset(_TOOLSET):
            return PlainTextResponse(f"This key does not reach the toolset {_TOOLSET}.", 403)
        return Response(text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return answer


async def _state(desk: Desk) -> dict[str, Any]:
    problem: dict[str, Any] = {}
    try:
        await desk.tasks.counts(SYSTEM_CALL)
        held_back = await desk.log_held_back()
        told = {} if held_back is None else {"events_held_back": held_back}
        if amiss := await desk.amiss():
            raise Unavailable(amiss)
    except OpsError as error:
        problem, told = {"problem": error.code, "database": error.message}, {}
    failing = desk.loops.failing()
    return {"ok": not problem and not failing, "version": desk.version, "loops": failing} | problem | told
