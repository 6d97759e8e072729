"""A few read-only connections for single statements.

Not psycopg's pool, which after an outage tries again ever more seldom: its callers waited half a minute to be refused,
also a minute after the server was back. Here who reads connects where nothing is connected, and is told at once what
came of it; so the first read after an outage is one that works.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.store import Row
from mcp_server.persistence.postgres.server import PostgresServer

if TYPE_CHECKING:
    from psycopg import AsyncConnection

READERS_MAX = 4
TURN_SECONDS = 20.0
"""How long a read waits for its turn: longer than the one before it may wait for its answer."""
SPARE_SECONDS = 5.0
"""Where the server has no connection to spare, how long a read waits for one of ours."""


class Readers:
    """Connections that are opened when they are needed, and kept."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._idle: list[AsyncConnection[Any]] = []
        self._open = 0
        self._turns = asyncio.Semaphore(READERS_MAX)
        self._returned = asyncio.Event()
        self._failure: tuple[float, Exception] = (0.0, Exception())
        """When nothing could be connected last, and why."""
        self._is_closed = False

    async def open(self) -> None:
        """Connect once, so that what is wrong is told now.

        Raises:
            psycopg.Error: the server does not answer.
        """
        await self._put_back(await self._connect())

    async def read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one statement; where its connection turns out to be lost, on the next one.

        Raises:
            psycopg.Error: the statement failed, or nothing could be connected.
            Unavailable: its turn has not come in time, or the store is closed.
        """
        started = time.monotonic()
        async with self._turn():
            while True:
                connection, is_new = await self._take(started)
                try:
                    cursor = await connection.execute(cast("Any", sql), parameters)
                    return cast("list[Row]", await cursor.fetchall())
                except Exception:
                    # A server that restarted ended them all, and each is found out by its use. One that stands still
                    # has taken its time.
                    if not connection.closed or is_new or time.monotonic() - started > SPARE_SECONDS:
                        raise
                finally:
                    await self._put_back(connection)

    async def close(self) -> None:
        """Close what is idle now, and the rest when it is put back."""
        self._is_closed = True
        while self._idle:
            await self._end(self._idle.pop())

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable(
                f"{READERS_MAX} reads have kept the database {self._server.name} for over {TURN_SECONDS:g} seconds.",
                next="Call again. What this call wrote before it came to read is saved.",
            ) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _take(self, started: float) -> "tuple[AsyncConnection[Any], bool]":
        """A connection, and whether it is new."""
        while not self._idle:
            failed_at, failure = self._failure
            if failed_at > started and not self._open:
                raise failure  # while this waited, another asked for it, too
            try:
                return await self._connect(), True
            except Exception as error:
                self._failure = (time.monotonic(), error)
                await self._spare(error, started)
        return self._idle.pop(), False

    async def _spare(self, error: Exception, started: float) -> None:
        """Nothing can be connected: the server may be gone, or have none left. Wait for one of those that there are."""
        self._returned.clear()
        left = started + SPARE_SECONDS - time.monotonic()
        if self._idle:
            return
        if not self._open or left <= 0:
            raise error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._returned.wait()

    async def _connect(self) -> "AsyncConnection[Any]":
        if self._is_closed:
            raise Unavailable("The store is closed: this server is shutting down.", next="Call another server.")
        connection = await self._server.connect_reader()
        self._open += 1
        return connection

    async def _put_back(self, connection: "AsyncConnection[Any]") -> None:
        """Keep it for the next, unless it is lost, or in the midst of a statement whose caller has gone."""
        is_at_rest = not connection.closed and connection.info.transaction_status == 0
        if is_at_rest and not self._is_closed:
            self._idle.append(connection)
        else:
            await self._end(connection)
        self._returned.set()

    async def _end(self, connection: "AsyncConnection[Any]") -> None:
        self._open -= 1
        await connection.close()
