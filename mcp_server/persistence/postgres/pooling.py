"""What stands between and hands out the server's sessions, such as PgBouncer: it is used where a session is kept for as
long as the connection, and refused where it goes to others between two transactions. There LISTEN is lost, and what is
set for a session, such as where it looks for tables, would be set for strangers."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcp_server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from psycopg import Connection

PROBES = 2
"""How many transactions are held open meanwhile, each of which may get the session that the one before gave back."""


def session_of(connection: "Connection[Any]") -> int:
    """Which of the server's sessions answers."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return 0 if row is None else row[0]


def is_between(connection: "Connection[Any]") -> bool:
    """Whether something stands between: it answers for the session with a number of its own."""
    return session_of(connection) != connection.info.backend_pid


def require_sessions(connection: "Connection[Any]", another: "Callable[[], Connection[Any]]", database: str) -> None:
    """Nothing is set for a session before this is known.

    Raises:
        Unavailable: another transaction got the session of a connection that had none open.
    """
    mine = session_of(connection)
    with contextlib.ExitStack() as others:
        for _ in range(PROBES):
            other = others.enter_context(contextlib.closing(another()))
            other.execute("BEGIN")
            session_of(other)
            require_same(mine, session_of(connection), database)


def require_same(before: int, now: int, database: str) -> None:
    """Refuse to go on with a session that is another than it was.

    Raises:
        Unavailable: it is.
    """
    if before != now:
        raise Unavailable(
            f"The database {database} is reached through a pooler, such as PgBouncer, that gives each transaction "
            "another session: commits of other servers could not be heard of, and strangers would get our settings.",
            next="Name the server itself with --database, or a pool that keeps sessions whole (pool_mode = session, "
            "with room for eight connections of each of this server's processes). Nothing was changed.",
        )
