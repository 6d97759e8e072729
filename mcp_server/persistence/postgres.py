"""What is PostgreSQL's own: the driver, imported only when used, LISTEN/NOTIFY, the reasons for its failures."""

import contextlib
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

from mcp_server.domain.errors import OpsError, Unavailable
from mcp_server.persistence.postgres_transaction import PostgresTransaction
from mcp_server.persistence.transaction import Kept, Leased, Transaction

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import AsyncConnectionPool

CHANNEL = "datamcp_events"
NOTIFY_EVERY_SECONDS = 0.01
RETRIES_MAX = 8
# Transaction functions look things up by keys, a few rows at a time. The planner knows neither how many rows an array
# holds nor how a table will grow: left to itself it reads thousands of rows to change a few, and plans every call anew.
_PLANNING = """
SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
SET enable_mergejoin = off; SET jit = off
"""
_FAILURES = frozenset({"25", "53", "57", "58", "XX"})  # read-only, out of resources, stopped, system, internal
_PASSING = frozenset({"40001", "40P01", "23505"})  # serialization failure, deadlock, lost the race to insert


class PostgresServer:
    """One database on a server, and the connections to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import psycopg
        except ImportError:
            raise Unavailable(
                "PostgreSQL needs the driver psycopg, which is not installed.",
                next="Install it: pip install 'data-mcp-server-agent[postgres]'.",
            ) from None
        self._psycopg = psycopg

    @property
    def name(self) -> str:
        """The database's address without its password, for messages."""
        parts = urlsplit(self.url)
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, address, parts.path, "", ""))

    def connect(self) -> "Connection[tuple[Any, ...]]":
        """A connection in autocommit mode.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            return self._psycopg.connect(self.url, autocommit=True, connect_timeout=5, application_name="datamcp")
        except self._psycopg.Error as error:
            raise self.explain(error) from None

    def reader_pool(self) -> "AsyncConnectionPool[Any]":
        """Read-only connections for single statements; not open yet."""
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        return AsyncConnectionPool(
            self.url,
            min_size=1,
            max_size=4,
            open=False,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "options": "-c default_transaction_read_only=on",
                "application_name": "datamcp-read",
            },
        )

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether the database failed, as opposed to a statement that is wrong."""
        if not isinstance(error, self._psycopg.Error):
            return False
        return self.is_passing(error) or self.is_lost(error) or (error.sqlstate or "")[:2] in _FAILURES

    def is_passing(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed when run again."""
        return getattr(error, "sqlstate", None) in _PASSING

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection is gone."""
        return isinstance(
            error, (self._psycopg.OperationalError, self._psycopg.InterfaceError)
        ) and not self.is_passing(error)

    def explain(self, error: BaseException) -> OpsError:
        """A failure of the driver as a refusal that names the database and the remedy."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Unavailable(
            f"The database {self.name} failed: {reason}.",
            next="Check that the server runs and accepts this user, then call again. A write that failed this way may "
            "have been saved: read before you repeat it.",
            details={"sqlstate": getattr(error, "sqlstate", None)},
        )


class PostgresSession:
    """A writer thread's connection.

    Statements go out in a pipeline: only a read waits for an answer, and what is written in between costs no round
    trip of its own. Functions that were waiting together share a transaction and what they read ahead.
    """

    reads_ahead = True

    def __init__(self, server: PostgresServer, leased: Leased) -> None:
        self._server = server
        self._connection = self._connected()
        self._kept = Kept(leased)
        self._tx: PostgresTransaction | None = None
        self._pipeline = contextlib.ExitStack()
        self._notified_at = 0.0
        self._owes_hint = False

    def begin(self) -> Transaction:
        """BEGIN, reconnecting where the connection was lost."""
        try:
            self._connection.execute("BEGIN")
        except Exception as error:
            if not self._server.is_lost(error):
                raise
            # The server restarted, or closed an idle connection: nothing has been written yet, so start anew.
            self._connection.close()
            self._connection = self._connected()
            self._connection.execute("BEGIN")
        self._pipeline.enter_context(self._connection.pipeline())
        self._tx = PostgresTransaction(cast("Any", self._connection), self._kept)
        return self._tx

    def commit(self) -> None:
        """Make the transaction durable."""
        assert self._tx is not None, "begin comes first"
        self._tx.flush()
        self._connection.execute("COMMIT")
        self._pipeline.close()

    def rollback(self) -> None:
        """Undo the transaction; a broken connection is dropped."""
        self._kept.forget()
        with contextlib.suppress(Exception):  # the error that led here, told again
            self._pipeline.close()
        try:
            self._connection.rollback()
        except Exception:
            self._connection.close()

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether PostgreSQL, not the transaction function, failed."""
        return self._server.is_engine_error(error)

    def retry_delay(self, error: BaseException, attempt: int) -> float | None:
        """A deadlock or a lost race passes; anything else needs a person."""
        if not self._server.is_passing(error) or attempt >= RETRIES_MAX:
            return None
        return 0.002 * 2**attempt

    def explain(self, error: BaseException) -> OpsError:
        """The failure as a refusal that names the database and the remedy."""
        return self._server.explain(error)

    def after_commit(self, events_appended: int) -> None:
        """Hint to other processes, at most once every few milliseconds: a NOTIFY per event halves the throughput."""
        self._owes_hint = True
        if time.monotonic() - self._notified_at >= NOTIFY_EVERY_SECONDS:
            self._notify()

    def idle(self) -> float | None:
        """Send the hint that is still owed."""
        if not self._owes_hint:
            return None
        left = self._notified_at + NOTIFY_EVERY_SECONDS - time.monotonic()
        if left > 0:
            return left
        self._notify()
        return None

    def _connected(self) -> "Connection[tuple[Any, ...]]":
        connection = self._server.connect()
        connection.execute(_PLANNING)
        return connection

    def _notify(self) -> None:
        self._owes_hint = False
        self._notified_at = time.monotonic()
        with contextlib.suppress(Exception):  # a hint only: readers look on their own from time to time
            self._connection.execute(f"NOTIFY {CHANNEL}")

    def close(self) -> None:
        """Close the connection."""
        if self._owes_hint:
            self._notify()
        self._connection.close()


class NotifyWatcher:
    """Hears other processes' commits: LISTEN on a connection of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._connection = self._listening()

    def wait(self) -> bool:
        """Wait up to a quarter of a second; whether there may be something to read.

        A lost connection counts as a change, since hints may have been missed meanwhile.
        """
        try:
            return any(True for _ in self._connection.notifies(timeout=0.25, stop_after=1))
        except Exception:
            self._connection.close()
            time.sleep(0.25)
            with contextlib.suppress(OpsError):
                self._connection = self._listening()
            return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _listening(self) -> "Connection[tuple[Any, ...]]":
        connection = self._server.connect()
        connection.execute(f"LISTEN {CHANNEL}")
        return connection
