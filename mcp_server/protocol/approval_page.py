"""The page behind an approval's link: GET shows what is asked, POST decides. No script, no cookie, no login.

The link itself is the proof: it is signed, belongs to one approver, and is void once the question is asked anew. A mail
scanner that follows it only sees the page. A form of another site cannot know the link; one that is sent from elsewhere
all the same is refused by its origin.
"""

import hashlib
import json
from base64 import b64encode
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_server.domain.errors import NotFound, OpsError
from mcp_server.domain.users import Actor
from mcp_server.protocol.bodies import read_body
from mcp_server.services.approvals import Opened
from mcp_server.services.communication_views import ApprovalView
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk

BODY_BYTES_MAX = 16 * 1024
REASON_CHARACTERS_MAX = 1000
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--quiet:#777}
*{box-sizing:border-box}
body{font:17px/1.5 system-ui,sans-serif;margin:0 auto;max-width:42rem;padding:1.25rem 1rem 3rem}
h1{font-size:1.35rem;margin:.2rem 0 1rem}
.who,footer,dt{color:var(--quiet);font-size:.9rem}
.what{border-left:4px solid #2a6fdb;padding:.6rem .9rem;margin:1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
pre{border:1px solid var(--line);border-radius:8px;padding:.8rem;overflow-x:auto;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.85rem}
label{display:block;margin-top:1.2rem}
textarea{width:100%;font:inherit;padding:.6rem;border:1px solid var(--line);border-radius:8px;margin-top:.3rem}
.buttons{display:flex;gap:.8rem;margin:1.2rem 0;flex-wrap:wrap}
button{flex:1 1 9rem;min-height:3.2rem;font:inherit;font-weight:600;border:0;border-radius:10px;color:#fff;
cursor:pointer}
.yes{background:#1a7f37}.no{background:#b3261e}
button:focus-visible{outline:3px solid #2a6fdb;outline-offset:2px}
.state{border-radius:10px;padding:.9rem 1rem;border:1px solid var(--line);font-weight:600}
"""
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}
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
            return _page("This link does not work", f"<p>{escape(error.message)}</p>", 404)
        except OpsError as error:
            return _page("That did not work", f"<p>{escape(error.message)}</p>", 409)

    return [Route("/approvals/{token}", page, methods=["GET", "POST"])]


async def _decided(desk: Desk, request: Request, opened: Opened) -> Response:
    if _is_from_elsewhere(request):
        return _page("Refused", "<p>This answer came from another site.</p>", 403)
    form = await _form(request)
    if form is None or form.get("decision") not in ("approve", "reject"):
        return _page("That did not work", "<p>The form was not complete. Open the link again.</p>", 400)
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
    return Response(status_code=303, headers=_HEADERS | {"Location": request.url.path})


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
    body = _question(approval)
    if approval.status == "pending" and not answered:
        body += (
            '<form method="post">'
            f'<input type="hidden" name="seen" value="{escape(approval.action_hash)}">'
            '<label for="reason">Reason (may be left empty)</label>'
            f'<textarea id="reason" name="reason" rows="2" maxlength="{REASON_CHARACTERS_MAX}"></textarea>'
            '<div class="buttons">'
            '<button class="yes" name="decision" value="approve">Approve</button>'
            '<button class="no" name="decision" value="reject">Reject</button></div></form>'
            f'<p class="who">You answer as {escape(opened.approver)}.{_until(approval)}</p>'
        )
    else:
        body += f'<p class="state" role="status">{escape(_WORDS[approval.status])}</p>{_answers(approval)}'
    return _page(approval.title, body)


def _question(approval: ApprovalView) -> str:
    details = ""
    if approval.details not in (None, {}):
        text = json.dumps(approval.details, ensure_ascii=False, indent=2)
        details = f"<pre>{escape(text)}</pre>"
    return (
        f'<p class="who">{escape(approval.requested_by)} asks for approval</p>'
        f'<div class="what">{escape(approval.action)}</div>{details}'
    )


def _answers(approval: ApprovalView) -> str:
    items = "".join(
        f"<li>{escape(answer.by)} {'approved' if answer.granted else 'rejected'} by {escape(answer.via)}, "
        f"{escape(answer.at)}{': ' + escape(answer.note) if answer.note else ''}</li>"
        for answer in approval.answers or ()
    )
    return f"<ul>{items}</ul>" if items else ""


def _until(approval: ApprovalView) -> str:
    if approval.expires_at is None:
        return ""
    day, time = approval.expires_at[:16].split("T")
    return f" Open until {day}, {time} UTC."


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    document: Any = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return HTMLResponse(document, status, _HEADERS)
