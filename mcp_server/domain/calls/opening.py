"""How a call is opened: once for each idempotency key, with the task that holds it, and those who are asked in."""

from typing import NamedTuple

from mcp_server.domain.calls.joins import CALLS_AT_ONCE, Offer, Opened, offer, take_part
from mcp_server.domain.calls.model import LiveCall, NewCall, Participant
from mcp_server.domain.calls.rows import recorded
from mcp_server.domain.calls.transactions import CALL_KIND, Invite, asked_in
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.kernel.authority import VIA
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.events import Origin
from mcp_server.kernel.keys import Key, key_conflict
from mcp_server.kernel.store import Transaction

OPEN_MAX = 50
"""How many calls may wait or go on at once on one database."""

OPEN_OF_ONE_MAX = OPEN_MAX // 2
"""How many of them one caller may have opened; the local user, who is alone, all."""

_RETRY = RetrySpec(max_attempts=100, delay_seconds=1, max_delay_seconds=30)
"""A call that waits is held again, however often its server is killed."""


class Opening(NamedTuple):
    """A call to open.

    Attributes:
        new: the call itself.
        invite: whom it asks in.
        parent_id: the task whose child it is.
        at_once: how many calls may go on at once.
        offer: of a program of the caller's that takes part at once.
        of_one_max: how many calls the caller may have open.
    """

    new: NewCall
    invite: Invite
    parent_id: str | None = None
    at_once: int = 10
    offer: Offer | None = None
    of_one_max: int = OPEN_OF_ONE_MAX


def open_call(tx: Transaction, origin: Origin, opening: Opening) -> Opened:
    """Open a call with the task that holds it, and ask people in; or find the one that was opened under this key.

    Raises:
        IdempotencyConflict: the key was used for another call.
        LimitExceeded: as many calls as there may be, or as one caller may have.
        NotFound: a named agent or the parent does not exist.
    """
    earlier = _earlier(tx, opening.new.key.owned_by(origin.principal))
    if earlier is not None:
        return _again(tx, origin, earlier, opening)
    _require_room(tx, origin, opening.of_one_max)
    call_id, task_id = origin.new_id("call"), origin.new_id("task")
    call, event = LiveCall.opened(call_id, opening.new, task_id, origin)
    caused = origin.caused_by(tx.record(origin, event))
    create_one(tx, caused, _holding(call, opening), task_id)
    call = asked_in(tx, caused, call, opening.invite)
    asked = [one.n for one in call.people()]
    if opening.offer is None:
        return Opened(call, asked)
    me = Participant(len(asked) + 1, origin.actor, "agent", agent_id=origin.party)
    return offer(tx, caused, recorded(tx, caused, call.invited([me], origin.at)), me.n, opening.offer, opening.at_once)


def _earlier(tx: Transaction, key: Key) -> LiveCall | None:
    """The call that was opened under this key."""
    if key.idempotency_key is None:
        return None
    row = tx.one("call_by_key", key=key.idempotency_key, owner=key.key_owner)
    if row is not None and row["content_hash"] != key.content_hash:
        raise key_conflict(key.idempotency_key, "call", row["id"], row["purpose"])
    return None if row is None else LiveCall.adopt(row)


def _again(tx: Transaction, origin: Origin, call: LiveCall, opening: Opening) -> Opened:
    """What is told of a call that is there already: nobody is asked in again, and the links are those of then.

    The program that opened it takes part by the offer that it has now. Of a call that is over nothing is left to join.
    """
    if call.is_over:
        return Opened(call, replayed=True)
    if opening.offer is None:
        return Opened(call, range(1, len(opening.invite.asked) + 1), replayed=True)
    return take_part(tx, origin, call.id, opening.offer, opening.at_once)._replace(replayed=True)


def _holding(call: LiveCall, opening: Opening) -> TaskSpec:
    return TaskSpec(
        title=f"Hold {call.id}",  # not its purpose: who may see tasks need not see calls
        kind=f"{CALL_KIND}webrtc",
        input={"call_id": call.id},
        parent_id=opening.parent_id,
        retry=_RETRY,
    )


def _require_room(tx: Transaction, origin: Origin, of_one_max: int) -> None:
    own = tx.one("calls_open_of", principal=origin.principal, via=f"{VIA}{origin.principal}")
    if own is not None and own["n"] >= of_one_max:
        raise LimitExceeded(
            f"{own['n']} calls of yours wait or go on here, as many as one caller may have.",
            next="End some: calls_control(action='end').",
            details={"calls_max": of_one_max},
        )
    tx.one("calls_guard", name=CALLS_AT_ONCE)
    counts = tx.one("calls_open_count")
    if counts is not None and counts["n"] >= OPEN_MAX:
        raise LimitExceeded(
            f"{OPEN_MAX} calls wait or go on here, as many as may.",
            next="End some: calls_control(action='end').",
            details={"calls_max": OPEN_MAX},
        )
