"""Transaction functions of named locks: holds, waiters in order, fencing numbers."""

from typing import NamedTuple

from mcp_server.domain.locks.model import (
    AcquireLock,
    Hold,
    LockMode,
    ReleaseLock,
    Wait,
    deadlock,
    find_deadlock,
    may_grant,
)
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros


class Acquired(NamedTuple):
    """The hold; or None, and who holds the lock."""

    hold: Hold | None
    others: list[Hold]


def acquire(tx: Transaction, origin: Origin, request: AcquireLock, wait_until: Micros | None = None) -> Acquired:
    """Grant the lock, or stand in line for it.

    An owner that holds the lock in the same mode already gets its hold renewed. A waiter keeps its place only while
    it asks again before `wait_until`, in microseconds UTC; None is not to wait.

    Raises:
        Conflict: waiting would close a circle of owners who wait for each other.
    """
    last_token = _guard(tx, request.name)
    holds = _live_holds(tx, origin, request.name)
    mine = next((hold for hold in holds if hold.owner == request.owner), None)
    if mine is not None and mine.mode == request.mode:
        return Acquired(_renew(tx, origin, mine, request.ttl_seconds), [])
    others = [hold for hold in holds if hold.owner != request.owner]
    before = _waiting_before(tx, origin, request)
    if may_grant(request.mode, [*(hold.mode for hold in others), *before]):
        return Acquired(_grant(tx, origin, request, last_token + 1, replaces=mine), [])
    if wait_until is not None:
        _refuse_deadlock(tx, origin, request, others)
        _stand_in_line(tx, origin, request, wait_until)
    return Acquired(None, others)


def leave_line(tx: Transaction, origin: Origin, name: str, owner: str) -> None:
    """Give up the place in line."""
    del origin
    tx.run("lock_waiter_delete", name=name, owner=owner)


def release(tx: Transaction, origin: Origin, command: ReleaseLock) -> Hold | None:
    """End a hold; or let it expire later and return it, where that is asked for.

    Raises:
        NotFound: the owner does not hold the lock (any more).
        InvalidTransition: the token is an earlier hold's.
    """
    hold = _require_hold(tx, origin, command)
    if command.renew_seconds is not None:
        return _renew(tx, origin, hold, command.renew_seconds)
    tx.run("lock_hold_delete", name=hold.name, owner=hold.owner)
    tx.append(origin, hold.gone("released"))
    return None


def abandon(tx: Transaction, origin: Origin, owner: str) -> None:
    """End every hold of an owner that is no more, and give up its places in line."""
    tx.run("lock_waiters_delete_of", owner=owner)
    for row in tx.all("lock_holds_of", owner=owner):
        _guard(tx, row["name"])
        tx.run("lock_hold_delete", name=row["name"], owner=owner)
        tx.append(origin, Hold.adopt(row).gone("abandoned"))


def expire(tx: Transaction, origin: Origin) -> int:
    """End the holds whose time is over. Returns how many."""
    rows = tx.all("expired_holds", now=origin.at, limit=100)
    for name in {row["name"] for row in rows}:
        _guard(tx, name)
        _live_holds(tx, origin, name)
    return len(rows)


def _guard(tx: Transaction, name: str) -> int:
    """The last fencing token granted; on PostgreSQL also keeps everyone else from this name until the commit."""
    row = tx.one("lock_guard", name=name)
    return 0 if row is None else row["last_token"] or 0


def _live_holds(tx: Transaction, origin: Origin, name: str) -> list[Hold]:
    live: list[Hold] = []
    for row in tx.all("lock_holds", name=name):
        hold = Hold.adopt(row)
        if hold.expires_at > origin.at:
            live.append(hold)
        else:
            tx.run("lock_hold_delete", name=name, owner=hold.owner)
            tx.append(origin, hold.gone("expired"))
    return live


def _waiting_before(tx: Transaction, origin: Origin, request: AcquireLock) -> list[LockMode]:
    place = tx.one("lock_waiter", name=request.name, owner=request.owner, now=origin.at)
    since = origin.at if place is None else place["since"]
    rows = tx.all("lock_waiters_before", name=request.name, owner=request.owner, now=origin.at, since=since)
    return [row["mode"] for row in rows]


def _refuse_deadlock(tx: Transaction, origin: Origin, request: AcquireLock, holds: list[Hold]) -> None:
    tx.one("lock_line_guard")
    waits = [Wait(**row) for row in tx.all("lock_waits", now=origin.at)]
    circle = find_deadlock([Wait(request.owner, request.name, hold.owner) for hold in holds], waits)
    if circle is not None:
        raise deadlock(circle)


def _stand_in_line(tx: Transaction, origin: Origin, request: AcquireLock, wait_until: Micros) -> None:
    place = tx.one("lock_waiter", name=request.name, owner=request.owner, now=origin.at)
    since = origin.at if place is None else place["since"]
    tx.run(
        "lock_waiter_save",
        name=request.name,
        owner=request.owner,
        mode=request.mode,
        since=since,
        expires_at=wait_until,
    )


def _grant(tx: Transaction, origin: Origin, request: AcquireLock, token: int, replaces: Hold | None) -> Hold:
    if replaces is not None:
        tx.run("lock_hold_delete", name=request.name, owner=request.owner)
        tx.append(origin, replaces.gone("released"))
    hold, event = Hold.granted(request, token, origin.at)
    tx.run("lock_token_save", name=request.name, token=token)
    tx.run("lock_hold_insert", **hold.fields())
    tx.run("lock_waiter_delete", name=request.name, owner=request.owner)
    tx.append(origin, event)
    return hold


def _renew(tx: Transaction, origin: Origin, hold: Hold, seconds: float) -> Hold:
    new, event = hold.renewed(seconds, origin.at)
    tx.run("lock_hold_renew", name=new.name, owner=new.owner, expires_at=new.expires_at)
    tx.append(origin, event)
    return new


def _require_hold(tx: Transaction, origin: Origin, command: ReleaseLock) -> Hold:
    _guard(tx, command.name)
    hold = next((hold for hold in _live_holds(tx, origin, command.name) if hold.owner == command.owner), None)
    if hold is None:
        raise NotFound(
            f"{command.owner!r} does not hold the lock {command.name!r}: it was released or has expired.",
            next="Acquire it again with locks_acquire before you go on.",
            details={"name": command.name, "owner": command.owner},
        )
    hold.require(command.fencing_token)
    return hold
