"""Saying in a database itself that it came out of a file: in an event, by whom and when."""

import contextlib
from typing import Any

from mcp_server.domain.areas import AREAS
from mcp_server.domain.operating.model import How
from mcp_server.domain.operating.transactions import tell_restored
from mcp_server.kernel.events import Origin
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.times import Micros
from mcp_server.persistence.postgres.transaction import PostgresTransaction
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.sqlite.transaction import SqliteTransaction
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.transaction import Kept


def origin_of(user: str, now: Micros) -> Origin:
    """The origin of what a local user does to a database from outside."""
    return Origin(now, f"user:{user}", new_id("call"), principal=f"user:{user}")


def mark(connection: Any, engine: Engine, origin: Origin, how: How, file: str) -> None:
    """Append the event in the transaction that is open on a connection."""
    if engine == "sqlite":
        tell_restored(SqliteTransaction(connection, Kept({}), AREAS), origin, how, file)
        return
    tx = PostgresTransaction(connection, Kept({}), AREAS)
    tell_restored(tx, origin, how, file)
    tx.flush()


def mark_file(file: SqliteFile, origin: Origin, name: str) -> None:
    """Append it to a copy that nobody else knows yet, whatever its schema is. It stays one file."""
    with contextlib.closing(file.connect()) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")
        mark(connection, "sqlite", origin, "restore", name)
