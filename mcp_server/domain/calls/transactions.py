"""Transaction functions of calls: invite, speak, hold, end; and what a task's life does to its call.

How one is opened is in `opening.py`, how somebody joins in `joins.py`, what the server that holds it writes in
`owning.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.rows import named_agent, require_staying
from mcp_server.domain.calls.acts import Acted
from mcp_server.domain.calls.joins import ask_owner, take_back
from mcp_server.domain.calls.model import ASKED_MAX, Line, LiveCall, Participant
from mcp_server.domain.calls.rows import close, insert_line, load, load_open, put_line, recorded, require_seats
from mcp_server.domain.email import transactions as outbox
from mcp_server.domain.email.transactions import NewEmail
from mcp_server.domain.messages import transactions as mailbox
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Transaction

CALL_KIND = "system.call."
"""How the kinds of tasks begin that hold a call; what a process can do follows."""


class Asked(NamedTuple):
    """Whom to ask in: how they are known, where mail reaches them, and what such a mail is queued as."""

    participant: Participant
    address: str | None = None


class Invite(NamedTuple):
    """People to ask in, and what makes the mail for one of them, given the call's id."""

    asked: Sequence[Asked]
    mail: Callable[[str, Asked], NewEmail]


def invite(tx: Transaction, origin: Origin, call_id: str, more: Invite) -> Acted:
    """Ask more people in.

    Raises:
        InvalidTransition: the call is over.
        LimitExceeded: it has as many as it may.
    """
    call = load_open(tx, call_id)
    before = len(call.people())
    call = asked_in(tx, origin, call, more)
    return Acted(call, [one.n for one in call.people()[before:]])


def asked_in(tx: Transaction, origin: Origin, call: LiveCall, more: Invite) -> LiveCall:
    """Ask people in: each hears of it by a mail or a message, or by a link that is shown.

    Raises:
        LimitExceeded: the call has as many as it may, or mails went to as many as they may.
        NotFound: a named agent does not exist.
    """
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


def say(tx: Transaction, origin: Origin, call_id: str, line: Line) -> Acted:
    """One more line in the transcript.

    Raises:
        InvalidTransition: the call is over.
        LimitExceeded: it has as many lines as it may.
    """
    return Acted(put_line(tx, origin, load_open(tx, call_id), line))


def play(tx: Transaction, origin: Origin, call_id: str, line: Line, wav: str) -> Acted:
    """Have a WAV file played, as base64."""
    call = put_line(tx, origin, load_open(tx, call_id), line)
    ask_owner(tx, origin, call, 0, "play", dump_json({"wav": wav}))
    return Acted(call)


def ask(tx: Transaction, origin: Origin, call_id: str, approval_id: str, line: Line) -> Acted:
    """Put a question to those in the call."""
    call = load_open(tx, call_id)
    if approval_id in call.questions():
        raise InvalidTransition(f"{approval_id} is asked in {call_id} already.", next="Listen for the answer.")
    if len(call.questions()) >= ASKED_MAX:
        raise LimitExceeded(f"{ASKED_MAX} questions are open in {call_id} already.", next="Wait for their answers.")
    call = insert_line(tx, origin, recorded(tx, origin, call.asking(approval_id, origin.at)), line)
    return Acted(call, approval_id=approval_id)


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
        tx.run("call_acts_forget", call_id=call_id)
        recorded(tx, origin, call.forgotten(origin.at))


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
