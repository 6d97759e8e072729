"""One database on a server: the driver, imported only when used, and the reasons for its failures."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mcp_server.kernel.errors import OpsError, Unavailable
from mcp_server.persistence.limits import beyond_the_engine

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import AsyncConnectionPool


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
        known = self.is_passing(error) or self.is_lost(error) or isinstance(error, self._psycopg.DataError)
        return known or (error.sqlstate or "")[:2] in _FAILURES

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
        if isinstance(error, self._psycopg.DataError):
            return beyond_the_engine(reason)
        return Unavailable(
            f"The database {self.name} failed: {reason}.",
            next="Check that the server runs and accepts this user, then call again. A write that failed this way may "
            "have been saved: read before you repeat it.",
            details={"sqlstate": getattr(error, "sqlstate", None)},
        )
