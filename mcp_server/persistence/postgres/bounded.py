"""Connections that wait a bounded time for each answer: a server that stands still closes nothing, and says nothing."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from mcp_server.persistence.postgres.server import ANSWER_SECONDS

T = TypeVar("T")
_LOOKS_EVERY_SECONDS = 0.1


class BoundedConnection(psycopg.Connection[Any]):
    """For a thread."""

    def wait(self, gen: PQGen[T], interval: float = _LOOKS_EVERY_SECONDS) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]  versions differ
        """Wait for an answer. A connection that gives none is of no use any more, and closed."""
        return super().wait(_bounded(gen, self.pgconn.finish), interval)


class BoundedAsyncConnection(psycopg.AsyncConnection[Any]):
    """For an event loop."""

    async def wait(self, gen: PQGen[T], interval: float = _LOOKS_EVERY_SECONDS) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]  versions differ
        """The same."""
        return await super().wait(_bounded(gen, self.pgconn.finish), interval)


def _bounded(gen: PQGen[T], close: Callable[[], object]) -> PQGen[T]:
    """What the driver does to get an answer, for so long at most; it is asked to go on at least at each interval."""
    limit = time.monotonic() + ANSWER_SECONDS
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > limit:
                close()
                raise psycopg.OperationalError(f"it gave no answer within {ANSWER_SECONDS:g} seconds")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
