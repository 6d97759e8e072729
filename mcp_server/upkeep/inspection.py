"""Looking at a database without changing it: for `doctor`."""

import contextlib
import os
from pathlib import Path
from typing import Any

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.errors import Busy, OpsError
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.migrate import is_set_up, migrations, require_known
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.sqlite.library import is_safe, library_version, remedy
from mcp_server.persistence.sqlite.mounts import shared_kind
from mcp_server.persistence.sqlite.whole import require_begun, require_fitting
from mcp_server.upkeep.disk import inspect_disk, refusal
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.planning import statistics_of_sqlite
from mcp_server.upkeep.replay import NotUpgraded, replay
from mcp_server.upkeep.server import inspect_server
from mcp_server.upkeep.verification import inspect_documents, readable_rows
from mcp_server.upkeep.watching import Watch, unwatched

TURN_SECONDS = 3.0
"""How long the turn to write may take to come round."""


def inspect_database(url: str) -> list[Finding]:
    """What is true of a database now. Nothing is created, migrated or written."""
    try:
        backend = make_backend(url, AREAS, allow_unsafe_sqlite=True)
    except OpsError as error:
        return [Finding("database", False, error.message)]
    if isinstance(backend, SqliteBackend):
        return [_library(), *_sqlite_file(backend)]
    assert isinstance(backend, PostgresBackend), "there are two engines"
    return inspect_server(backend)


def sqlite_version() -> str:
    """The version of the SQLite library in use."""
    return ".".join(map(str, library_version()))


def _library() -> Finding:
    if is_safe(library_version()):
        return Finding("sqlite_library", True, f"SQLite {sqlite_version()} is safe for several processes.")
    detail = f"SQLite {sqlite_version()} can corrupt a database that several processes use."
    return Finding("sqlite_library", False, detail, f"{remedy()}.")


def _sqlite_file(backend: SqliteBackend) -> list[Finding]:
    path = backend.file.path
    try:
        exists = path.exists()
    except OSError as error:
        remedy = "Let this user into the folder, or choose another database."
        return [Finding("database_file", False, f"{path} cannot be reached: {error.strerror}.", remedy)]
    if not exists:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if os.access(folder, os.W_OK):
            fine = Finding("database_file", True, f"{path} does not exist yet; the first start creates it.")
            return [fine, inspect_disk(folder), *_shared(folder)]
        detail = f"{folder} is {_not_writable(folder)}."
        return [Finding("database_file", False, detail, f"Allow this user to write to {folder}.")]
    if not backend.file.is_writable:
        return [_not_writable_file(path), *_read_as_it_is(backend)]
    fine = Finding("database_file", True, f"{path}, {path.stat().st_size} bytes, writable.")
    return [fine, inspect_disk(path.parent), *_shared(path.parent), *_turn(backend), *_contents(backend)]


def _shared(folder: Path) -> list[Finding]:
    """Whether others than this machine's processes may use what lies there."""
    kind = shared_kind(folder.absolute())
    if kind is None:
        return []
    detail = f"{folder} is on a file system that other machines may share ({kind}), where locks may fail."
    return [Finding("file_system", False, detail, "Choose a place on a local disk with --database.")]


def _not_writable(path: Path) -> str:
    """Why nothing can be written there."""
    statvfs = getattr(os, "statvfs", None)
    if statvfs is not None and statvfs(path).f_flag & os.ST_RDONLY:
        return "on a read-only file system"
    return "not writable for this user"


def _not_writable_file(path: Path) -> Finding:
    remedy = "Give this user read and write permission on the file and its folder; as it is, serve it with --read-only."
    return Finding("database_file", False, f"{path} is {_not_writable(path.parent)}.", remedy)


def _read_as_it_is(backend: SqliteBackend) -> list[Finding]:
    try:
        backend.file.read_only_alone()
    except OpsError as error:
        return [Finding("database_integrity", False, error.message)]
    return _contents(backend)


def _turn(backend: SqliteBackend) -> list[Finding]:
    """Whether the turn to write goes round."""
    if not backend.file.turnstile_path.exists():
        return []
    try:
        with backend.file.turnstile(TURN_SECONDS):
            return [Finding("writing", True, "The turn to write goes round.")]
    except Busy as error:
        return [Finding("writing", False, error.message)]
    except OSError as error:
        remedy = "Programs on this file system may not keep out of each other's way; use a local disk."
        return [Finding("writing", False, f"The turn to write cannot be taken: {error.strerror}.", remedy)]


def _contents(backend: SqliteBackend) -> list[Finding]:
    try:
        require_begun(backend.file)
        connection = backend.file.connect(read_only=True)
        try:
            connection.row_factory = None
            with contextlib.suppress(Exception):  # what else is wrong is found out later
                # The index is made by it, if there is none.
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            require_fitting(backend.file)
            return _looked_at(connection, backend.name)
        finally:
            connection.close()
    except OpsError as error:
        return [Finding("database_integrity", False, error.wrong, error.message[len(error.wrong) :].strip())]
    except Exception as error:
        return [_not_looked_at(backend, error)]


def _looked_at(connection: Any, name: str) -> list[Finding]:
    damage = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if damage != ["ok"]:
        return [_damaged(connection, "; ".join(damage))]
    schema, applied = _schema(connection, name)
    whole = Finding("database_integrity", True, "integrity_check found nothing.")
    current = schema.ok and max(applied, default=0) == migrations("sqlite")[-1].number
    return [whole, schema, *([inspect_documents(connection), statistics_of_sqlite(connection)] if current else [])]


def _not_looked_at(backend: SqliteBackend, error: Exception) -> Finding:
    reason = refusal(backend.file.path.parent) if backend.file.is_writable else None
    if reason is not None:
        detail = f"{backend.name} cannot be looked at while nothing can be written beside it: {reason}."
        return Finding("database_integrity", False, detail, "Make room first. This says nothing of damage.")
    # What is not the library's failure is damage all the same, such as a schema that makes no sense any more.
    explained = backend.explain(error)
    return _unreadable(backend, str(error) if explained is None else explained.message)


def _unreadable(backend: SqliteBackend, message: str) -> Finding:
    """Damage so bad that even the check of it fails: what can be read all the same."""
    try:
        connection = backend.file.connect(read_only=True)
        try:
            return _damaged(connection, message)
        finally:
            connection.close()
    except Exception:
        return Finding("database_integrity", False, message, "Put back a backup: data-mcp-server-agent restore FILE.")


def _damaged(connection: Any, what: str) -> Finding:
    left = readable_rows(connection)
    counts = ", ".join(f"{n}{'' if complete else '+'} {table}" for table, (n, complete) in left.items() if n)
    lost = [table for table, (_, complete) in left.items() if not complete]
    detail = f"{what}. Rows that can still be read: {counts or 'none'}. "
    detail += f"Tables with losses: {', '.join(lost)}." if lost else "No table has lost a row; indexes are damaged."
    remedy = (
        "Stop every server, keep a copy of the file, then put back a backup: data-mcp-server-agent restore FILE."
        if lost
        else "Stop every server, then rebuild it: data-mcp-server-agent export FILE, and import FILE elsewhere."
    )
    return Finding("database_integrity", False, detail, remedy)


def _schema(connection: Any, name: str) -> tuple[Finding, dict[int, str]]:
    """Whether this version can serve it; and the migrations that it has seen."""
    known, applied, remedy = migrations("sqlite"), dict[int, str](), "Choose another file with --database."
    try:
        if is_set_up(connection, name):
            remedy = "Upgrade this installation."
            applied = dict(connection.execute("SELECT number, checksum FROM migrations").fetchall())
        require_known(applied, known, name)
    except OpsError as error:
        return Finding("database_schema", False, error.wrong, remedy), applied
    waiting = [migration.number for migration in known if migration.number not in applied]
    state = f"migrations {waiting} are applied at the next start" if waiting else "up to date"
    return Finding("database_schema", True, f"Schema {max(applied, default=0)}, {state}."), applied


def replay_database(url: str, watch: Watch = unwatched) -> Finding:
    """Whether the events account for every row: rebuilt into a fresh database, and compared."""
    try:
        done = replay(url, watch)
    except NotUpgraded as error:
        return Finding("replay", False, error.message, "Start the server once, and check again.")
    except Exception as error:  # whatever damage makes of the file, this is where it is told
        said = error.message if isinstance(error, OpsError) else f"The events cannot be replayed: {error}."
        return Finding("replay", False, said, "See the other findings; then put back a backup.")
    if done.differences:
        remedy = "These rows were changed by something else, or damaged: compare them with a backup."
        return Finding("replay", False, f"{'; '.join(done.differences)}.", remedy)
    return Finding("replay", True, f"{done.events} events rebuild all {done.rows} rows.")
