"""apsw behind its door does what the standard library's driver does, as far as anything here uses it."""

import threading
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import aiosqlite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.persistence.sqlite import door
from mcp_server.persistence.sqlite.library import load_library

pytestmark = pytest.mark.anyio
OTHER = load_library()
TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL CHECK (length(b) < 9))"
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary() | st.floats()


def opened(library: ModuleType, path: Path | str = ":memory:") -> Any:
    """A connection as `SqliteFile` makes one."""
    uri = str(path) if path == ":memory:" else f"{Path(path).as_uri()}?mode=rwc"
    return library.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=8, timeout=0)


@pytest.fixture(params=[door, OTHER], ids=["door", "other"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each test holds of both, so that neither is a description of the door alone."""
    return request.param


@pytest.fixture
def connection(library: ModuleType):
    with closing(opened(library)) as one:
        one.execute(TABLE)
        yield one


async def test_a_change_tells_how_many_rows_it_touched_and_which_was_put_in(connection: Any):
    put = connection.execute("INSERT INTO t (b) VALUES ('x'), ('y')")
    assert (put.rowcount, put.lastrowid, put.description, put.fetchall()) == (2, 2, None, [])
    assert connection.execute("UPDATE t SET b = 'z' WHERE a = 7").rowcount == 0
    assert connection.execute("SELECT * FROM t").rowcount == -1
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t VALUES (?, ?)", iter([(5, "p"), (6, "q")]))
    assert (cursor.rowcount, connection.total_changes) == (2, 4)


async def test_what_a_change_returns_and_nobody_reads_holds_up_no_commit():
    """The other library would refuse to commit until the cursor is gone."""
    with closing(opened(door)) as connection:
        connection.execute(TABLE)
        connection.execute("BEGIN IMMEDIATE")
        cursor = connection.execute("INSERT INTO t (b) VALUES ('x'), ('y'), ('z') RETURNING a, b")
        assert (cursor.fetchone(), connection.in_transaction) == ((1, "x"), True)
        connection.execute("COMMIT")
        assert connection.in_transaction is False
        assert (cursor.fetchmany(1), cursor.fetchall(), cursor.fetchone()) == ([(2, "y")], [(3, "z")], None)


async def test_columns_are_told_before_while_and_after_rows_are_read_and_where_there_are_none(connection: Any):
    connection.execute("INSERT INTO t (b) VALUES ('x'), ('y')")
    cursor = connection.execute("SELECT a AS number, b FROM t WHERE a < :below", {"below": 9})
    for read in (list, lambda one: one.fetchone(), lambda one: one.fetchall(), lambda one: one.fetchall()):
        assert [column[0] for column in cursor.description] == ["number", "b"]
        read(cursor) if read is not list else None
    empty = connection.execute("SELECT b FROM t WHERE a = ?", (9,))
    assert ([column[0] for column in empty.description], empty.fetchone()) == (["b"], None)


async def test_a_row_is_found_by_place_and_name_and_is_a_dict(library: ModuleType, connection: Any):
    connection.row_factory = library.Row
    cursor = connection.execute("SELECT 1 AS a, 'x' AS b, 2 AS a UNION SELECT 3, 'y', 4 ORDER BY 1")
    one, two = cursor.fetchall()
    assert (one["a"], one[1], one[-1], len(one), tuple(one), two["b"]) == (1, "x", 2, 3, (1, "x", 2), "y")
    with pytest.raises(IndexError):
        one["c"]
    (row,) = connection.execute("SELECT 5 AS p, 6 AS q")
    assert (dict(row), row.keys()) == ({"p": 5, "q": 6}, ["p", "q"])
    connection.row_factory = None
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("sql", "parameters", "kind", "code"),
    [
        ("SELECT nothing", (), "OperationalError", "SQLITE_ERROR"),
        ("INSERT INTO t (a) VALUES (1)", (), "IntegrityError", "SQLITE_CONSTRAINT"),
        ("INSERT INTO t VALUES ('x', 'y')", (), "IntegrityError", "SQLITE_MISMATCH"),
        ("SELECT zeroblob(1073741824 * 2)", (), "DataError", "SQLITE_TOOBIG"),
        ("SELECT ?", (), "ProgrammingError", None),
        ("SELECT ?", (1, 2), "ProgrammingError", None),
        ("SELECT :a", {"b": 1}, "ProgrammingError", None),
    ],
)
async def test_a_failure_has_its_name_and_code(
    library: ModuleType, connection: Any, sql: str, parameters: Any, kind: str, code: str | None
):
    with pytest.raises(library.Error) as caught:
        connection.execute(sql, parameters).fetchall()
    assert type(caught.value) is getattr(library, kind)
    if code is not None:
        assert caught.value.sqlite_errorcode & 0xFF == getattr(library, code)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", object()])
async def test_what_cannot_be_bound_is_refused_as_by_the_other(value: Any):
    told: list[type[Exception]] = []
    for library in (door, OTHER):
        with closing(opened(library)) as connection, pytest.raises(Exception) as caught:
            connection.execute("SELECT ?", (value,))
        told.append(type(caught.value))
    assert told[0].__name__ in {told[1].__name__, "ProgrammingError"}  # 3.11 calls a wrong type an InterfaceError


async def test_a_file_that_is_no_database_or_cannot_be_opened_is_told_by_its_code(library: ModuleType, tmp_path: Path):
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at" * 100)
    with pytest.raises(library.DatabaseError) as caught, closing(opened(library, tmp_path / "text")) as connection:
        connection.execute("SELECT * FROM t")
    assert caught.value.sqlite_errorcode == library.SQLITE_NOTADB
    with pytest.raises(library.OperationalError) as caught:
        opened(library, tmp_path / "no" / "folder")
    assert caught.value.sqlite_errorcode & 0xFF == library.SQLITE_CANTOPEN


async def test_a_lock_of_another_connection_is_waited_for_so_long_and_then_told(library: ModuleType, tmp_path: Path):
    with closing(opened(library, tmp_path / "x.db")) as one, closing(opened(library, tmp_path / "x.db")) as two:
        one.execute(TABLE)
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(library.OperationalError, match="locked") as caught:
            two.execute("BEGIN IMMEDIATE")
    assert caught.value.sqlite_errorcode & 0xFF == library.SQLITE_BUSY


async def test_what_is_closed_says_so_and_can_be_closed_again(library: ModuleType, connection: Any):
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    cursor.fetchone()
    connection.close()
    connection.close()
    for use in (lambda: connection.execute("SELECT 1"), lambda: connection.total_changes, cursor.fetchone):
        with pytest.raises(library.ProgrammingError):
            use()


async def test_a_copy_is_of_one_moment_and_any_thread_may_make_it(library: ModuleType, tmp_path: Path):
    with closing(opened(library, tmp_path / "one.db")) as one, closing(opened(library, tmp_path / "two.db")) as two:
        one.execute(TABLE)
        one.execute(
            "INSERT INTO t (b) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
            "SELECT 'x' FROM n"
        )
        steps = list[tuple[int, int, int]]()
        thread = threading.Thread(target=lambda: one.backup(two, pages=2, progress=lambda *step: steps.append(step)))
        thread.start()
        thread.join()
        assert two.execute("SELECT count(*) FROM t").fetchone() == (5000,)
        (whole,) = {pages for _, _, pages in steps}
        assert [left for _, left, _ in steps] == [max(whole - 2 * number, 0) for number in range(1, len(steps) + 1)]
        assert (steps[0][0], steps[-1][:2]) == (library.SQLITE_OK, (library.SQLITE_DONE, 0))


@given(values=st.lists(VALUES, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_value_comes_back_as_from_the_other(values: list[Any]):
    told: list[list[Any]] = []
    for library in (door, OTHER):
        with closing(opened(library)) as connection:
            marks = ", ".join("?" * len(values))
            (row,) = connection.execute(f"SELECT {marks}", values).fetchall()
            told.append([type(value) for value in row] + [None if value != value else value for value in row])
    assert told[0] == told[1]


async def test_the_door_takes_over_nothing_that_it_does_not_do():
    for asked in ({}, {"isolation_level": None, "check_same_thread": True}, {"isolation_level": "DEFERRED"}):
        with pytest.raises(door.NotSupportedError):
            door.connect(":memory:", **asked)
    for register in (door.register_adapter, door.register_converter):
        with pytest.raises(door.NotSupportedError):
            register(int, str)


async def test_rows_are_read_off_the_event_loop_through_aiosqlite(tmp_path: Path):
    def connect() -> Any:
        connection = opened(door, tmp_path / "x.db")
        connection.row_factory = door.Row
        return connection

    reader = await aiosqlite.Connection(connect, 64)
    found: Any = await reader.execute_fetchall("SELECT :a AS a, 2 AS b", {"a": 1})
    assert [dict(row) for row in found] == [{"a": 1, "b": 2}]
    assert reader.total_changes == 0
    await reader.close()
    with pytest.raises(ValueError, match="closed"):
        await reader.execute_fetchall("SELECT 1")


async def test_what_is_left_unread_holds_up_no_writer_once_it_is_left(tmp_path: Path):
    with closing(opened(door, tmp_path / "x.db")) as connection:
        connection.execute(TABLE)
        connection.execute("INSERT INTO t (b) VALUES ('x'), ('y')")
        with closing(connection.cursor()) as cursor:
            assert cursor.execute("SELECT a FROM t").fetchmany(1) == [(1,)]
        connection.execute("DROP TABLE t")
