"""One database on a server: the driver, imported only when used, and the reasons for its failures."""

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

from mcp_server.kernel.errors import Busy, OpsError, Unavailable
from mcp_server.kernel.schemas import OWN, quoted, split_schema
from mcp_server.persistence.limits import beyond_the_engine
from mcp_server.persistence.postgres.pooling import is_between, require_sessions
from mcp_server.persistence.postgres.schema import resolved

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg import AsyncConnection, Connection


_FAILURES = frozenset({"25", "53", "57", "58", "XX"})  # read-only, out of resources, stopped, system, internal
_IN_THE_WAY = "55P03"  # another transaction holds a lock, and did not give it back in time
_NOT_ALLOWED = "42501"  # this user lacks a right
_PASSING = frozenset({"40001", "40P01", "23505"})  # serialization failure, deadlock, lost the race to insert

_READ_ONLY = "25006"
_REMEDIES = {
    _READ_ONLY: "Let it be written again (default_transaction_read_only), or name the server that can be written",
    "57014": "Give it more time (statement_timeout) if an operator set that, or look what kept it",
}

_CHECK = "Check that the server runs, accepts this user and has connections left (max_connections)"

_KEEPALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A connection that only listens says nothing itself: the system finds out, in seconds, when the other end is gone."""
READ_LOCK_SECONDS = 10
PLACE_LOCK_SECONDS = 10.0
"""How long a connection waits for what tells the desk's schema."""
_READS = """
SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false),
  set_config('default_transaction_read_only', 'on', false),
  set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)
"""
"""All that is read, an index answers. The planner takes what has just become rare to be as frequent as when it last
counted, and would read a million texts for the few that are new."""
ANSWER_SECONDS = 15.0
"""How long an answer is waited for: longer than for any lock. A server that stands still says nothing at all."""
BLOCKS_AFTER_SECONDS = 5
_BLOCKER = """
WITH RECURSIVE held (pid) AS (
  SELECT unnest(pg_blocking_pids(a.pid)) FROM pg_stat_activity a
  WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'
  UNION SELECT unnest(pg_blocking_pids(held.pid)) FROM held)
SELECT a.pid, a.application_name, a.client_addr::text,
  CASE WHEN a.wait_event = 'ClientRead' THEN 'its program says nothing more' ELSE a.state END,
  date_trunc('second', a.xact_start)::text AS since,
  extract(epoch FROM clock_timestamp() - a.xact_start)::float AS seconds, a.wait_event = 'ClientRead' AS is_silent
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.wait_event_type IS DISTINCT FROM 'Lock'
  AND a.xact_start < clock_timestamp() - %s * interval '1 second'
  AND (a.backend_xid IS NOT NULL OR a.pid IN (SELECT pid FROM held)
       OR EXISTS (SELECT FROM pg_locks l
                  WHERE l.pid = a.pid AND l.granted AND l.locktype IN ('relation', 'advisory')
                    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock')))
ORDER BY a.pid IN (SELECT pid FROM held) DESC, a.xact_start LIMIT 1
"""
"""Who waits is followed to who waits for nobody. Where nobody waits any more, who has held something the longest."""


class Blocker(NamedTuple):
    """A session whose transaction others wait for."""

    pid: int
    application: str
    address: str | None
    state: str | None
    since: str
    seconds: float
    is_silent: bool
    """Whether it waits for its own program."""

    def __str__(self) -> str:
        place = f" at {self.address}" if self.address else ""
        return f"session {self.pid} ({self.application or 'no name'}{place}, {self.state}), since {self.since}"


class PostgresServer:
    """One database on a server, and the connections to it, all of which look into the desk's own schema alone."""

    def __init__(self, url: str) -> None:
        self.url, self._schema = split_schema(url)
        self.is_pooled: bool | None = None
        """Whether something stands between, such as PgBouncer, and gives out the server's sessions."""
        self.connections = 0
        """How many were opened: each may have led to another server than the one before."""
        try:
            import psycopg
        except ImportError:
            raise Unavailable(
                "PostgreSQL needs the driver psycopg, which is not installed.",
                next="Install it: pip install 'data-mcp-server-agent[postgres]'.",
            ) from None
        self._psycopg = psycopg
        self.errors = psycopg.Error

    @property
    def name(self) -> str:
        """The database's address without its password, for messages."""
        parts = urlsplit(self.url)
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, address, parts.path, "", ""))

    @property
    def schema(self) -> str:
        """The schema of the desk, which is known once something has connected."""
        assert self._schema is not None, "connect comes first"
        return self._schema

    @property
    def channel(self) -> bytes:
        """Where commits to this desk are told of, as SQL: a database may hold several."""
        return quoted(f"datamcp_events_{self.schema}").encode()

    def connect(self, *, bounded: bool = False, timeout_seconds: int = 5) -> "Connection[tuple[Any, ...]]":
        """A connection in autocommit mode, in the desk's schema; if `bounded`, one that waits for `ANSWER_SECONDS` at
        most.

        Raises:
            Unavailable: the server does not answer, or nobody says which of several desks is meant.
        """
        connection = self._opened(bounded=bounded, timeout_seconds=timeout_seconds)
        with self.preparing(connection):
            self._place(connection)
        return connection

    @contextlib.contextmanager
    def preparing(self, connection: "Connection[tuple[Any, ...]]") -> "Generator[None]":
        """While a connection is made ready: where that fails it is closed, and the server's failure is a refusal."""
        try:
            yield
        except BaseException as error:
            connection.close()
            if isinstance(error, self.errors):
                raise self.explain(error, self.blocker() if self.is_in_the_way(error) else None) from None
            raise

    def _opened(self, *, bounded: bool = False, timeout_seconds: int = 5) -> "Connection[tuple[Any, ...]]":
        try:
            return self._kind(bounded).connect(
                self.url, autocommit=True, connect_timeout=timeout_seconds, application_name="datamcp", **_KEEPALIVE
            )
        except self._psycopg.Error as error:
            raise self.explain(error) from None

    def _place(self, connection: "Connection[tuple[Any, ...]]") -> None:
        if self.is_pooled is None:
            if is_between(connection):
                require_sessions(connection, self._opened, self.name)
            self.is_pooled = is_between(connection)
        if self._schema is None:  # it is read out of tables, which somebody may keep locked
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{PLACE_LOCK_SECONDS * 1000:.0f}",))
            self._schema = resolved(connection, self._schema, self.name)
            connection.execute("RESET lock_timeout")
        connection.execute("SELECT set_config('search_path', %s, false)", (quoted(self._schema),))
        self.connections += 1

    async def _place_reader(self, connection: "AsyncConnection[Any]") -> None:
        self.connections += 1
        await connection.execute(_READS, (quoted(self.schema), f"{READ_LOCK_SECONDS}s"))

    def _kind(self, bounded: bool) -> "type[Connection[tuple[Any, ...]]]":
        if not bounded:
            return self._psycopg.Connection
        from mcp_server.persistence.postgres.bounded import BoundedConnection

        return BoundedConnection

    async def connect_reader(self) -> "AsyncConnection[Any]":
        """A read-only connection for single statements.

        Raises:
            psycopg.Error: the server does not answer.
        """
        from psycopg.rows import dict_row

        from mcp_server.persistence.postgres.bounded import BoundedAsyncConnection

        connection = await BoundedAsyncConnection.connect(
            self.url,
            autocommit=True,
            connect_timeout=5,
            row_factory=cast("Any", dict_row),
            application_name="datamcp-read",
            **_KEEPALIVE,
        )
        try:
            # Not as options of the connection: one that is read-only from the start is passed over where the URL names
            # several hosts and asks for one that can be written.
            await self._place_reader(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether the database failed, as opposed to a statement that is wrong."""
        if not isinstance(error, self._psycopg.Error):
            return False
        known = self.is_passing(error) or self.is_lost(error) or isinstance(error, self._psycopg.DataError)
        known = known or self.is_in_the_way(error) or error.sqlstate == _NOT_ALLOWED
        return known or (error.sqlstate or "")[:2] in _FAILURES

    def is_passing(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed when run again."""
        return getattr(error, "sqlstate", None) in _PASSING

    def is_read_only(self, error: BaseException) -> bool:
        """Whether nothing can be written here, in this session at least."""
        return getattr(error, "sqlstate", None) == _READ_ONLY

    def is_in_the_way(self, error: BaseException) -> bool:
        """Whether another transaction holds what this one needed."""
        return getattr(error, "sqlstate", None) == _IN_THE_WAY

    def blocker(self) -> Blocker | None:
        """Whose transaction has kept something locked the longest; None where none has for a while. Blocks."""
        try:
            with self._opened() as connection:
                found = connection.execute(_BLOCKER, (BLOCKS_AFTER_SECONDS,)).fetchone()
        except (OpsError, self._psycopg.Error):
            return None
        return None if found is None else Blocker(*found)

    def end(self, blocker: Blocker) -> None:
        """End a session whose transaction stands still. Blocks."""
        with contextlib.suppress(OpsError, self._psycopg.Error), self._opened() as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (blocker.pid,))

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection is gone."""
        return isinstance(error, (self._psycopg.OperationalError, self._psycopg.InterfaceError)) and not (
            self.is_passing(error) or self.is_in_the_way(error)
        )

    def explain(self, error: BaseException, blocker: Blocker | None = None, *, is_read: bool = False) -> OpsError:
        """A failure of the driver as a refusal that names the database and the remedy. Who reads may have written
        before, in the same call."""
        state = "What this call wrote before it came to read is saved" if is_read else "Nothing was written"
        if self.is_in_the_way(error):
            return self._in_the_way(blocker, state, is_read=is_read)
        if isinstance(error, self._psycopg.DataError):
            return beyond_the_engine()
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        sqlstate: str | None = getattr(error, "sqlstate", None)
        if sqlstate == _NOT_ALLOWED:
            return self._not_allowed(reason)
        return Unavailable(
            f"The database {self.name} failed: {reason}.",
            next=f"{_REMEDIES.get(sqlstate or '', _CHECK)}, then call again. {state}.",
            details={"sqlstate": sqlstate},
        )

    def _in_the_way(self, blocker: Blocker | None, state: str, *, is_read: bool) -> OpsError:
        return (Unavailable if is_read else Busy)(
            f"Another transaction has locked what this call needs in the database {self.name}: "
            f"{blocker or 'which one, `data-mcp-server-agent doctor` says while it lasts'}.",
            next=f"{state}; call again. If it stays so, let that session's program go on or end it: "
            f"SELECT pg_terminate_backend({blocker.pid if blocker else 'PID'}).",
            details={} if blocker is None else blocker._asdict(),
        )

    def _not_allowed(self, reason: str) -> OpsError:
        schema = quoted(self._schema or OWN)
        return Unavailable(
            f"This user lacks a right in the database {self.name}: {reason}.",
            next=f"Let the owner of the schema run, for this user: GRANT USAGE, CREATE ON SCHEMA {schema}; GRANT ALL "
            f"ON ALL TABLES IN SCHEMA {schema}; GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema}. Nothing was written.",
            details={"sqlstate": _NOT_ALLOWED},
        )
