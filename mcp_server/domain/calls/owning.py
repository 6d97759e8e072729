"""What the server that holds a call writes. Each write names its fence, which another server's taking over raises: what
one that was thought dead has to say does not count any more."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mcp_server.domain.calls.joins import unjoin
from mcp_server.domain.calls.model import LINES_MAX, LIVE, Line, LiveCall, Participant
from mcp_server.domain.calls.rows import close, insert_line, load, put_line, recorded
from mcp_server.domain.tasks.rows import after_end, load_task
from mcp_server.kernel.errors import LeaseLost
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros, duration

if TYPE_CHECKING:
    from mcp_server.domain.calls.orders import Recorded

OWNED_FOR: Micros = duration(6)
"""After how long without a sign of its server a call has failed."""

SERVER_ENDED = "the server that held it ended"


class Fence(NamedTuple):
    """The right to hold a call."""

    call_id: str
    number: int


class Taken(NamedTuple):
    """A call, and the right to hold it; None where it is over."""

    call: LiveCall
    fence: Fence | None


def take(tx: Transaction, origin: Origin, call_id: str, owner: str) -> Taken:
    """Hold a call from now on. One in which somebody was has lost its media with the server that held it."""
    tx.one("call_owner", call_id=call_id)  # locked in the order in which all do
    call = load(tx, call_id)
    if call.status in LIVE:
        call = close(tx, origin, call.over("failed", SERVER_ENDED, origin.at))
    if call.is_over:
        tx.run("call_owner_leaves", call_id=call_id)
        return Taken(call, None)
    tx.run("call_owner_takes", call_id=call_id, owner=owner)
    row = tx.one("call_owner", call_id=call_id)
    assert row is not None, "just written"
    return Taken(call, Fence(call_id, row["fence"]))


def stay(tx: Transaction, origin: Origin, fence: Fence) -> None:
    """Give a sign of life.

    Raises:
        LeaseLost: another server holds the call, or it has failed.
    """
    if not tx.run("call_owner_stays", call_id=fence.call_id, fence=fence.number, expires_at=origin.at + OWNED_FOR):
        raise _fenced_off(fence)


def leave(tx: Transaction, origin: Origin, fence: Fence) -> LiveCall:
    """Hold a call no longer, since its server ends: one that waits is held by another; one that goes on has failed, or
    has ended where its task was cancelled."""
    call = _held(tx, fence)
    tx.run("call_owner_leaves", call_id=call.id)
    if call.status not in LIVE:
        return call
    if load_task(tx, call.task_id).cancel_requested:
        return close(tx, origin, call.over("ended", "its task was cancelled", origin.at))
    return close(tx, origin, call.over("failed", SERVER_ENDED, origin.at))


def lose(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """A call whose server gave no sign of life in time has failed; its task goes back to the queue, where another
    server ends it."""
    call = load(tx, row["call_id"])
    tx.run("call_owner_leaves", call_id=call.id)
    if call.status in LIVE:
        close(tx, origin, call.over("failed", SERVER_ENDED, origin.at))
    task = load_task(tx, call.task_id)
    if task.status == "running":
        new, event = task.handed_back(origin.at, SERVER_ENDED)
        after_end(tx, origin, new, tx.record(origin, event))


def release(tx: Transaction, origin: Origin, fence: Fence) -> None:
    """A call that is over is held no longer."""
    del origin
    row = tx.one("call_owner", call_id=fence.call_id)
    if row is not None and row["fence"] == fence.number:
        tx.run("call_owner_leaves", call_id=fence.call_id)


def answer(tx: Transaction, origin: Origin, fence: Fence, request_id: str, n: int, sdp: str) -> LiveCall | None:
    """An offer has its answer; None where nobody waits for it any more."""
    call = _held(tx, fence)
    if not tx.run("call_request_answer", id=request_id, answer=dump_json({"answer": sdp})):
        return None
    stay(tx, origin, fence)
    return recorded(tx, origin, call.answered(n, origin.at))


def refuse(tx: Transaction, origin: Origin, fence: Fence, request_id: str, n: int, why: str) -> None:
    """An offer that cannot be answered, and why."""
    call = _held(tx, fence)
    if tx.run("call_request_answer", id=request_id, answer=dump_json({"refused": why})):
        unjoin(tx, origin, call, n)


def done(tx: Transaction, origin: Origin, fence: Fence, request_id: str) -> None:
    """A request that nobody waits for was handed on."""
    del origin
    _held(tx, fence)
    tx.run("call_request_delete", id=request_id)


def moved(
    tx: Transaction, origin: Origin, fence: Fence, n: int, what: Literal["connected", "away", "back"]
) -> LiveCall:
    """A participant is there, is not heard of, or is again."""
    call = _held(tx, fence)
    one = call.participant(n)
    if call.is_over or not _is_news(one, what):
        return call
    steps = {"connected": call.connected, "away": call.away, "back": call.back}
    call = recorded(tx, origin, steps[what](n, origin.at))
    note = {"connected": "joined" if one.joins == 1 else "is back", "away": "is not heard of", "back": "is back"}[what]
    warned = "; this call is recorded" if what == "connected" and one.joins == 1 and call.record else ""
    return _noted(tx, origin, call, f"{named(one.name)} {note}{warned}")


def gone(tx: Transaction, origin: Origin, fence: Fence, n: int, reason: str) -> LiveCall:
    """A participant hung up, or is gone; who was the last ends the call."""
    call = _held(tx, fence)
    one = call.participant(n)
    if call.is_over or one.state not in ("joining", "joined", "away"):
        return call
    if one.was_never_there:
        tx.run("call_return_drop", call_id=call.id, peer=n)
    else:
        call = _noted(tx, origin, call, f"{named(one.name)} left: {reason}")
    new, event = call.left(n, reason, origin.at)
    return close(tx, origin, (new, event)) if new.is_over else recorded(tx, origin, (new, event))


def heard(tx: Transaction, origin: Origin, fence: Fence, line: Line) -> LiveCall | None:
    """What a participant said; None where the call is over."""
    call = _held(tx, fence)
    return None if call.is_over else put_line(tx, origin, call, line)


def told(tx: Transaction, origin: Origin, fence: Fence, approval_id: str, line: Line) -> LiveCall | None:
    """A question of the call has its answer; None where that was told before."""
    call = _held(tx, fence)
    if call.is_over or approval_id not in call.questions():
        return None
    return insert_line(tx, origin, recorded(tx, origin, call.told(approval_id, origin.at)), line)


def fail(tx: Transaction, origin: Origin, fence: Fence, reason: str) -> LiveCall:
    """The machinery gave way."""
    call = _held(tx, fence)
    return call if call.is_over else close(tx, origin, call.over("failed", reason, origin.at))


def record(tx: Transaction, origin: Origin, fence: Fence, heard: "Recorded") -> None:
    """Keep a piece of the recording."""
    del origin
    _held(tx, fence)
    piece = {"bytes": len(heard.pcm), "level_dbfs": float(heard.level_dbfs), "pcm": heard.pcm}
    tx.run("call_audio_insert", call_id=fence.call_id, **piece)


def _is_news(one: Participant, what: str) -> bool:
    return {"connected": "joining", "away": "joined", "back": "away"}[what] == one.state


def _noted(tx: Transaction, origin: Origin, call: LiveCall, text: str) -> LiveCall:
    """The call with a note; a transcript that is full takes none, and the call goes on."""
    return call if call.lines >= LINES_MAX else put_line(tx, origin, call, Line("desk", "note", text))


def _held(tx: Transaction, fence: Fence) -> LiveCall:
    row = tx.one("call_owner", call_id=fence.call_id)
    if row is None or row["fence"] != fence.number:
        raise _fenced_off(fence)
    return load(tx, fence.call_id)


def _fenced_off(fence: Fence) -> LeaseLost:
    return LeaseLost(f"Another server holds {fence.call_id} now, or it is over.", next="Leave it alone.")
