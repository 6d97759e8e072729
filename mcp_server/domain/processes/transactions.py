"""Transaction functions of supervised processes. What a supervisor writes counts only while it holds its fence."""

from collections.abc import Sequence
from typing import NamedTuple

from mcp_server.domain.processes.hooks import PROCESS_CHANGED, PROCESSES_SEEN
from mcp_server.domain.processes.model import (
    HOST_LOST_AFTER,
    Fence,
    Process,
    Started,
    Want,
    fenced_off,
    moved_on,
    no_process,
)
from mcp_server.domain.processes.running import Exit, Identity
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND, Micros

LEASE: Micros = 7 * SECOND // 2
"""How long the right to supervise lasts beyond its holder's last sign of life."""


class Supervisor(NamedTuple):
    """A server that supervises: its host, and what tells it from all others."""

    host: str
    holder: str


def want(tx: Transaction, origin: Origin, wanted: Want) -> Process:
    """Have a process run from now on, until it is unwanted. One that is wanted already is tried again at once where it
    rests after failures."""
    row = tx.one("process_for_update", id=wanted.id)
    if row is None:
        process, event = Process.first_wanted(wanted, origin.at)
    else:
        process, event = Process.adopt(row).wanted_again(wanted, origin.at)
    tx.record(origin, event)
    return process


def respecify(
    tx: Transaction, origin: Origin, process_id: str, spec: RawJson, *, unstarted_since: int | None = None
) -> Process:
    """Say anew what is to run in a place. What runs there goes on.

    Args:
        tx: the transaction.
        origin: who says so.
        process_id: of the place.
        spec: what is to run.
        unstarted_since: the version that one has seen, where it counts only as long as nothing has happened since.

    Raises:
        NotFound: there is none of that id.
        LeaseLost: something has happened since.
    """
    process = _load(tx, process_id)
    if unstarted_since is not None and (process.pid is not None or process.version != unstarted_since):
        raise moved_on(process_id)
    return _record(tx, origin, process.respecified(spec, origin.at))


def unwant(tx: Transaction, origin: Origin, process_id: str, reason: str) -> None:
    """Have a process run no longer. Its supervisor asks it to end.

    Raises:
        NotFound: there is none of that id.
    """
    process = _load(tx, process_id)
    if process.wanted:
        _record(tx, origin, process.unwanted(reason, origin.at))


def forget(tx: Transaction, origin: Origin, process: Process) -> None:
    """Take away one that has stopped and whose owner is gone."""
    tx.append(origin, Event("process.forgotten", "process", process.id, process.version + 1, {}))
    tx.run("process_delete", id=process.id)


def processes_of(tx: Transaction, owner_kind: str, owner_id: str) -> list[Process]:
    """Every place of an owner, in the order of their numbers."""
    return [Process.adopt(row) for row in tx.all("processes_of_owner", owner_kind=owner_kind, owner_id=owner_id)]


def hold(tx: Transaction, origin: Origin, who: Supervisor, scopes: Sequence[str]) -> dict[str, Fence]:
    """Supervise what nobody else supervises, and go on with what one supervises already; all that one holds now."""
    expires_at = origin.at + LEASE
    tx.run("supervisor_stays", host=who.host, holder=who.holder, expires_at=expires_at)
    held: dict[str, Fence] = {}
    for scope in sorted(scopes):
        number = _taken(tx, origin, who, scope, expires_at)
        if number is not None:
            held[scope] = Fence(scope, who.host, number)
    return held


def _taken(tx: Transaction, origin: Origin, who: Supervisor, scope: str, expires_at: Micros) -> int | None:
    """The number of the fence, where it is one's own now."""
    row = tx.one("supervisor_of", scope=scope, host=who.host)
    if row is None:
        is_first = tx.run("supervisor_first", scope=scope, **who._asdict(), expires_at=expires_at)
        return 1 if is_first else None
    if row["holder"] == who.holder:
        return row["fence"]
    if row["expires_at"] > origin.at:
        return None
    tx.run("supervisor_takes_over", scope=scope, **who._asdict(), fence=row["fence"], expires_at=expires_at)
    return row["fence"] + 1


def let_go(tx: Transaction, origin: Origin, who: Supervisor) -> None:
    """Let others supervise at once."""
    tx.run("supervisor_leaves", **who._asdict(), now=origin.at)


def seen(tx: Transaction, origin: Origin, process_ids: Sequence[str]) -> None:
    """These run still."""
    tx.tell(PROCESSES_SEEN, origin, process_ids)


def abandon(tx: Transaction, origin: Origin, fence: Fence, boot: str) -> int:
    """Take over what ran on hosts that nobody has supervised for long; how many processes that were. What has the same
    boot runs on this very host, which was called otherwise before.

    Raises:
        LeaseLost: another supervises now.
    """
    _guard(tx, fence)
    rows = tx.all("processes_left_behind", scope=fence.scope, before=origin.at - HOST_LOST_AFTER)
    for row in rows:
        process = _load(tx, row["id"])
        is_here = process.boot == boot
        _record(
            tx,
            origin,
            process.found_again(fence.host, origin.at) if is_here else process.abandoned(fence.host, origin.at),
        )
    return len(rows)


def begun(tx: Transaction, origin: Origin, fence: Fence, process_id: str, place: Started) -> Process:
    """A process is ready to go, in a place that has none.

    Raises:
        LeaseLost: another supervises now, the place has a process, or none is wanted there.
    """
    process = _supervised(tx, fence, process_id, None)
    if not process.wanted or process.host not in (None, fence.host):
        raise moved_on(process_id)
    return _record(tx, origin, process.begun(place, origin.at))


def adopted(tx: Transaction, origin: Origin, fence: Fence, process_id: str, identity: Identity) -> Process:
    """A process that another supervised runs still.

    Raises:
        LeaseLost: another supervises now, or another process stands in its place.
    """
    return _record(tx, origin, _supervised(tx, fence, process_id, identity).taken_over(origin.at))


def asked_to_end(
    tx: Transaction, origin: Origin, fence: Fence, process_id: str, identity: Identity, reason: str, at_once: bool
) -> Process:
    """A process is about to be asked to end.

    Raises:
        LeaseLost: another supervises now, or another process stands in its place.
    """
    process = _supervised(tx, fence, process_id, identity)
    return _record(tx, origin, process.asked_to_end(reason, at_once=at_once, now=origin.at))


def ended(
    tx: Transaction, origin: Origin, fence: Fence, process_id: str, identity: Identity, how: Exit, why: str | None
) -> Process:
    """A process has ended.

    Raises:
        LeaseLost: another supervises now, or another process stands in its place.
    """
    return _record(tx, origin, _supervised(tx, fence, process_id, identity).ended(how, origin.at, why))


def not_started(tx: Transaction, origin: Origin, fence: Fence, process_id: str, why: str) -> Process:
    """A process could not be started.

    Raises:
        LeaseLost: another supervises now, or a process stands in its place.
    """
    return _record(tx, origin, _supervised(tx, fence, process_id, None).not_started(why, origin.at))


def _supervised(tx: Transaction, fence: Fence, process_id: str, identity: Identity | None) -> Process:
    """A process that one supervises, and that is what one takes it for."""
    _guard(tx, fence)
    process = _load(tx, process_id)
    if process.identity != identity or process.scope != fence.scope:
        raise moved_on(process_id)
    return process


def _guard(tx: Transaction, fence: Fence) -> None:
    row = tx.one("supervisor_of", scope=fence.scope, host=fence.host)
    if row is None or row["fence"] != fence.number:
        raise fenced_off(fence)


def _load(tx: Transaction, process_id: str) -> Process:
    row = tx.one("process_for_update", id=process_id)
    if row is None:
        raise no_process(process_id)
    return Process.adopt(row)


def _record(tx: Transaction, origin: Origin, changed: tuple[Process, Event]) -> Process:
    process, event = changed
    cause = tx.record(origin, event)
    tx.tell(PROCESS_CHANGED, origin.caused_by(cause), process)
    return process
