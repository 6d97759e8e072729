"""SQLite behind the `Database` door: preparing the file, reading through aiosqlite, watching for other processes."""

import asyncio
import contextlib
import logging
import os
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiosqlite

from mcp_server.kernel import private_files
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import system_clock
from mcp_server.persistence.limits import beyond_the_engine
from mcp_server.persistence.migrate import is_set_up, migrate, migrations, require_current
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.sqlite.library import require_safe_library
from mcp_server.persistence.sqlite.mark import Mark
from mcp_server.persistence.sqlite.mounts import shared_kind
from mcp_server.persistence.sqlite.session import SqliteSession
from mcp_server.persistence.sqlite.watcher import DataVersionWatcher
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.texts import complete_migration

READERS = 3
"""Two for whatever may take long, and one that it leaves free."""
log = logging.getLogger("datamcp.store")


class SqliteBackend:
    """One file. See `Backend`."""

    engine: Engine = "sqlite"
    lanes = 1
    long_reads = READERS - 1
    hears_all = sys.platform == "linux"
    clock = staticmethod(system_clock)
    clock_is_off_by = 0

    def __init__(self, path: Path, areas: Areas, *, allow_unsafe: bool, may_only_read: bool = False) -> None:
        self.file = SqliteFile(path)
        self.name = str(path)
        self.areas = areas
        self.is_read_only = False
        self._may_only_read = may_only_read
        self._allow_unsafe = allow_unsafe
        self._readers: list[aiosqlite.Connection] = []
        self._nearby: sqlite3.Connection | None = None
        self._mark: Mark | None = None
        self._session: SqliteSession | None = None
        self._near: sqlite3.Cursor | None = None
        """Kept: to make one anew costs as much as to look a row up."""
        self._waiting = [0] * READERS
        """How many reads each has."""
        self._replacing = asyncio.Lock()
        self._closed = False

    def doubts(self) -> bool:
        """See `Whole.doubts`."""
        return self._session is not None and self._session.whole.doubts()

    async def keep_time(self) -> None:
        """Everybody who uses the file goes by the same clock."""

    def prepare(self) -> list[int]:
        """Create the file and its folder, or migrate it; an existing file is copied before it is changed."""
        require_safe_library(allow_unsafe=self._allow_unsafe)
        self._warn_of_sharing()
        if self._may_only_read and self.file.path.exists() and not self.file.is_writable:
            self._prepare_to_read()
            return []
        try:
            private_files.make_folder(self.file.path.parent)
            with self.file.turnstile():
                private_files.leave_empty(self.file.path)
                self._require_own_tables()
                connection = self.file.connect_writer()
                try:
                    complete = partial(complete_migration, connection, "sqlite", self.areas)
                    return migrate(cast("Any", connection), "sqlite", self.name, self._back_up, complete)
                finally:
                    connection.close()
        except OpsError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def _require_own_tables(self) -> None:
        """Refuse another program's file, before the way in which it is kept is changed."""
        connection = self.file.connect(read_only=True)
        try:
            is_set_up(cast("Any", connection), self.name)
        finally:
            connection.close()

    def _warn_of_sharing(self) -> None:
        kind = shared_kind(self.file.path.absolute().parent)
        if kind is not None:
            log.warning(
                "The database %s lies on a file system that others may share (%s): nothing but one machine's processes "
                "may use it there, and locks may fail. Choose a local disk with --database.",
                self.file.path,
                kind,
            )

    def _prepare_to_read(self) -> None:
        self.is_read_only = True
        self.file.read_only_alone()
        try:
            connection = self.file.connect(read_only=True)
            try:
                applied = {row[0]: row[1] for row in connection.execute("SELECT number, checksum FROM migrations")}
            finally:
                connection.close()
        except Exception as error:
            raise self._explained(error) from error
        require_current(applied, migrations("sqlite"), self.name)

    def open_session(self) -> SqliteSession:
        """The writer's connection."""
        try:
            self._session = SqliteSession(self.file, self.areas)
            return self._session
        except Exception as error:
            raise self._explained(error) from error

    def open_watcher(self) -> DataVersionWatcher:
        """The watcher's connection."""
        return DataVersionWatcher(self.file)

    async def open_readers(self) -> None:
        """Connect for reading, through the same SQLite library as everything else."""
        for _ in range(READERS):
            self._readers.append(await self._reader())
        self._nearby = self.file.connect(read_only=True)
        self._nearby.execute("PRAGMA busy_timeout = 0")
        self._near = self._nearby.cursor()
        self._mark = None if self.is_read_only else self.file.mark()

    def mark(self) -> bytes | None:
        """See `kernel.store.Database.mark`; none where nothing can be written, as nobody here keeps a file for it."""
        return None if self._mark is None else self._mark.read()

    def read_now(self, sql: str, parameters: dict[str, Any]) -> list[Row] | None:
        """Run a statement that reads one row by its key, in the caller's thread: that takes 20 microseconds, and a
        reader's turn ten times as long. None where it cannot be done at once."""
        self.file.require_own()
        if self._near is None:
            return None
        try:
            return self._near.execute(sql, parameters).fetchall()
        except Exception:  # a reader tries again, and says what is wrong
            return None

    async def read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one statement in a reader's thread. A reader found closed is replaced."""
        self.file.require_own()
        turn = self._waiting.index(min(self._waiting))
        self._waiting[turn] += 1
        try:
            return cast("list[Row]", await self._read(turn, sql, parameters))
        finally:
            self._waiting[turn] -= 1

    async def _read(self, turn: int, sql: str, parameters: dict[str, Any]) -> Any:
        reader = self._readers[turn]
        try:
            return await reader.execute_fetchall(sql, parameters)
        except (ValueError, self.file.library.ProgrammingError):  # of a closed connection, or of a wrong statement
            if self._closed or _is_open(reader):
                raise
            return await (await self._replaced(turn, reader)).execute_fetchall(sql, parameters)

    async def close_readers(self) -> None:
        """Close the reading connections."""
        self._closed = True
        if self._nearby is not None:
            self._nearby.close()
        if self._mark is not None:
            mark, self._mark = self._mark, None
            mark.close()
        async with self._replacing:
            for reader in self._readers:
                await reader.close()

    async def _reader(self) -> aiosqlite.Connection:
        # Opened before aiosqlite has a thread for it: where that fails, the thread would answer to a loop that is over.
        connection = await asyncio.to_thread(self.file.connect, read_only=True)
        return await aiosqlite.Connection(lambda: connection, 64)

    async def _replaced(self, turn: int, dead: aiosqlite.Connection) -> aiosqlite.Connection:
        """The connection in the place of one that is closed; several callers may have found it so."""
        async with self._replacing:
            if self._readers[turn] is dead and not self._closed:
                self._readers[turn] = await self._reader()
                with contextlib.suppress(Exception):  # its thread ends, which is all there is to close
                    await dead.close()
            return self._readers[turn]

    def explain(self, error: BaseException) -> OpsError | None:
        """SQLite's failure as a refusal."""
        if self.file.is_beyond(error):
            return beyond_the_engine()
        return self.file.explain(error) if self.file.is_engine_error(error) else None

    def _back_up(self, first_new_migration: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = self.file.path.with_name(f"{self.file.path.name}.before-{first_new_migration:04}-{stamp}")
        os.close(private_files.create(target))
        connection = self.file.connect()
        try:
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()

    def _explained(self, error: Exception) -> Exception:
        return self.explain(error) or error


def _is_open(reader: aiosqlite.Connection) -> bool:
    try:
        _ = reader.total_changes
    except Exception:  # the driver and the library under it have different errors for this
        return False
    return True
