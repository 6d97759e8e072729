"""Transaction functions by which somebody comes into a call: an offer is left for the server that holds it."""

from collections.abc import Sequence
from typing import NamedTuple

from mcp_server.domain.calls.joining import LinkOver, LinkUsed
from mcp_server.domain.calls.model import LiveCall, Participant
from mcp_server.domain.calls.rows import load, load_open, recorded, require_seats
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded
from mcp_server.kernel.events import Origin
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros, duration

REQUESTS_MAX = 200
JOINS_MAX = 200
"""How often one participant may join: a bad line is joined again once in some seconds, which an hour may take."""
CALLS_AT_ONCE = "calls at once"
"""What is held while calls are counted, so that two servers do not each let the last one in."""
REQUEST_LASTS: Micros = duration(60)


class Offer(NamedTuple):
    """An offer to be answered: whose, and what it says as JSON text."""

    data: str
    name: str | None = None
    sha256: str | None = None
    returns: str | None = None


class Opened(NamedTuple):
    """What came of asking somebody into a call.

    Attributes:
        call: as it is now.
        asked: the numbers of those who were asked in.
        request_id: of the offer that waits for an answer.
        replayed: whether an idempotency key found it, so that nobody was asked in now.
    """

    call: LiveCall
    asked: Sequence[int] = ()
    request_id: str | None = None
    replayed: bool = False


def take_part(tx: Transaction, origin: Origin, call_id: str, said: Offer, at_once: int) -> Opened:
    """A program of the caller's takes part by its offer; one that did before comes back so.

    Raises:
        InvalidTransition: the call is over.
    """
    call = load_open(tx, call_id)
    mine = next((one for one in call.people() if one.agent_id == origin.party), None)
    if mine is None:
        mine = Participant(len(call.people()) + 1, origin.actor, "agent", agent_id=origin.party)
        require_seats(call, 1)
        call = recorded(tx, origin, call.invited([mine], origin.at))
    return offer(tx, origin, call, mine.n, said, at_once)


def join(tx: Transaction, origin: Origin, call_id: str, n: int, said: Offer, at_once: int) -> Opened:
    """A person takes part by a link.

    Raises:
        LinkOver: its time is over, or the call's.
        LinkUsed: somebody has joined by it, and this is not who did.
        LimitExceeded: too many calls go on.
    """
    call = load(tx, call_id)
    one = call.participant(n)
    require_link(call, one, origin.at)
    if one.joins == 0 and one.state == "joining":
        raise LinkUsed("Somebody is joining by this link right now.", next="Try again in a minute, should that fail.")
    if one.joins > 0:
        known = tx.one("call_return", call_id=call_id, peer=n)
        if known is None or said.sha256 != known["sha256"]:
            raise LinkUsed(
                "This link was used to join already, and it is good once.",
                next="Go back to the window that has joined, or ask for another link.",
            )
    elif said.returns is not None:
        tx.run("call_return_keep", call_id=call_id, peer=n, sha256=said.returns)
    return offer(tx, origin, call, n, said, at_once)


def require_link(call: LiveCall, one: Participant, now: Micros) -> None:
    """Refuse a link whose time is over, or whose call is.

    Raises:
        LinkOver: saying which.
    """
    if call.is_over:
        raise LinkOver(f"This call has {call.status}.", next="Nothing is left to do here.")
    if one.joins == 0 and call.expires_at <= now:
        raise LinkOver("The time to join this call is over.", next="Ask for another.")


def offer(tx: Transaction, origin: Origin, call: LiveCall, n: int, said: Offer, at_once: int) -> Opened:
    """Have an offer answered by the server that holds the call: one of a participant at a time, and so often."""
    one = call.participant(n)
    if one.joins >= JOINS_MAX:
        raise LimitExceeded(f"{named(one.name)} has joined {JOINS_MAX} times.", next="Ask for another call.")
    if tx.one("call_join_waits", call_id=call.id, peer=n) is not None:
        raise LimitExceeded(f"An offer of {named(one.name)} waits for its answer still.", next="Try again in a moment.")
    if call.status == "pending":
        _require_room(tx, call, at_once)
    call = recorded(tx, origin, call.joining(n, said.name, origin.at))
    return Opened(call, request_id=ask_owner(tx, origin, call, n, "join", said.data))


def _require_room(tx: Transaction, call: LiveCall, at_once: int) -> None:
    """Refuse one call too many before anything of it is made: calls count in which somebody is, or is let in now."""
    tx.one("calls_guard", name=CALLS_AT_ONCE)
    others = tx.one("calls_live_count", call_id=call.id)
    if others is not None and others["n"] >= at_once:
        raise LimitExceeded(
            f"{at_once} calls go on here at once, as many as may.",
            next="Try again in some minutes.",
            details={"calls_at_once": at_once},
        )


def ask_owner(tx: Transaction, origin: Origin, call: LiveCall, n: int, kind: str, data: str) -> str:
    """Leave something for the server that holds a call; the request's id."""
    count = tx.one("call_request_count", call_id=call.id)
    if count is not None and count["n"] >= REQUESTS_MAX:
        raise LimitExceeded(f"{REQUESTS_MAX} requests wait at the call {call.id} already.", next="Wait a moment.")
    request_id = origin.new_id("request")
    times = {"created_at": origin.at, "expires_at": origin.at + REQUEST_LASTS}
    tx.run("call_request_insert", id=request_id, call_id=call.id, peer=n, kind=kind, data=data, **times)
    return request_id


def take_back(tx: Transaction, origin: Origin, request_id: str) -> str | None:
    """End the wait for an answer: what was answered; None where nobody did, and then the offer is none any more."""
    row = tx.one("call_request", id=request_id)
    if row is None:
        return None
    tx.run("call_request_delete", id=request_id)
    call = load(tx, row["call_id"])
    if row["answer"] is None and not call.is_over:
        unjoin(tx, origin, call, row["peer"])
    return row["answer"]


def unjoin(tx: Transaction, origin: Origin, call: LiveCall, n: int) -> LiveCall:
    """An offer comes to nothing; a link by which nobody has joined is good again."""
    if call.participant(n).joins == 0:
        tx.run("call_return_drop", call_id=call.id, peer=n)
    return recorded(tx, origin, call.refused(n, origin.at))


def candidate(tx: Transaction, origin: Origin, call_id: str, data: str) -> LiveCall:
    """One more way to reach the caller's program."""
    call = load_open(tx, call_id)
    mine = next((one for one in call.people() if one.agent_id == origin.party), None)
    if mine is None:
        raise InvalidTransition(
            "No program of yours takes part in this call, so there is no connection for a candidate.",
            next="Join first: calls_control(action='accept_offer', offer=...).",
        )
    ask_owner(tx, origin, call, mine.n, "candidate", data)
    return call
