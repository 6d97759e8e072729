"""Sessions of PostgreSQL that one test leaves to the next, as PgBouncer leaves its own: to begin one and to read the
catalogue for it costs the server more than most tests ask of it."""

import contextlib
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import generators
from psycopg.pq import ConnStatus, ExecStatus, PGconn, PipelineStatus, TransactionStatus


class Sessions:
    """Those of one database that nobody uses now, by the words with which they were asked for."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[PGconn]] = defaultdict(list)
        self._words: dict[PGconn, str] = {}

    @property
    def pids(self) -> list[int]:
        """The server's processes behind them."""
        return [one.backend_pid for kept in self._idle.values() for one in kept]

    @contextlib.contextmanager
    def left(self) -> Generator[None]:
        """Whoever connects meanwhile takes over one of them where there is one, and whoever closes a connection that is
        at rest leaves one."""
        with pytest.MonkeyPatch.context() as patch:
            begin = generators.connect

            def connect(words: str) -> Any:
                with contextlib.suppress(IndexError):
                    while not _is_there(session := self._idle[words].pop()):
                        session.finish()
                    return session
                session = yield from begin(words)
                self._words[session] = words
                return session

            patch.setattr(generators, "connect", connect)
            self._close_less(patch)
            yield

    def close(self) -> None:
        """End them."""
        for session in self._words:
            session.finish()

    def _close_less(self, patch: pytest.MonkeyPatch) -> None:
        close, close_async = psycopg.Connection.close, psycopg.AsyncConnection.close

        def leave(connection: psycopg.Connection[Any]) -> None:
            if not self._is_left(connection):
                close(connection)

        async def leave_async(connection: psycopg.AsyncConnection[Any]) -> None:
            if not self._is_left(connection):
                await close_async(connection)

        patch.setattr(psycopg.Connection, "close", leave)
        patch.setattr(psycopg.AsyncConnection, "close", leave_async)

    def _is_left(self, connection: Any) -> bool:
        session: PGconn = connection.pgconn
        words = self._words.get(session)
        if words is None or not _is_clean(session):
            return False
        connection.pgconn, connection._closed = _ended(), True
        self._idle[words].append(session)
        return True


def _is_clean(session: PGconn) -> bool:
    """Whether it was at rest, and has forgotten all that was set, prepared, locked and listened to in it."""
    is_at_rest = session.status == ConnStatus.OK and session.transaction_status == TransactionStatus.IDLE
    if not is_at_rest or session.pipeline_status != PipelineStatus.OFF:
        return False
    if session.exec_(b"DISCARD ALL").status != ExecStatus.COMMAND_OK:
        return False
    while session.notifies():
        pass
    return True


def _is_there(session: PGconn) -> bool:
    """Whether nobody has ended it."""
    return session.exec_(b"").status == ExecStatus.EMPTY_QUERY


def _ended() -> PGconn:
    session = PGconn.connect_start(b"")
    session.finish()
    return session
