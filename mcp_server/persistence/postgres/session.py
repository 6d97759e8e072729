"""A writer's connection, and the one that listens for other processes."""

import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.store import Memory
from mcp_server.persistence.doorbell import Doorbell
from mcp_server.persistence.migrate import newest_known, require_not_newer
from mcp_server.persistence.postgres.outcome import Marker, find_out
from mcp_server.persistence.postgres.pooling import require_same
from mcp_server.persistence.postgres.transaction import PostgresTransaction
from mcp_server.persistence.transaction import EVENT_COLUMNS, Kept, Transaction
from mcp_server.persistence.writer import OutcomeUnknown

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
from mcp_server.persistence.postgres.server import Blocker, PostgresServer

NOTIFY_EVERY_SECONDS = 0.01
RESTED_SECONDS = 1.0
"""After so long without a hint the next goes out with its transaction, so that no death comes between the two. That
takes a lock of all databases until the commit is on the disk; who writes a lot sends its hints behind."""
LOOKS_AFTER_HINT = 2
"""How many times, a `RESTED_SECONDS` apart, who heard a hint looks for what was written behind it without one."""
RETRIES_MAX = 8
SCHEMA_SEEN_FOR_SECONDS = 1.0
LOCK_SECONDS = 10.0
"""How long a statement waits for what another transaction has locked."""

IMPATIENT_SECONDS, IMPATIENT_LOCK_SECONDS = 10.0, 0.1
"""After it waited in vain, for how long it waits how long only: who was in the same batch comes one by one."""

TRANSACTION_SECONDS = 60.0
"""How long a transaction may last, should its process stand still, before the server ends it. Versions before 17 end it
only where it stands still between two statements that were not sent together: there, who is held up by it ends it."""
WRITES = "datamcp-write"
"""What writers are called at the server."""
GONE_SECONDS = 1.0
"""How often a session that waits looks whether its process lives: a dead one keeps nothing locked for longer."""
_SET = "SELECT set_config(%s, %s, %s)"
_SEEN = "SELECT COALESCE(MAX(number), 0), pg_backend_pid() FROM migrations"
_IDLE, TRANSACTION_TIMEOUT_SINCE = "idle_in_transaction_session", 170_000

# Transaction functions look things up by keys, a few rows at a time. The planner knows neither how many rows an array
# holds nor how a table will grow: left to itself it reads thousands of rows to change a few, and plans every call anew.
_PLANNING = """
SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
SET enable_mergejoin = off; SET jit = off
"""


class PostgresSession:
    """A writer thread's connection.

    Statements go out in a pipeline: only a read waits for an answer, and what is written in between costs no round
    trip of its own. Functions that were waiting together share a transaction and what they read ahead.
    """

    reads_ahead = True

    def __init__(self, server: PostgresServer, areas: Areas, shared: dict[type[Memory], Memory]) -> None:
        self._server = server
        self._session: int | None = None
        """Which of the server's sessions this is; it stays the same where nothing stands between that swaps them."""
        self._connection = self._connected()
        self._hint = b"NOTIFY " + server.channel
        self._areas = areas
        self._kept = Kept(shared)
        self._tx: PostgresTransaction | None = None
        self._pipeline = contextlib.ExitStack()
        self._notified_at = 0.0
        self._owes_hint = False
        self._has_told = False
        """Whether the last commit carried its hint itself."""
        self._known_schema = newest_known("postgres")
        self._schema_seen_at = 0.0
        self._impatient_until = 0.0
        self._numbered: Cursor[tuple[str]] | None = None

    def begin(self) -> Transaction:
        """BEGIN, reconnecting where the connection was lost."""
        try:
            self._begin()
        except Exception as error:
            if not self._server.is_lost(error):
                raise
            # The server restarted, or closed an idle connection: nothing has been written yet, so start anew.
            with contextlib.suppress(Exception):
                self._pipeline.close()
            self._connection.close()
            self._connection = self._connected()
            self._begin()
        self._tx = PostgresTransaction(cast("Any", self._connection), self._kept, self._areas)
        return self._tx

    def _begin(self) -> None:
        """No round trip of its own: the transaction's number, by which its outcome can be looked up, comes with what is
        read first."""
        self._pipeline.enter_context(self._connection.pipeline())
        self._connection.execute("BEGIN")
        self._numbered = self._connection.execute("SELECT pg_current_xact_id()::text")
        if time.monotonic() < self._impatient_until:
            self._connection.execute(_SET, ("lock_timeout", _milliseconds(IMPATIENT_LOCK_SECONDS), True))
        self._require_own_schema()

    def _require_own_schema(self) -> None:
        """Write to no schema that a newer server has made since, and in no session but this connection's. Asked once a
        second: it is a round trip."""
        if time.monotonic() - self._schema_seen_at < SCHEMA_SEEN_FOR_SECONDS:
            return
        row = self._connection.execute(_SEEN).fetchone()
        newest, session = row or (0, 0)
        require_same(self._session or session, session, self._server.name)
        self._session = session
        require_not_newer(newest, self._known_schema, self._server.name)
        self._schema_seen_at = time.monotonic()

    def commit(self) -> None:
        """Make the transaction durable. Where the answer is lost, find out what became of it."""
        assert self._tx is not None and self._numbered is not None, "begin comes first"
        self._tx.flush()
        ((xid,),) = self._numbered.fetchall()
        tells = self._tx.writes > 0 and time.monotonic() - self._notified_at >= RESTED_SECONDS
        if tells:
            self._connection.execute(self._hint)
        try:
            self._connection.execute("COMMIT")
            self._pipeline.close()
        except Exception:  # whatever it is, only a connection that lives has been told of the outcome
            if not self._connection.closed or not self._was_committed(self._tx, xid):
                raise
        if tells:
            self._owes_hint, self._notified_at = False, time.monotonic()
        self._has_told = tells

    def _was_committed(self, tx: PostgresTransaction, xid: str) -> bool:
        """The connection was lost after the commit was asked for. What wrote nothing can be run again in any case."""
        if not tx.writes:
            return False
        event = None if tx.last_event is None else dict(zip(EVENT_COLUMNS, tx.last_event, strict=True))
        marker = None if event is None else Marker(*(event[name] for name in Marker._fields))
        outcome = find_out(self._server, xid, marker)
        if outcome == "unknown":
            raise OutcomeUnknown(self._server.name)
        return outcome == "committed"

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
        """A deadlock or a lost race passes; a session that was lost, or was read-only since it began, has a successor
        that may do better. Anything else needs a person."""
        if self._server.is_read_only(error):
            self._connection.close()
        if self._connection.closed:
            return 0.0 if attempt == 0 else None
        if not self._server.is_passing(error) or attempt >= RETRIES_MAX:
            return None
        return 0.002 * 2**attempt

    def explain(self, error: BaseException) -> OpsError:
        """The failure as a refusal that names the database and the remedy, and who stands in the way."""
        if not self._server.is_in_the_way(error):
            return self._server.explain(error)
        self._impatient_until = time.monotonic() + IMPATIENT_SECONDS
        blocker = self._server.blocker()
        if blocker is not None and _stands_still(blocker):
            self._server.end(blocker)
        return self._server.explain(error, blocker)

    def after_commit(self) -> None:
        """Hint to other processes, at most once every few milliseconds: a NOTIFY per event halves the throughput."""
        if self._has_told:
            return
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
        return RESTED_SECONDS if self._owes_hint else None

    def _connected(self) -> "Connection[tuple[Any, ...]]":
        connection = self._server.connect(bounded=True)
        self._session = None
        with self._server.preparing(connection):
            connection.execute(_PLANNING)
            connection.execute(_SET, ("application_name", WRITES, False))
            whole = "transaction" if connection.info.server_version >= TRANSACTION_TIMEOUT_SINCE else _IDLE
            connection.execute(_SET, ("lock_timeout", _milliseconds(LOCK_SECONDS), False))
            connection.execute(_SET, (f"{whole}_timeout", _milliseconds(TRANSACTION_SECONDS), False))
            with contextlib.suppress(Exception):  # neither every version nor every system has it
                connection.execute(_SET, ("client_connection_check_interval", _milliseconds(GONE_SECONDS), False))
        return connection

    def _notify(self) -> None:
        self._notified_at = time.monotonic()
        with contextlib.suppress(Exception):  # it stays owed
            if self._connection.closed:
                self._connection = self._connected()
            self._connection.execute(self._hint)
            self._owes_hint = False

    def close(self) -> None:
        """Close the connection."""
        if self._owes_hint:
            self._notify()
        self._connection.close()


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _stands_still(blocker: Blocker) -> bool:
    """Whether it is a writer like this one, whose process was stopped."""
    return blocker.application == WRITES and blocker.is_silent and blocker.seconds > TRANSACTION_SECONDS


class NotifyWatcher:
    """Hears other processes' commits: LISTEN on a connection of its own."""

    misses_nothing = True

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._connection = self._listening()
        self._bell = Doorbell(self._connection.fileno())
        self._looks = 0

    def wait(self) -> bool:
        """Wait for a hint, or for the time to look once more behind one: its writer may have been killed between a
        commit and the hint that it owed.

        Raises:
            OpsError: the connection is lost; hints may have been missed meanwhile.
        """
        if self._bell.wait(RESTED_SECONDS if self._looks else None):
            told = self._is_told()
            self._looks = LOOKS_AFTER_HINT if told else self._looks
            return told
        self._looks = max(self._looks - 1, 0)
        return True

    def _is_told(self) -> bool:
        try:
            return bool(list(self._connection.notifies(timeout=0)))
        except self._server.errors as error:
            raise self._server.explain(error) from None

    def interrupt(self) -> None:
        """End the wait that is under way. From any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Close the connection."""
        self._bell.close()
        self._connection.close()

    def _listening(self) -> "Connection[tuple[Any, ...]]":
        connection = self._server.connect()
        with self._server.preparing(connection):
            connection.execute(b"LISTEN " + self._server.channel)
        return connection
