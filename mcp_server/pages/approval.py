"""The page behind an approval's link: GET shows what is asked, POST decides. No script, no cookie, no login.

The link itself is the proof: it is signed, belongs to one approver, and is void once the question is asked anew. A mail
scanner that follows it only sees the page. A form of another site cannot know the link; one that is sent from elsewhere
all the same is refused by its origin.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from mcp_server.domain.approvals.answers import Answer
from mcp_server.domain.approvals.commands import REASON_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, Vote
from mcp_server.domain.approvals.links import Opened
from mcp_server.domain.approvals.model import Seen
from mcp_server.domain.approvals.people import person_key
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.times import iso_or_none
from mcp_server.pages.answers import DEAD_LINK, FAILED, form_headers, is_from_elsewhere, notice
from mcp_server.pages.bodies import read_body
from mcp_server.pages.rendering import render

BODY_BYTES_MAX = 16 * 1024
_WORDS = {
    "approved": "Approved",
    "rejected": "Rejected",
    "expired": "Expired: nobody decided in time",
    "withdrawn": "Withdrawn: it will not happen anyway",
    "stale": "Approved, and nothing was done: something has moved since it was asked",
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
            return notice(DEAD_LINK, error.message, 404)
        except OpsError as error:
            return notice(FAILED, error.message, 409)

    return [Route("/approvals/{token}", page, methods=["GET", "POST"])]


async def _decided(desk: Desk, request: Request, opened: Opened) -> Response:
    if is_from_elsewhere(request):
        return notice("Refused", "This answer came from another site.", 403)
    form = await _form(request)
    if form is None or form.get("decision") not in ("approve", "reject"):
        return notice(FAILED, "The form was not complete. Open the link again.", 400)
    reason = form.get("reason", "").strip()
    if len(reason) > REASON_CHARACTERS_MAX:
        return notice(FAILED, f"A reason has {REASON_CHARACTERS_MAX} characters at most.", 400)
    voter = opened.voter
    # The link is the right to answer; whoever follows it has no other.
    call = Call(Actor(kind="user", id=voter.name, permissions=frozenset()), f"link-{opened.approval.id}")
    seen = Seen(form.get("seen", ""), opened.approval.opened_at)
    vote = _vote(form, opened, reason)
    if vote is None:
        return notice(FAILED, "Choose one of the answers. Open the link again.", 400)
    await desk.approvals.decide(call, voter, opened.approval.id, vote, seen)
    # Seen again with GET: a reload must not ask whether to send the form once more.
    return Response(status_code=303, headers=form_headers() | {"Location": request.url.path})


def _vote(form: Mapping[str, str], opened: Opened, reason: str) -> Vote | None:
    """What was answered; None where it is no answer to this question."""
    vote = Vote(approve=form["decision"] == "approve", reason=reason or None)
    if not vote.approve:
        return vote
    takes = opened.approval.takes()
    text = form.get("text", "").strip() if takes.free_text else ""
    if text:
        return None if len(text) > TEXT_CHARACTERS_MAX else vote.model_copy(update={"text": text})
    choices = {str(number): choice for number, choice in enumerate(takes.choices)}
    number = form.get("choice")
    if number is None:
        return vote
    return vote.model_copy(update={"choice": choices[number]}) if number in choices else None


async def _form(request: Request) -> dict[str, str] | None:
    body = await read_body(request, BODY_BYTES_MAX)
    if body is None:
        return None
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=10)
    except ValueError:
        return None
    # What is said twice says nothing.
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _shown(opened: Opened) -> Response:
    approval, voter, text = opened
    answers = [_printable(answer) for answer in approval.given()]
    takes = approval.takes()
    answered = any(person_key(answer.by) == person_key(voter.name) for answer in answers)
    values = {
        "title": "Your decision",
        "seen": approval.action_hash,
        "answers": answers,
        "approver": voter.name,
        "question": text,
        "expires_at": iso_or_none(approval.expires_at),
        "is_open": approval.status == "pending" and not answered,
        "choices": [one_line(choice) for choice in takes.choices],
        "free_text": takes.free_text,
        "reason_characters_max": REASON_CHARACTERS_MAX,
        "text_characters_max": TEXT_CHARACTERS_MAX,
        "words": "Answered" if approval.status == "approved" and takes.is_open else _WORDS[approval.status],
    }
    return HTMLResponse(render("approval.html", **values), headers=form_headers())


def _printable(answer: Answer) -> Answer:
    told = {name: value and one_line(value) for name, value in zip(("note", "choice", "text"), answer[4:], strict=True)}
    return answer._replace(**told)
