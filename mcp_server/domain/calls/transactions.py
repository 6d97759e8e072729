"""Transaction functions of calls: open, invite, join, speak, hold, end; and what a task's life does to its call.

What the server that holds a call writes is in `owning.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.transactions import named_agent, require_staying
from mcp_server.domain.calls.joins import Offer, Opened, ask_owner, offer, take_back
from mcp_server.domain.calls.model import ASKED_MAX, Line, LiveCall, NewCall, Participant
from mcp_server.domain.calls.rows import close, insert_line, load, load_open, put_line, recorded, require_seats
from mcp_server.domain.email import transactions as outbox
from mcp_server.domain.email.transactions import NewEmail
from mcp_server.domain.messages import transactions as mailbox
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.kernel.authority import VIA
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Transaction

CALL_KIND = "system.call."
"""How the kinds of tasks begin that hold a call; what a process can do follows."""

OPEN_MAX = 50
"""How many calls may wait or go on at once on one database."""

OPEN_OF_ONE_MAX = OPEN_MAX // 2
"""How many of them one caller may have opened; the local user, who is alone, all."""

_RETRY = RetrySpec(max_attempts=100, delay_seconds=1, max_delay_seconds=30)
"""A call that waits is held again, however often its server is killed."""


class Asked(NamedTuple):
    """Whom to ask in: how they are known, where mail reaches them, and what such a mail is queued as."""

    participant: Participant
    address: str | None = None


class Invite(NamedTuple):
    """People to ask in, and what makes the mail for one of them, given the call's id."""

    asked: Sequence[Asked]
    mail: Callable[[str, Asked], NewEmail]


class Opening(NamedTuple):
    """A call to open; the offer of a program that takes part at once, if there is one."""

    new: NewCall
    invite: Invite
    kind: str
    parent_id: str | None = None
    at_once: int = 10
    offer: Offer | None = None
    of_one_max: int = OPEN_OF_ONE_MAX


def open_call(tx: Transaction, origin: Origin, opening: Opening) -> Opened:
    """Open a call with the task that holds it, and ask people in.

    Raises:
        LimitExceeded: as many calls as there may be, or as one caller may have.
        NotFound: a named agent or the parent does not exist.
    """
    _require_room(tx, origin, opening.of_one_max)
    call_id, task_id = origin.new_id("call"), origin.new_id("task")
    call, event = LiveCall.opened(call_id, opening.new, task_id, origin)
    caused = origin.caused_by(tx.record(origin, event))
    create_one(tx, caused, _holding(call, opening), task_id)
    call = _asked_in(tx, caused, call, opening.invite)
    asked = [one.n for one in call.people()]
    if opening.offer is None:
        return Opened(call, asked)
    me = Participant(len(asked) + 1, origin.actor, "agent", agent_id=origin.party)
    return offer(tx, caused, recorded(tx, caused, call.invited([me], origin.at)), me.n, opening.offer, opening.at_once)


def invite(tx: Transaction, origin: Origin, call_id: str, more: Invite) -> Opened:
    """Ask more people in.

    Raises:
        InvalidTransition: the call is over.
        LimitExceeded: it has as many as it may.
    """
    call = load_open(tx, call_id)
    before = len(call.people())
    call = _asked_in(tx, origin, call, more)
    return Opened(call, [one.n for one in call.people()[before:]])


def say(tx: Transaction, origin: Origin, call_id: str, line: Line) -> LiveCall:
    """One more line in the transcript.

    Raises:
        InvalidTransition: the call is over.
        LimitExceeded: it has as many lines as it may.
    """
    return put_line(tx, origin, load_open(tx, call_id), line)


def play(tx: Transaction, origin: Origin, call_id: str, line: Line, wav: str) -> LiveCall:
    """Have a WAV file played, as base64."""
    call = put_line(tx, origin, load_open(tx, call_id), line)
    ask_owner(tx, origin, call, 0, "play", dump_json({"wav": wav}))
    return call


def ask(tx: Transaction, origin: Origin, call_id: str, approval_id: str, line: Line) -> LiveCall:
    """Put a question to those in the call."""
    call = load_open(tx, call_id)
    if approval_id in call.questions():
        raise InvalidTransition(f"{approval_id} is asked in {call_id} already.", next="Listen for the answer.")
    if len(call.questions()) >= ASKED_MAX:
        raise LimitExceeded(f"{ASKED_MAX} questions are open in {call_id} already.", next="Wait for their answers.")
    return insert_line(tx, origin, recorded(tx, origin, call.asking(approval_id, origin.at)), line)


def quiet(tx: Transaction, origin: Origin, call_id: str, action: str) -> LiveCall:
    """Hold, resume, mute or unmute; what is so already stays so.

    Raises:
        InvalidTransition: the call is over, or nobody is there yet.
    """
    call = load_open(tx, call_id)
    if action in ("mute", "unmute"):
        on = action == "mute"
        if bool(call.muted) == on:
            return call
        call = recorded(tx, origin, call.muted_(on, origin.at))
    elif action == "hold":
        if call.status == "on_hold":
            return call
        call = recorded(tx, origin, call.held(origin.at))
    else:
        if call.status == "active":
            return call
        call = recorded(tx, origin, call.resumed(origin.at))
    return put_line(tx, origin, call, Line(origin.actor, "note", _NOTES[action]))


_NOTES = {"mute": "muted", "unmute": "no longer muted", "hold": "on hold", "resume": "no longer on hold"}


def end(tx: Transaction, origin: Origin, call_id: str, reason: str) -> LiveCall:
    """End a call, whoever holds it; one that is over stays as it is."""
    call = load(tx, call_id)
    return call if call.is_over else close(tx, origin, call.over("ended", reason, origin.at))


def settle_due(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """End a call whose time is over."""
    call = LiveCall.adopt(row)
    if call.started_at is None:
        close(tx, origin, call.over("failed", "nobody joined in time", origin.at))
    else:
        close(
            tx, origin, call.over("ended", f"it lasted {call.minutes_max:g} minutes, as long as calls may", origin.at)
        )


def forget_request(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Nobody waits for the answer any more."""
    take_back(tx, origin, row["id"])


def follow_end(tx: Transaction, origin: Origin, task: Task) -> None:
    """The call of a task that has ended otherwise than by the call's own end."""
    row = tx.one("call_by_task", task_id=task.id) if task.kind.startswith(CALL_KIND) else None
    if row is None or LiveCall.adopt(row).is_over:
        return
    call = LiveCall.adopt(row)
    reason = "its task was cancelled" if task.status == "cancelled" else "its task has failed"
    close(tx, origin, call.over("ended" if task.status == "cancelled" else "failed", reason, origin.at))


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Have a call end as long after now as after a moment that has not come yet, by which it was reckoned."""
    call = load(tx, row["id"])
    if call.due_at is not None and call.updated_at > origin.at:
        tx.record(origin, call.righted(origin.at)[1])


def forget(tx: Transaction, origin: Origin, call_id: str) -> None:
    """Keep no longer what was said in a call."""
    call = load(tx, call_id)
    if call.forgotten_at is None and call.is_over:
        tx.run("call_lines_forget", call_id=call_id)
        tx.run("call_audio_forget", call_id=call_id)
        recorded(tx, origin, call.forgotten(origin.at))


def _holding(call: LiveCall, opening: Opening) -> TaskSpec:
    return TaskSpec(
        title=f"Hold {call.id}",  # not its purpose: who may see tasks need not see calls
        kind=opening.kind,
        input={"call_id": call.id},
        parent_id=opening.parent_id,
        retry=_RETRY,
    )


def _asked_in(tx: Transaction, origin: Origin, call: LiveCall, more: Invite) -> LiveCall:
    if not more.asked:
        return call
    require_seats(call, len(more.asked))
    first = len(call.people()) + 1
    asked = [_numbered(tx, one, first + place) for place, one in enumerate(more.asked)]
    call = recorded(tx, origin, call.invited([one.participant for one in asked], origin.at))
    for one in asked:
        if one.address is not None:
            outbox.queue(tx, origin, more.mail(call.id, one))
        elif one.participant.kind == "agent":
            mailbox.send(tx, origin, _message(call, one.participant))
    return call


def _numbered(tx: Transaction, one: Asked, n: int) -> Asked:
    person = one.participant._replace(n=n)
    if person.kind == "agent":
        agent = named_agent(tx, person.name)
        require_staying(agent)
        person = person._replace(name=f"agent:{agent.name}", agent_id=agent.id)
    return one._replace(participant=person)


def _message(call: LiveCall, agent: Participant) -> SendMessage:
    body = (
        f"You are asked into the call {call.id}.\n\nTake part with calls_control(call_id='{call.id}', action='listen') "
        f"and action='say'; a program with WebRTC joins with action='accept_offer'."
    )
    return SendMessage(to=(agent.agent_id or agent.name,), subject=f"Call {call.id}", body=body)


def _require_room(tx: Transaction, origin: Origin, of_one_max: int) -> None:
    own = tx.one("calls_open_of", principal=origin.principal, via=f"{VIA}{origin.principal}")
    if own is not None and own["n"] >= of_one_max:
        raise LimitExceeded(
            f"{own['n']} calls of yours wait or go on here, as many as one caller may have.",
            next="End some: calls_control(action='end').",
            details={"calls_max": of_one_max},
        )
    counts = tx.one("calls_open_count")
    if counts is not None and counts["n"] >= OPEN_MAX:
        raise LimitExceeded(
            f"{OPEN_MAX} calls wait or go on here, as many as may.",
            next="End some: calls_control(action='end').",
            details={"calls_max": OPEN_MAX},
        )
