"""Questions in a call: shown to those who are asked, answered through the one door of approvals. An answer counts for
the person to whom alone the link was mailed, is bound to what was shown, and counts once."""

from typing import Any, NamedTuple

from mcp_server.domain.approvals.answers import answered
from mcp_server.domain.approvals.commands import Vote
from mcp_server.domain.approvals.model import Approval, Seen
from mcp_server.domain.approvals.people import distinct, person_key
from mcp_server.domain.approvals.question import question_text
from mcp_server.domain.approvals.service import ApprovalService
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.calls.media import Message
from mcp_server.domain.calls.model import Participant
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import iso_or_none


class Shown(NamedTuple):
    """A question as it was shown: to whom, and what an answer to it is bound to."""

    peers: frozenset[str]
    seen: Seen


class Questions:
    """Shows questions and takes answers in."""

    def __init__(self, services: Services) -> None:
        self._approvals = services.get(ApprovalService)

    async def approval(self, approval_id: str) -> Approval | None:
        """The question as it is now."""
        return await self._approvals.known(approval_id)

    async def answer(self, call_id: str, one: Participant, shown: Shown | None, message: Message) -> None:
        """Take in the answer of a participant.

        Raises:
            OpsError: it does not count; the message says why.
        """
        if one.person is None:
            raise PermissionDenied("Only who joined by a link of their own mail may decide; this link was shown.")
        if shown is None or str(one.n) not in shown.peers:
            raise PermissionDenied("You were not asked this.")
        if message.get("action_hash") != shown.seen.action_hash:
            raise ValidationFailed("This is not an answer to what is asked now.")
        (name,) = distinct([one.person])
        actor = Actor(kind="user", id=name, permissions=frozenset())  # the link is the right to answer, and no other
        call, voter = Call(actor, f"in-{call_id}"), Voter(name, "call", "link")
        vote = _vote(message, await self.approval(message["id"]))
        await self._approvals.decide(call, voter, message["id"], vote, shown.seen)


def asks(approval: Approval, one: Participant) -> bool:
    """Whether a participant is among those who are asked."""
    return one.person is not None and person_key(one.person) in map(person_key, approval.people())


def seen_in(approval: Approval) -> Seen:
    """What is shown, as an answer is bound to it."""
    return Seen(approval.action_hash, approval.opened_at)


def ask_message(approval: Approval) -> dict[str, Any]:
    """The question as the text channel shows it: `details` is all of it, where that is more than title and action."""
    takes = approval.takes()
    has_more = any(part is not None for part in (approval.details, approval.about, approval.calls))
    return {
        "type": "ask",
        "id": approval.id,
        "title": one_line(approval.title),
        "action": approval.action,
        "details": question_text(approval) if has_more else None,
        "choices": [one_line(choice) for choice in takes.choices] or None,
        "free_text": takes.free_text,
        "action_hash": approval.action_hash,
        "expires_at": iso_or_none(approval.expires_at),
    }


def outcome(approval: Approval) -> str:
    """What became of a question, in one line for people."""
    said = answered(approval.given())
    by = ", ".join(one_line(one.by) for one in approval.given())
    what = approval.status if said is None else "answered"
    return f"{what}{f' by {by}' if by else ''}{'' if said is None else f': {one_line(said)}'}"


def _vote(message: Message, approval: Approval | None) -> Vote:
    """The vote in a message.

    Raises:
        ValidationFailed: it holds none.
    """
    decision, choice, text = message.get("decision"), message.get("choice"), message.get("text")
    if not _says_something(decision, choice, text):
        raise ValidationFailed("An answer approves, rejects, chooses, or says something.")
    if choice is not None and approval is not None:
        choice = {one_line(one): one for one in approval.takes().choices}.get(choice, choice)
    says = text if choice is None and decision != "reject" and _takes_text(approval) else None
    try:
        return Vote(approve=decision != "reject", reason=None if says else text, choice=choice, text=says)
    except ValueError:
        raise ValidationFailed("A choice or a text of this answer is too long, or no text.") from None


def _says_something(decision: Any, choice: Any, text: Any) -> bool:
    """Whether there is an answer at all: a decision, or else a choice or a text."""
    if decision is None:
        return choice is not None or text is not None
    return decision in ("approve", "reject")


def _takes_text(approval: Approval | None) -> bool:
    """Whether what is written is the answer, and no reason beside one."""
    return approval is not None and approval.takes().free_text
