"""The page behind a call's link: GET shows who calls and why, and uses nothing up; its script joins by a POST.

The link is the proof of who joins. It can be used once; whoever joined comes back with a secret that only they were
given. What the page is made of lies here: nothing is loaded from elsewhere, and its policy lets nothing else run.
"""

import json
from functools import partial
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_server.domain.approvals.commands import TEXT_CHARACTERS_MAX as ANSWER_CHARACTERS_MAX
from mcp_server.domain.calls.joining import Invitation, JoinCall, LinkOver, LinkUnknown
from mcp_server.domain.calls.media import OFFER_BYTES_MAX, TEXT_CHARACTERS_MAX
from mcp_server.domain.calls.service import CallService
from mcp_server.domain.desk import Desk
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.lines import fenced, one_line
from mcp_server.kernel.times import iso
from mcp_server.pages.answers import DEAD_LINK, FAILED, closed, is_from_elsewhere, notice
from mcp_server.pages.bodies import read_body
from mcp_server.pages.rendering import render, static_text

BODY_BYTES_MAX = 2 * OFFER_BYTES_MAX
"""Of a join: JSON escapes each line end of an offer."""
NAME_CHARACTERS_MAX = 64
GUEST = "guest"
"""For whom a link is that is for nobody by name."""
STATIC = {
    "call.css": "text/css",
    **dict.fromkeys(
        ("call.js", "call_asks.js", "call_lines.js", "call_sound.js", "call_wire.js", "call_words.js"),
        "text/javascript",
    ),
}
_STATUSES = {
    "not_found": 404,
    "permission_denied": 403,
    "invalid_transition": 410,
    "validation": 400,
    "conflict": 409,
    "limit_exceeded": 429,
    "at_capacity": 429,
}
_POLICY = (
    "script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; require-trusted-types-for 'script'"
)


def call_routes(desk: Desk) -> list[BaseRoute]:
    """The page's routes."""
    return [
        Route("/calls/static/{name}", _static),
        Route("/calls/{token}", partial(_page, desk)),
        Route("/calls/{token}/join", partial(_join, desk), methods=["POST"]),
    ]


async def _page(desk: Desk, request: Request) -> Response:
    token = request.path_params["token"]
    try:
        return _shown(token, await desk.get(CallService).invitation(token))
    except LinkUnknown as error:
        return notice(DEAD_LINK, error.message, 404)
    except LinkOver as error:
        return notice("This call is over", error.message, 410)
    except OpsError as error:
        return notice(FAILED, error.message, _STATUSES.get(error.code, 503))


async def _join(desk: Desk, request: Request) -> Response:
    if is_from_elsewhere(request):
        return _refused("permission_denied", "This came from another site.")
    command = _join_call(await read_body(request, BODY_BYTES_MAX))
    if command is None:
        return _refused("validation", "That is no offer to join. Load the page again.")
    try:
        joined = await desk.get(CallService).join(request.path_params["token"], command)
    except OpsError as error:
        return _refused(error.code, error.message)
    answer = {"type": "answer", "sdp": joined.answer}
    return JSONResponse({"answer": answer, "call": joined.call_id, "resume": joined.resume}, headers=_headers())


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return notice(DEAD_LINK, "There is no such file.", 404)
    return Response(static_text(name), media_type=STATIC[name], headers=_headers())


def _join_call(body: bytes | None) -> JoinCall | None:
    """What is asked; None where it is not what the page sends."""
    try:
        asked: Any = json.loads(body or b"")
        offer = asked["offer"]
        if offer["type"] != "offer":
            return None
        return JoinCall.model_validate({**asked, "offer": offer["sdp"]})
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        return None


def _shown(token: str, invitation: Invitation) -> Response:
    call = {
        "purpose": invitation.purpose,
        "from": one_line(invitation.opened_by),
        "media": invitation.media,
        "record": invitation.record,
        "is_used": invitation.is_used,
        "ice_servers": invitation.ice_servers,
        # Seen from the page: a proxy may serve it under a path of its own.
        "join": f"{token}/join",
    }
    values = {
        "title": "A call for you",
        "call": call,
        "static": "static/",
        "purpose": fenced(invitation.purpose),
        "participant": one_line(invitation.participant),
        "is_guest": invitation.participant == GUEST,
        "until": iso(invitation.expires_at),
        "name_characters_max": NAME_CHARACTERS_MAX,
        "text_characters_max": TEXT_CHARACTERS_MAX,
        "answer_characters_max": ANSWER_CHARACTERS_MAX,
    }
    return HTMLResponse(render("call.html", **values), headers=_headers(has_sound=invitation.media == "audio"))


def _refused(code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, _STATUSES.get(code, 503), _headers())


def _headers(*, has_sound: bool = False) -> dict[str, str]:
    microphone = "(self)" if has_sound else "()"
    return closed(_POLICY) | {"Permissions-Policy": f"microphone={microphone}, camera=(), geolocation=()"}
