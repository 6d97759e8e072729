"""The page behind an approval's link: GET shows what is asked, POST decides. No script, no cookie, no login.

The link itself is the proof: it is signed, belongs to one approver, and is void once the question is asked anew. A mail
scanner that follows it only sees the page. A form of another site cannot know the link; one that is sent from elsewhere
all the same is refused by its origin.
"""

import hashlib
import json
from base64 import b64encode
from functools import cache
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_server.domain.approvals.service import Opened
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError
from mcp_server.pages.bodies import read_body
from mcp_server.pages.rendering import render, static_text

BODY_BYTES_MAX = 16 * 1024
REASON_CHARACTERS_MAX = 1000
_WORDS = {
    "approved": "Approved",
    "rejected": "Rejected",
    "expired": "Expired: nobody decided in time",
    "withdrawn": "Withdrawn: it will not happen anyway",
    "pending": "Your answer is kept; others are still asked",
}


def approval_routes(desk: Desk) -> list[BaseRoute]:
    """The page's routes."""

    async def page(request: Request) -> Response:
        token = request.path_params["token"]
        try:
            opened = await desk.approvals.open_link(token)
            if request.method == "POST":
                return await _decided(desk, request, opened)
            return _shown(opened)
        except NotFound as error:
            return _notice("This link does not work", error.message, 404)
        except OpsError as error:
            return _notice("That did not work", error.message, 409)

    return [Route("/approvals/{token}", page, methods=["GET", "POST"])]


async def _decided(desk: Desk, request: Request, opened: Opened) -> Response:
    if _is_from_elsewhere(request):
        return _notice("Refused", "This answer came from another site.", 403)
    form = await _form(request)
    if form is None or form.get("decision") not in ("approve", "reject"):
        return _notice("That did not work", "The form was not complete. Open the link again.", 400)
    actor = Actor(kind="user", id=opened.approver, permissions=frozenset())
    await desk.approvals.decide(
        Call(actor, f"link-{opened.approval.id}"),
        opened.approval.id,
        granted=form["decision"] == "approve",
        via="link",
        reason=form.get("reason", "").strip()[:REASON_CHARACTERS_MAX] or None,
        seen_hash=form.get("seen", ""),
        approver=opened.approver,
    )
    # Seen again with GET: a reload must not ask whether to send the form once more.
    return Response(status_code=303, headers=_headers() | {"Location": request.url.path})


def _is_from_elsewhere(request: Request) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return True
    # A proxy in front may change the scheme, so the host alone is compared; `null` comes with no-referrer.
    return origin not in (None, "null") and urlsplit(origin).netloc != request.headers.get("host")


async def _form(request: Request) -> dict[str, str] | None:
    body = await read_body(request, BODY_BYTES_MAX)
    if body is None:
        return None
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=10)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}


def _shown(opened: Opened) -> Response:
    approval = opened.approval
    answered = any(answer.by == opened.approver for answer in approval.answers or ())
    details = approval.details
    values = {
        "title": approval.title,
        "approval": approval,
        "approver": opened.approver,
        "details": None if details in (None, {}) else json.dumps(details, ensure_ascii=False, indent=2),
        "is_open": approval.status == "pending" and not answered,
        "reason_characters_max": REASON_CHARACTERS_MAX,
        "words": _WORDS[approval.status],
    }
    return HTMLResponse(render("approval.html", **values), headers=_headers())


def _notice(title: str, text: str, status: int) -> Response:
    return HTMLResponse(render("notice.html", title=title, text=text), status, _headers())


@cache
def _headers() -> dict[str, str]:
    style_hash = b64encode(hashlib.sha256(static_text("approval.css").encode()).digest()).decode()
    return {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
    }
