"""The writer's connection to a file."""

import contextlib
import sqlite3
from typing import Any, cast

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.errors import OpsError
from mcp_server.persistence.migrate import newest_known, require_not_newer
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.sqlite.transaction import SqliteTransaction
from mcp_server.persistence.sqlite.whole import Whole
from mcp_server.persistence.transaction import Kept, Transaction

_AS_IT_IS = contextlib.nullcontext()


class SqliteSession:
    """The writer's connection to a file."""

    reads_ahead = False  # a statement costs less than the bookkeeping

    def __init__(self, file: SqliteFile, areas: Areas) -> None:
        self._file = file
        self._areas = areas
        self._turnstile = file.turnstile()
        try:
            self._connection = file.connect_writer()
        except BaseException:
            self._turnstile.close()
            raise
        self._mark = file.mark()
        self.whole = Whole(file, self._connection)
        self._transaction: Transaction | None = None
        self._has_turn = False
        self._kept = Kept({})
        file.forget()  # this connection is to what stands there now; SQLite may have made its own files anew
        self._schema_version = 0
        self._known_schema = newest_known("sqlite")

    def begin(self) -> Transaction:
        """Wait for the turn, then BEGIN IMMEDIATE: a deferred transaction would fail on its first write."""
        self._turnstile.acquire()
        self._has_turn = True
        self._connection.execute("BEGIN IMMEDIATE")
        self._file.require_own()
        self._require_own_schema()
        self.whole.require()
        self._transaction = SqliteTransaction(cast("Any", self._connection), self._kept, self._areas)
        return self._transaction

    def commit(self) -> None:
        """Make the batch durable and give the turn away."""
        moves_mark = self._transaction is not None and self._transaction.moves_mark
        with self._mark.moving() if moves_mark else _AS_IT_IS:
            self._connection.execute("COMMIT")
        self._file.require_own()  # nothing is acknowledged that went into files which nobody will find, or read
        self.whole.require()
        self._leave()

    def _require_own_schema(self) -> None:
        """Write to no schema that a newer server has made since. The version that SQLite counts changes with any."""
        version = self._connection.execute("PRAGMA schema_version").fetchone()[0]
        if version == self._schema_version:
            return
        newest = self._connection.execute("SELECT MAX(number) FROM migrations").fetchone()[0]
        require_not_newer(newest or 0, self._known_schema, str(self._file.path))
        self._file.take()  # by the first transaction SQLite has made what it keeps beside
        self._schema_version = version

    def rollback(self) -> None:
        """Undo the batch and give the turn away."""
        self._kept.forget()
        with contextlib.suppress(self._file.library.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._leave()

    def _leave(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turnstile.release()

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether SQLite, not the transaction function, failed."""
        return self._file.is_engine_error(error)

    def retry_delay(self, error: BaseException, attempt: int) -> float | None:
        """A lock held by another program may go; everything else needs a person."""
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return 0.05 if busy and attempt < 1 else None

    def explain(self, error: BaseException) -> OpsError:
        """The failure as a refusal that names the file and the remedy."""
        return self._file.explain(error)

    def after_commit(self) -> None:
        """Nothing to do: other processes see the file's data version change."""

    def idle(self) -> float | None:
        """Nothing to do."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self.whole.close()
        self._mark.close()
        self._turnstile.close()
