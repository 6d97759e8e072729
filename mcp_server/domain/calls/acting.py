"""What is done in a call by its agent, or by who was asked in as one."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.service import ApprovalService
from mcp_server.domain.calls import acts, joins, transactions
from mcp_server.domain.calls.acts import Acted
from mcp_server.domain.calls.asking import Questions, ask_message
from mcp_server.domain.calls.commands import ControlCall
from mcp_server.domain.calls.entering import Entering
from mcp_server.domain.calls.inviting import Inviting
from mcp_server.domain.calls.joins import Offer
from mcp_server.domain.calls.media import MESSAGE_BYTES_MAX
from mcp_server.domain.calls.model import Line, LiveCall
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.calls.views import CallResult, call_state, line_views
from mcp_server.domain.calls.wav import checked_wav
from mcp_server.domain.state.commands import GetDocument
from mcp_server.domain.state.service import StateService
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded, PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import dump_json, sha256_text
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.waiting import wait_until

LINES_MAX = 100
_OF_THE_OPENER = frozenset(("ask", "invite", "mute", "unmute", "hold", "resume", "end"))
_NAMED = re.compile(r"[A-Za-z0-9._-]{1,64}/[^\s]{1,200}")
"""What names a document. Base64 of a WAV file begins UklGR, and is longer."""
_REASON = "ended by its opener"


class Acting:
    """Does the actions of `calls_control` in calls that the caller takes part in."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._state = services.get(StateService)
        self._approvals = services.get(ApprovalService)
        self._questions = services.get(Questions)
        self._inviting = services.get(Inviting)
        self._entering = services.get(Entering)
        self._policy = services.option(CallPolicy)

    async def act(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        """Do one of them.

        Raises:
            InvalidTransition: the call is over, or not where this makes sense.
        """
        does: dict[str, Callable[[Call, LiveCall, ControlCall], Awaitable[CallResult]]] = {
            "say": self._say,
            "listen": self._listen,
            "play": self._play,
            "ask": self._ask,
            "invite": self._invite,
            "accept_offer": self._accept_offer,
            "add_candidate": self._add_candidate,
            "end": self._end,
        }
        return await does.get(command.action, self._quiet)(call, found, command)

    def require_may(self, call: Call, found: LiveCall, command: ControlCall) -> None:
        """Refuse what only the opener of a call does.

        Raises:
            PermissionDenied: the caller is not.
        """
        if command.action in _OF_THE_OPENER and not (
            call.is_own(found.opened_by) or call.actor.may(Permission.CALLS_CONTROL)
        ):
            raise PermissionDenied(
                f"Only who opened {found.id} does this.",
                next="Say so: calls_control(action='say').",
                details={"call_id": found.id},
            )

    async def done_before(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult | None:
        """What came of it when it was done under the same idempotency key; None where it is to be done now.

        Raises:
            IdempotencyConflict: the key was used for something else in this call.
        """
        key = command.key().owned_by(call.actor.label)
        if key.idempotency_key is None:
            return None
        row = await self._database.fetch_one("call_act", call_id=found.id, owner=key.key_owner, key=key.idempotency_key)
        return None if row is None else await self._acted(acts.earlier(found, key, row))

    async def _once(
        self, call: Call, found: LiveCall, command: ControlCall, act: Callable[..., Acted], *args: Any
    ) -> CallResult:
        return await self._acted(await self._context.write(call, acts.once, found.id, command.key(), act, *args))

    async def _acted(self, acted: Acted) -> CallResult:
        shown = () if acted.call.is_over else acted.asked
        state = call_state(acted.call, await self._inviting.shown(acted.call, shown), replayed=acted.replayed)
        if acted.approval_id is None:
            return CallResult(call=state)
        asked = await self._questions.approval(acted.approval_id)
        task_id = None if asked is None else asked.task_id
        return CallResult(call=state, approval_id=acted.approval_id, approval_task_id=task_id)

    async def _say(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        line = Line(call.label, "said", command.text or "")
        return await self._once(call, found, command, transactions.say, line)

    async def _listen(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        async def look() -> tuple[LiveCall, list[Row]]:
            rows = await self._database.fetch_all(
                "call_lines_after", call_id=found.id, after=command.after, limit=LINES_MAX
            )
            row = await self._database.fetch_one("call_by_id", id=found.id)
            return (found if row is None else LiveCall.adopt(dict(row))), rows

        def is_news(seen: tuple[LiveCall, list[Row]]) -> bool:
            return seen[0].is_over or any(row["who"] != call.label for row in seen[1])

        now, rows = await wait_until(self._context, call, look, is_news, command.wait_seconds, ("call",))
        last = rows[-1]["n"] if rows else command.after
        links = await self._open_links(call, now)
        return CallResult(call=call_state(now, links), messages=line_views(rows), next_after=last)

    async def _open_links(self, call: Call, now: LiveCall) -> dict[int, str]:
        """The links that are to be handed on still, for who opened the call: one that people said yes to was opened
        when nobody was there to be shown them."""
        if now.is_over or not call.is_own(now.opened_by):
            return {}
        waiting = [one.n for one in now.people() if one.is_shown and one.state == "invited" and one.joins == 0]
        return await self._inviting.shown(now, waiting)

    async def _play(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        place = command.wav or ""
        is_named = _NAMED.fullmatch(place) is not None
        wav = await self._document(call, place) if is_named else place
        seconds = checked_wav(wav)
        if found.media != "audio":
            raise InvalidTransition(
                f"{found.id} is a call in writing, so nothing is played.", next="Open one with audio."
            )
        line = Line(call.label, "played", f"{place if is_named else 'sound'} ({seconds:.1f} s)")
        return await self._once(call, found, command, transactions.play, line, wav)

    async def _document(self, call: Call, place: str) -> str:
        namespace, _, key = place.partition("/")
        value = (await self._state.get(call, GetDocument(namespace=namespace, key=key))).value
        if not isinstance(value, str):
            raise ValidationFailed(
                f"The document {one_line(place)} is no text.", next="Write a WAV file to it as base64."
            )
        return value

    async def _ask(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        found.require_open()
        approval = await self._approval(call, found, command)
        size = len(dump_json(ask_message(approval)).encode())
        if size > MESSAGE_BYTES_MAX:
            raise LimitExceeded(
                f"{approval.id} has {size} bytes, more than a call shows whole, and nobody decides on less.",
                next="People decide on it where else they are asked.",
                details={"approval_id": approval.id, "bytes_max": MESSAGE_BYTES_MAX},
            )
        line = Line(call.label, "question", approval.action or approval.title)
        line = line._replace(text=one_line(line.text, 1000))
        return await self._once(call, found, command, transactions.ask, approval.id, line)

    async def _approval(self, call: Call, found: LiveCall, command: ControlCall) -> Approval:
        """What is asked: an open question of the caller's, or a new one for those whose answers count here."""
        approval_id = command.approval_id
        if approval_id is None:
            people = [one.person for one in found.people() if one.person is not None]
            if all(one.kind == "agent" for one in found.people()):
                raise InvalidTransition(
                    f"No person takes part in {found.id}, and only people are asked.",
                    next="Ask them by approvals_request; approvals_decide asks the user at this client.",
                    details={"call_id": found.id},
                )
            if not people:
                raise InvalidTransition(
                    f"Nobody in {found.id} can decide: a link that was shown may be anybody's.",
                    next="Say the question and listen; decisions take somebody who was asked in by mail.",
                    details={"call_id": found.id},
                )
            text = command.text or ""
            asked = RequestApproval(
                title=one_line(text.strip().partition("\n")[0].strip() or text, 200),
                action=text,
                choices=command.choices,
                approvers=tuple(people),
                expires_in_seconds=self._policy.minutes_max * 60,
                idempotency_key=_asked_under(found, command),
            )
            approval_id = (await self._approvals.request(call, asked)).approval.id
        approval = (await self._approvals.shown(call, approval_id)).approval
        approval.require_open(self._context.clock())
        return approval

    async def _invite(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        more = await self._inviting.asked(call, command.participants)
        return await self._once(call, found, command, transactions.invite, more)

    async def _quiet(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        return _result(await self._context.write(call, transactions.quiet, found.id, command.action))

    async def _accept_offer(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        offer = Offer(dump_json({"offer": command.offer, "audio": True}))
        asked = await self._context.write(call, joins.take_part, found.id, offer, self._policy.at_once)
        return CallResult(call=call_state(asked.call), answer=await self._entering.answer(asked))

    async def _add_candidate(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        data: dict[str, Any] = {"candidate": command.candidate}
        text = dump_json(data)
        if len(text) > 4096:
            raise LimitExceeded("A candidate has 4096 characters at most.", next="Give one at a time.")
        return _result(await self._context.write(call, joins.candidate, found.id, text))

    async def _end(self, call: Call, found: LiveCall, command: ControlCall) -> CallResult:
        reason = one_line(command.text, 500) if command.text else _REASON
        return _result(await self._context.write(call, transactions.end, found.id, reason))


def _asked_under(found: LiveCall, command: ControlCall) -> str | None:
    """The key of the question itself: a repeat finds it, also where it was asked and not put to the call any more."""
    key = command.idempotency_key
    return None if key is None else f"asked in {found.id}: {sha256_text(key)}"


def _result(call: LiveCall) -> CallResult:
    return CallResult(call=call_state(call))
