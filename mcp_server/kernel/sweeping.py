"""What time alone makes due, row by row: one that cannot be settled harms itself alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.kernel.area import Righting, Sweep
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Memory, Transaction

ROWS_AT_ONCE = 100


class Stuck(NamedTuple):
    """A row that could not be settled, and why."""

    key: str
    error: BaseException


class HalfDone(Exception):
    """A row failed after something was written for it: the transaction has to go back."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} failed in the midst")
        self.key = key


class Poisoned(Memory):
    """The keys of rows that failed in the midst, for those who pass over them. A rollback does not forget them: they
    are what it was for. The timer tries them again."""

    shared = True

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()

    def forget(self) -> None:
        """Nothing: what is known here was not written."""

    def add(self, key: str) -> None:
        """One more; of very many none is kept, since they may have been mended."""
        self.keys = frozenset((key,)) if len(self.keys) >= ROWS_AT_ONCE else self.keys | {key}


def settle_sound_rows(tx: Transaction, origin: Origin, sweep: Sweep) -> None:
    """`settle_rows` for one who has something else to do: passes over what has failed in the midst before.

    Raises:
        HalfDone: one failed so now; done again, it is passed over.
    """
    poisoned = tx.memory(Poisoned)
    try:
        settle_rows(tx, origin, sweep, poisoned.keys)
    except HalfDone as error:
        poisoned.add(error.key)
        raise


def settle_rows(tx: Transaction, origin: Origin, sweep: Sweep, passed_over: Collection[str] = ()) -> list[Stuck]:
    """Settle what is due, a hundred rows at most; those that could not be, with nothing written for them.

    Raises:
        HalfDone: one failed after something was written for it.
        Exception: the engine failed.
    """
    return settle_each(tx, origin, sweep, _due(tx, origin, sweep, passed_over))


def settle_each(
    tx: Transaction, origin: Origin, by: Sweep | Righting, rows: Sequence[Mapping[str, Any]]
) -> list[Stuck]:
    """Settle these rows; those that could not be, with nothing written for them.

    Raises:
        HalfDone: one failed after something was written for it.
        Exception: the engine failed.
    """
    stuck: list[Stuck] = []
    for row in rows:
        error = _settle(tx, origin, by, dict(row))
        if error is not None:
            stuck.append(Stuck(by.key(row), error))
    return stuck


def due_keys(tx: Transaction, origin: Origin, sweep: Sweep, passed_over: Collection[str]) -> list[str]:
    """The keys of what `settle_rows` would settle."""
    return [sweep.key(row) for row in _due(tx, origin, sweep, passed_over)]


def settle_alone(tx: Transaction, origin: Origin, sweep: Sweep, key: str, passed_over: Collection[str]) -> list[Stuck]:
    """`settle_rows` for one of them."""
    rows = [row for row in _due(tx, origin, sweep, passed_over) if sweep.key(row) == key]
    return settle_each(tx, origin, sweep, rows[:1])


def _due(tx: Transaction, origin: Origin, sweep: Sweep, passed_over: Collection[str]) -> list[dict[str, Any]]:
    limit = ROWS_AT_ONCE + len(passed_over)
    rows = tx.all(sweep.rows, now=origin.at, limit=limit, **sweep.parameters)
    return [row for row in rows if sweep.key(row) not in passed_over]


def _settle(tx: Transaction, origin: Origin, by: Sweep | Righting, row: dict[str, Any]) -> Exception | None:
    writes = tx.writes
    try:
        by.settle(tx, origin, row)
    except Exception as error:
        if tx.is_the_engines(error):
            raise
        if tx.writes != writes:
            raise HalfDone(by.key(row)) from error
        return error
    return None
