"""PostgreSQL behind the `Database` door: preparing the schema, connections for writing, reading and LISTEN."""

from functools import partial
from typing import Any, cast

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.store import Memory, Row
from mcp_server.kernel.times import Micros
from mcp_server.persistence.migrate import migrate
from mcp_server.persistence.postgres.clock import LOOKS_MAX, NOW, Answer, ServerClock
from mcp_server.persistence.postgres.readers import Readers
from mcp_server.persistence.postgres.schema import make
from mcp_server.persistence.postgres.server import PostgresServer
from mcp_server.persistence.postgres.session import NotifyWatcher, PostgresSession
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.texts import complete_migration

_MIGRATION_LOCK = 730_211_458
PREPARE_LOCK_SECONDS = 10.0
"""How long a start waits for what another session has locked, such as one that migrates."""


class PostgresBackend:
    """One database. See `Backend`."""

    engine: Engine = "postgres"
    lanes = 2
    long_reads = 2  # of four readers
    is_read_only = False
    hears_all = True

    def __init__(self, url: str, areas: Areas, clock: ServerClock | None = None) -> None:
        self.server = PostgresServer(url)
        self.clock = clock or ServerClock()
        self.name = self.server.name
        self.areas = areas
        self._memories: dict[type[Memory], Memory] = {}
        self._readers = Readers(self.server)

    def prepare(self) -> list[int]:
        """Create or migrate the schema, one process at a time."""
        connection = self.server.connect()
        try:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{PREPARE_LOCK_SECONDS * 1000:.0f}",))
            connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (_MIGRATION_LOCK, self.server.schema))
            make(connection, self.server.schema, self.name)
            complete = partial(complete_migration, connection, "postgres", self.areas)
            applied = migrate(cast("Any", connection), "postgres", self.name, complete=complete)
            self._ask_time(connection)
            return applied
        except Exception as error:
            if self.server.is_in_the_way(error):
                raise self.server.explain(error, self.server.blocker()) from error
            raise self.explain(error) or error from error
        finally:
            connection.close()

    def _ask_time(self, connection: Any) -> None:
        answers: list[Answer] = []
        for _ in range(LOOKS_MAX):
            asked = self.clock.steady()
            answers.append(self.clock.answer(connection.execute(NOW).fetchone()[0], asked))
        self.clock.take(answers, self.server.connections)

    @property
    def clock_is_off_by(self) -> Micros:
        """By how much this machine's clock is ahead of the server's; behind is negative."""
        return self.clock.off

    async def keep_time(self) -> None:
        """Ask the server what time it is, where that is due: once, and several times where it says something new."""
        if not self.clock.is_due(self.server.connections):
            return
        answers: list[Answer] = []
        while len(answers) < LOOKS_MAX and not (answers and self.clock.agrees(answers[-1])):
            asked = self.clock.steady()
            (row,) = await self.read(NOW, {})
            answers.append(self.clock.answer(row["now"], asked))
        self.clock.take(answers[-1:] if self.clock.agrees(answers[-1]) else answers, self.server.connections)

    def open_session(self) -> PostgresSession:
        """A writer thread's connection."""
        return PostgresSession(self.server, self.areas, self._memories)

    def open_watcher(self) -> NotifyWatcher:
        """The listening connection."""
        return NotifyWatcher(self.server)

    async def open_readers(self) -> None:
        """Connect for reading.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            await self._readers.open()
        except self.server.errors as error:
            raise self.server.explain(error) from None

    def read_now(self, sql: str, parameters: dict[str, Any]) -> list[Row] | None:
        """None: everything is asked over a socket."""
        del sql, parameters

    def mark(self) -> bytes | None:
        """None: everything is asked over a socket."""

    async def read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one statement on a read-only connection."""
        try:
            return await self._readers.read(sql, parameters)
        except Exception as error:
            if not self.server.is_engine_error(error):
                raise
            raise self.server.explain(error, is_read=True) from error

    async def close_readers(self) -> None:
        """Close what is connected, and connect no more."""
        await self._readers.close()

    def doubts(self) -> bool:
        """Its files are the server's."""
        return False

    def explain(self, error: BaseException) -> OpsError | None:
        """PostgreSQL's failure as a refusal."""
        return self.server.explain(error) if self.server.is_engine_error(error) else None
