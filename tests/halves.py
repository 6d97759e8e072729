"""A rule of the domain is proved in a world on each engine in turn, and most statements of the second half have run on
that engine by then. With `RUN_ONCE_ON=postgres` (or `sqlite`) a half on that engine runs only where its other half has
run a statement with these filters, or written a column, null or not, that this engine has not met in this process: it
meets each, by whichever test comes first. The fast gate leaves the rest to CI, where every half runs.
"""

import inspect
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest

from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.postgres.transaction import PostgresTransaction
from mcp_server.persistence.sqlite.transaction import SqliteTransaction

ONCE_ON = os.environ.get("RUN_ONCE_ON", "")


class Halves:
    """Which statements each engine has met, and which each test has run where all of its halves run."""

    def __init__(self, once_on: str) -> None:
        self.once_on = once_on
        self._met: defaultdict[str, set[Hashable]] = defaultdict(set)
        self._ran: dict[str, set[Hashable]] = {}
        self._now = set[Hashable]()

    def begin(self, test: str, engine: str) -> None:
        """What is met from now on is met by this half of a test."""
        self._now = set()
        if engine == self.once_on:
            self._met[engine] |= self._ran.get(test, set())  # of that, what it does not run now has another way there
        else:
            self._ran[test] = self._now

    def meet(self, engine: str, *parts: Hashable) -> None:
        """An engine runs a statement, or what it is made of."""
        self._met[engine].update(parts)
        self._now.update(parts)

    def met(self, engine: str) -> set[Hashable]:
        """What an engine has met."""
        return self._met[engine]

    def is_met(self, test: str) -> bool:
        """Whether the other half has run, and nothing that is new to the engine that is spared."""
        return test in self._ran and self._ran[test] <= self._met[self.once_on]


_HALVES = Halves(ONCE_ON)


def is_in_a_world_alone(item: pytest.Item) -> bool:
    """Whether a test knows its database through its world only: others are about the engine, or about several users."""
    if not isinstance(item, pytest.Function) or "world" not in item.fixturenames or "url" not in _cases(item):
        return False
    asking = {name for name in item.fixturenames if "url" in _asked_by(item, name)}
    return asking <= {"world"} and "url" not in inspect.signature(item.function).parameters


def _cases(item: pytest.Function) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _asked_by(item: pytest.Function, fixture: str) -> Iterable[str]:
    return [name for one in item._fixtureinfo.name2fixturedefs.get(fixture, ()) for name in one.argnames]


def _named(item: pytest.Function, engine: str) -> str:
    """What both halves of a test are called."""
    test, _, case = item.nodeid.partition("[")
    return test + case.replace(engine, "", 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The half that may be spared comes last: on SQLite it is the first of the two."""
    if ONCE_ON == "sqlite":
        items.reverse()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Spare a half that brings its engine nothing new."""
    if not ONCE_ON or not is_in_a_world_alone(item):
        return
    assert isinstance(item, pytest.Function)
    engine = _cases(item)["url"]
    test = _named(item, engine)
    if engine == ONCE_ON and _HALVES.is_met(test):
        pytest.skip(f"{engine} has met each of its statements, and its other half has run")
    _HALVES.begin(test, engine)


def watch(halves: Halves, patch: pytest.MonkeyPatch) -> None:
    """Have it told which statements run."""
    for engine, kind in (("sqlite", SqliteTransaction), ("postgres", PostgresTransaction)):
        patch.setattr(kind, "_execute", _told_of_statements(halves, engine, kind._execute))
        patch.setattr(kind, "_write_row", _told_of_rows(halves, engine, kind._write_row))
    read, read_now = Database._read, Database._read_now

    def engine_of(database: Database) -> str:
        return "postgres" if isinstance(database.backend, PostgresBackend) else "sqlite"

    async def reading(self: Database, statement: str, filters: tuple[str, ...], parameters: dict[str, Any]) -> Any:
        halves.meet(engine_of(self), (statement, filters))
        return await read(self, statement, filters, parameters)

    def reading_now(self: Database, statement: str, parameters: dict[str, Any]) -> Any:
        halves.meet(engine_of(self), (statement, ()))
        return read_now(self, statement, parameters)

    patch.setattr(Database, "_read", reading)
    patch.setattr(Database, "_read_now", reading_now)


def _told_of_statements(halves: Halves, engine: str, execute: Callable[..., Any]) -> Callable[..., Any]:
    def executing(self: Any, statement: str, parameters: dict[str, Any]) -> Any:
        halves.meet(engine, (statement, ()))
        return execute(self, statement, parameters)

    return executing


def _told_of_rows(halves: Halves, engine: str, write_row: Callable[..., Any]) -> Callable[..., Any]:
    def writing(self: Any, table: str, columns: tuple[str, ...], values: list[Any], *, new: bool) -> None:
        nulls = (value is None for value in values)
        halves.meet(engine, *((table, new, *column) for column in zip(columns, nulls, strict=True)))
        write_row(self, table, columns, values, new=new)

    return writing


@pytest.fixture(autouse=True, scope="session")
def _statements_are_watched() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if ONCE_ON:
            watch(_HALVES, patch)
        yield
