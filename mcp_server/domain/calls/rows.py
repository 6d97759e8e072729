"""Rows of calls: reading one to change it, writing down what changed, and the lines of its transcript."""

from mcp_server.domain.calls.model import LINES_MAX, PARTICIPANTS_MAX, Line, LiveCall, no_call
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def load(tx: Transaction, call_id: str) -> LiveCall:
    """The call, locked.

    Raises:
        NotFound: there is none.
    """
    row = tx.one("call_for_update", id=call_id)
    if row is None:
        raise no_call(call_id)
    return LiveCall.adopt(row)


def load_open(tx: Transaction, call_id: str) -> LiveCall:
    """The call, locked, where it is not over.

    Raises:
        InvalidTransition: it is.
    """
    call = load(tx, call_id)
    call.require_open()
    return call


def recorded(tx: Transaction, origin: Origin, moved: tuple[LiveCall, Event]) -> LiveCall:
    """Write a change down; the call as it is then."""
    call, event = moved
    tx.record(origin, event)
    return call


def close(tx: Transaction, origin: Origin, moved: tuple[LiveCall, Event]) -> LiveCall:
    """A call comes to its end: what is short-lived of it goes."""
    call = recorded(tx, origin, moved)
    tx.run("call_requests_drop", call_id=call.id)
    tx.run("call_returns_drop", call_id=call.id)
    return call


def put_line(tx: Transaction, origin: Origin, call: LiveCall, line: Line) -> LiveCall:
    """Number a line and keep it."""
    if call.lines >= LINES_MAX:
        raise LimitExceeded(f"A call has {LINES_MAX} lines at most.", next="End it, and open another.")
    new = recorded(tx, origin, call.said(origin.at))
    return insert_line(tx, origin, new, line)


def insert_line(tx: Transaction, origin: Origin, call: LiveCall, line: Line) -> LiveCall:
    """The row of a line that the call has just counted."""
    told = {"who": line.who, "peer": line.peer, "kind": line.kind, "text": line.text}
    tx.run("call_line_insert", call_id=call.id, n=call.lines, at=origin.at, **told)
    return call


def require_seats(call: LiveCall, more: int) -> None:
    """Refuse more participants than a call may have.

    Raises:
        LimitExceeded: saying how many.
    """
    if len(call.people()) + more > PARTICIPANTS_MAX:
        raise LimitExceeded(
            f"A call has {PARTICIPANTS_MAX} participants at most.",
            next="Open another.",
            details={"participants_max": PARTICIPANTS_MAX},
        )
