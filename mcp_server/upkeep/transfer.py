"""Export and import: everything a database holds as JSON Lines, the same for both engines. SQLite to PostgreSQL is the
way to scale out.

    {"format": "datamcp-export", "version": 1, "schema": 2, "engine": "sqlite", "database": "...", "at": 1800000000}
    {"table": "agents", "row": {"id": "agent_...", ...}}
    ...
    {"end": true, "rows": {"agents": 3, ...}, "sha256": "of everything before this line"}

An export is one moment's state. An import is all or nothing, into a database that holds nothing yet.
"""

import hashlib
import json
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import IO, Any, cast

from pydantic_core import to_json

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.area import Table
from mcp_server.kernel.errors import Conflict, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import check_text
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.times import Micros
from mcp_server.persistence.database import Backend, make_backend
from mcp_server.persistence.migrate import is_set_up, migrations
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.texts import TEXTS_SINCE, fill_texts
from mcp_server.upkeep.marking import mark
from mcp_server.upkeep.watching import Watch, row_count, unwatched, watched

FORMAT, VERSION = "datamcp-export", 1
TABLES = tuple(table for table in AREAS.tables if table.exported)
"""Every table that goes along, those that others refer to first."""

LINE_BYTES_MAX = 64 * 2**20
"""More than any row has."""

_NAMES = tuple(table.name for table in TABLES)
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Transferred:
    """How many rows went over, by table."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def export(url: str, out: IO[bytes], now: Micros, watch: Watch = unwatched) -> Transferred:
    """Write everything a database holds; servers may go on using it.

    Raises:
        OpsError: the database cannot be read.
    """
    backend = make_backend(url, AREAS, allow_unsafe_sqlite=True)
    digest = hashlib.sha256()
    rows: dict[str, int] = {}

    def put(record: dict[str, Any]) -> None:
        line = to_json(record) + b"\n"
        digest.update(line)
        out.write(line)

    try:
        with snapshot(backend) as connection:
            if backend.engine == "sqlite" and not is_set_up(connection, backend.name):
                raise Unavailable(f"The database {backend.name} holds nothing yet.", next="Start a server on it first.")
            schema = connection.execute("SELECT MAX(number) FROM migrations").fetchone()[0]
            about = {"format": FORMAT, "version": VERSION, "schema": schema, "engine": backend.engine}
            put(about | {"database": backend.name, "at": now})
            for name, row in watched(
                _all_rows(connection, backend.engine, rows), watch, partial(row_count, connection, _NAMES)
            ):
                put({"table": name, "row": row})
    except Exception as error:
        raise backend.explain(error) or error from error
    out.write(to_json({"end": True, "rows": rows, "sha256": digest.hexdigest()}) + b"\n")
    return Transferred(rows)


def _all_rows(connection: Any, engine: Engine, rows: dict[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row with its table, counted by table."""
    for table in TABLES:
        rows[table.name] = 0
        for row in _rows(connection, engine, table):
            rows[table.name] += 1
            yield table.name, row


def import_(url: str, lines: Iterable[bytes], *, by: Origin | None = None, file: str = "-") -> Transferred:
    """Fill an empty database, created and migrated as needed, in one transaction. An event in it says who did, and from
    which file, where that is given.

    Raises:
        Conflict: the database holds something already.
        ValidationFailed: not an export, damaged, cut off, or of another schema. Nothing is kept of it.
    """
    backend = make_backend(url, AREAS)
    backend.prepare()
    rows = dict.fromkeys(_NAMES, 0)
    try:
        with _for_import(backend) as connection:
            connection.execute("BEGIN")
            try:
                _require_empty(connection, backend.name)
                for table, batch in _batches(_checked(lines)):
                    _insert(connection, backend.engine, table, batch)
                    rows[table] += len(batch)
                _continue_sequence(connection, backend.engine)
                if migrations(backend.engine)[-1].number >= TEXTS_SINCE:
                    fill_texts(connection, backend.engine, AREAS)
                if by is not None:
                    by = by._replace(at=by.at - backend.clock_is_off_by)
                    mark(connection, backend.engine, by, "import", file)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
    except Exception as error:
        raise _unfit(error) or backend.explain(error) or error from error
    return Transferred(rows)


def _unfit(error: Exception) -> OpsError | None:
    """A row that the schema does not take, as a refusal; the drivers of both engines call it by the same name."""
    if not any(kind.__name__ == "IntegrityError" for kind in type(error).__mro__):
        return None
    why = quoted(str(error).strip().partition("\n")[0], 200)
    return ValidationFailed(f"A row of the export does not fit: {why}.", next="Export again. Nothing was kept.")


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file that may come from anybody: one that never ends fills no memory.

    Raises:
        ValidationFailed: a line is longer than any row.
    """
    for number in count():
        line = file.readline(LINE_BYTES_MAX + 1)
        if len(line) > LINE_BYTES_MAX:
            raise _bad(number, f"it has more than {LINE_BYTES_MAX:,} bytes")
        if not line:
            return
        yield line


def snapshot(backend: Backend) -> AbstractContextManager[Any]:
    """A connection on which everything read is of one moment."""
    if isinstance(backend, SqliteBackend):
        connection: Any = backend.file.connect(read_only=True)
        connection.execute("BEGIN")
    else:
        connection = cast("PostgresBackend", backend).server.connect()
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return closing(connection)


@contextmanager
def _for_import(backend: Backend) -> Generator[Any]:
    if isinstance(backend, SqliteBackend):
        with backend.file.turnstile(), closing(backend.file.connect_writer()) as file:
            yield file
    else:
        with closing(cast("PostgresBackend", backend).server.connect()) as connection:
            yield connection


def _rows(connection: Any, engine: Engine, table: Table) -> Iterator[dict[str, Any]]:
    name = table.name
    with closing(connection.cursor() if engine == "sqlite" else connection.cursor(f"export_{name}")) as cursor:
        cursor.execute(f"SELECT * FROM {name} ORDER BY {'seq' if name == 'events' else 1}")  # noqa: S608 - our names
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            names = [column[0] for column in cursor.description]
            yield from (_without(table.local, zip(names, row, strict=True)) for row in rows)


def _without(local: Collection[str], columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in columns if name not in local}


def _checked(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Table and row of each line, once the header is known to be right; at the end, that nothing is missing."""
    digest, rows, ended = hashlib.sha256(), dict.fromkeys(_NAMES, 0), False
    for number, line in enumerate(lines):
        record = _parsed(line, number)
        if ended:
            raise _bad(number, "there is something after the end")
        ended = record.get("end") is True
        if number == 0:
            _require_header(record)
        elif ended:
            _require_whole(record, number, rows, digest.hexdigest())
        else:
            yield _row_of(record, number, rows)
        digest.update(line)
    if not ended:
        raise ValidationFailed(
            "The export is cut off: its last line is missing.", next="Export again. Nothing was kept."
        )


def _require_whole(record: dict[str, Any], number: int, rows: dict[str, int], digest: str) -> None:
    if record.get("rows") != rows or record.get("sha256") != digest:
        raise _bad(number, "what stands before it is not what was exported")


def _row_of(record: dict[str, Any], number: int, rows: dict[str, int]) -> tuple[str, dict[str, Any]]:
    table, row = record.get("table"), record.get("row")
    if table not in rows or not isinstance(row, dict):
        raise _bad(number, "it is neither a row nor the end")
    for value in cast("dict[str, Any]", row).values():
        _require_storable(value, number)
    rows[table] += 1
    return table, cast("dict[str, Any]", row)


def _require_storable(value: Any, number: int) -> None:
    if isinstance(value, str):
        try:
            check_text(value)
        except ValidationFailed as error:
            raise _bad(number, error.message.removesuffix(".")) from None
    elif not isinstance(value, int | float | None):
        raise _bad(number, "a value of the row is neither text nor a number")


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise _bad(number, "it is not JSON") from None
    if not isinstance(record, dict):
        raise _bad(number, "it is not a JSON object")
    return cast("dict[str, Any]", record)


def _require_header(record: dict[str, Any]) -> None:
    if record.get("format") != FORMAT or record.get("version") != VERSION:
        raise ValidationFailed(
            "This is not an export of this server.", next="Name a file that `data-mcp-server-agent export` wrote."
        )
    newest = migrations("sqlite")[-1].number
    if record.get("schema") != newest:
        raise ValidationFailed(
            f"The export is of schema {record.get('schema')}, this version's is {newest}.",
            next="Start the version that imports once on the old database, so that it is upgraded, and export again.",
        )


def _bad(number: int, why: str) -> ValidationFailed:
    return ValidationFailed(f"Line {number + 1} of the export is wrong: {why}.", next="Export again. Nothing was kept.")


def _batches(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of one table, some hundreds at a time."""
    table, batch = "", list[dict[str, Any]]()
    for name, row in rows:
        if batch and (name != table or len(batch) >= _ROWS_AT_ONCE):
            yield table, batch
            batch = []
        table = name
        batch.append(row)
    if batch:
        yield table, batch


def _require_empty(connection: Any, database: str) -> None:
    for table in _NAMES:
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:  # noqa: S608 - our own names
            raise Conflict(
                f"The database {database} holds {table} already.",
                next="Import into a database that is new. Nothing was changed.",
            )


def _insert(connection: Any, engine: Engine, table: str, batch: list[dict[str, Any]]) -> None:
    """Insert rows. Columns are checked against the table's own: a file must not name what goes into a statement."""
    names = tuple(batch[0])
    known = [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]  # noqa: S608
    if not set(names) <= set(known) or any(tuple(row) != names for row in batch):
        raise ValidationFailed(f"The rows of {table} in the export do not have the table's columns.")
    cursor = connection.cursor()
    cursor.executemany(_insertion(engine, table, names), [tuple(row.values()) for row in batch])


def _insertion(engine: Engine, table: str, names: tuple[str, ...]) -> str:
    """The statement. A transaction number means nothing here: events come before every transaction of this database, so
    that cursors from before the move stay good."""
    mark = "?" if engine == "sqlite" else "%s"
    columns, marks = ", ".join(names), ", ".join([mark] * len(names))
    override = ""
    if table == "events" and engine == "postgres":
        columns, marks, override = f"xid, {columns}", f"'0'::xid8, {marks}", " OVERRIDING SYSTEM VALUE"
    elif table == "event_horizon":
        columns, marks = f"xid, {columns}", f"0, {marks}"
    return f"INSERT INTO {table} ({columns}){override} VALUES ({marks})"  # noqa: S608


def _continue_sequence(connection: Any, engine: Engine) -> None:
    """New events go on after the newest imported one."""
    if engine == "postgres":
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('events', 'seq'), MAX(seq)) FROM events HAVING MAX(seq) IS NOT NULL"
        )
