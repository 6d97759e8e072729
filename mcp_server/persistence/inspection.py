"""Looking at a database without changing it: for `doctor`."""

import os
from dataclasses import dataclass

from mcp_server.domain.errors import OpsError
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.migrate import migrations, require_known
from mcp_server.persistence.postgres_backend import PostgresBackend
from mcp_server.persistence.sqlite import is_safe, library_version
from mcp_server.persistence.sqlite_backend import SqliteBackend


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


def inspect_database(url: str) -> list[Finding]:
    """What is true of a database now. Nothing is created, migrated or written."""
    try:
        backend = make_backend(url, allow_unsafe_sqlite=True)
    except OpsError as error:
        return [Finding("database", False, error.message)]
    if isinstance(backend, SqliteBackend):
        return [_library(), *_sqlite_file(backend)]
    assert isinstance(backend, PostgresBackend), "there are two engines"
    return [_postgres(backend)]


def sqlite_version() -> str:
    """The version of the SQLite library in use."""
    return ".".join(map(str, library_version()))


def _library() -> Finding:
    if is_safe(library_version()):
        return Finding("sqlite_library", True, f"SQLite {sqlite_version()} is safe for several processes.")
    detail = f"SQLite {sqlite_version()} can corrupt a database that several processes use."
    return Finding("sqlite_library", False, detail, "pip install pysqlite3")


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
            return [Finding("database_file", True, f"{path} does not exist yet; the first start creates it.")]
        return [Finding("database_file", False, f"{folder} is not writable.", f"Allow this user to write to {folder}.")]
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK)):
        remedy = "Give this user read and write permission on the file and its folder."
        return [Finding("database_file", False, f"{path} is not writable for this user.", remedy)]
    return [Finding("database_file", True, f"{path}, {path.stat().st_size} bytes, writable."), *_contents(backend)]


def _contents(backend: SqliteBackend) -> list[Finding]:
    try:
        connection = backend.file.connect(read_only=True)
        try:
            damage = connection.execute("PRAGMA quick_check(5)").fetchall()
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            applied = (
                {row[0]: row[1] for row in connection.execute("SELECT number, checksum FROM migrations")}
                if "migrations" in tables
                else {}
            )
        finally:
            connection.close()
    except Exception as error:
        explained = backend.explain(error)
        if explained is None:
            raise
        return [Finding("database_integrity", False, explained.message, "Put back a backup.")]
    whole = [row[0] for row in damage] == ["ok"]
    return [
        Finding("database_integrity", True, "quick_check found nothing.")
        if whole
        else Finding("database_integrity", False, "; ".join(str(row[0]) for row in damage), "Put back a backup."),
        _schema(applied, backend.name),
    ]


def _schema(applied: dict[int, str], name: str) -> Finding:
    known = migrations("sqlite")
    try:
        require_known(applied, known, name)
    except OpsError as error:
        return Finding("database_schema", False, error.message, "Upgrade this installation.")
    waiting = [migration.number for migration in known if migration.number not in applied]
    state = f"migrations {waiting} are applied at the next start" if waiting else "up to date"
    return Finding("database_schema", True, f"Schema {max(applied, default=0)}, {state}.")


def _postgres(backend: PostgresBackend) -> Finding:
    try:
        connection = backend.server.connect()
    except OpsError as error:
        return Finding("database_connection", False, error.message, "Start the server, or correct the URL.")
    try:
        row = connection.execute("SHOW server_version").fetchone()
    finally:
        connection.close()
    return Finding("database_connection", True, f"PostgreSQL {row[0] if row else '?'} at {backend.name} answers.")
