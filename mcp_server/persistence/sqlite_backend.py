"""SQLite behind the `Database` door: preparing the file, reading through aiosqlite, watching for other processes."""

import time
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import aiosqlite

from mcp_server.domain.errors import OpsError
from mcp_server.persistence.migrate import migrate
from mcp_server.persistence.sqlite import DataVersionWatcher, SqliteFile, SqliteSession, require_safe_library
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.transaction import Row

READERS = 2


class SqliteBackend:
    """One file. See `Backend`."""

    engine: Engine = "sqlite"
    lanes = 1

    def __init__(self, path: Path, *, allow_unsafe: bool) -> None:
        self.file = SqliteFile(path)
        self.name = str(path)
        self._allow_unsafe = allow_unsafe
        self._readers: list[aiosqlite.Connection] = []
        self._next_reader = cycle(self._readers)

    def prepare(self) -> list[int]:
        """Create the file and its folder, or migrate it; an existing file is copied before it is changed."""
        require_safe_library(allow_unsafe=self._allow_unsafe)
        try:
            self.file.path.parent.mkdir(parents=True, exist_ok=True)
            with self.file.turnstile():
                connection = self.file.connect_writer()
                try:
                    return migrate(cast("Any", connection), "sqlite", self.name, self._back_up)
                finally:
                    connection.close()
        except OpsError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def open_session(self) -> SqliteSession:
        """The writer's connection."""
        try:
            return SqliteSession(self.file)
        except Exception as error:
            raise self._explained(error) from error

    def open_watcher(self) -> DataVersionWatcher:
        """The watcher's connection."""
        return DataVersionWatcher(self.file)

    async def open_readers(self) -> None:
        """Connect for reading, through the same SQLite library as everything else."""
        for _ in range(READERS):
            reader = aiosqlite.Connection(lambda: self.file.connect(read_only=True), 64)
            self._readers.append(await reader)
        self._next_reader = cycle(self._readers)

    async def read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one statement in a reader's thread."""
        rows = await next(self._next_reader).execute_fetchall(sql, parameters)
        return cast("list[Row]", rows)

    async def close_readers(self) -> None:
        """Close the reading connections."""
        for reader in self._readers:
            await reader.close()

    def explain(self, error: BaseException) -> OpsError | None:
        """SQLite's failure as a refusal."""
        return self.file.explain(error) if self.file.is_engine_error(error) else None

    def _back_up(self, first_new_migration: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = self.file.path.with_name(f"{self.file.path.name}.before-{first_new_migration:04}-{stamp}")
        connection = self.file.connect()
        try:
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()

    def _explained(self, error: Exception) -> Exception:
        return self.explain(error) or error
