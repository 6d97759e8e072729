"""What sessions were told already, and which agent speaks in each: a small file beside the database.

Several hooks of one session may run at once, also those that two clients loaded for it: an item is told by whoever
writes it down first. Where nothing can be written down, nothing keeps a session going.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from mcp_server.hooks.settings import Settings, default_file
from mcp_server.kernel import private_files
from mcp_server.persistence.sqlite.library import UNTRUSTED, load_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEPT_SECONDS = 30 * 86_400
IN_A_ROW_MAX = 5
"""How often in a row a session is kept going without a word of its user."""

OPEN_FOR_SECONDS = 12 * 3600
"""After how much silence a session no longer counts as open: one that crashed never says that it ended."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, agent TEXT, instance TEXT, began REAL NOT NULL,
  seen REAL NOT NULL, ended INTEGER NOT NULL DEFAULT 0, in_a_row INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS told (session TEXT NOT NULL, item TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (session, item)) WITHOUT ROWID;
"""


class Session:
    """One session of a client: which agent and instance it registered, and when it began (seconds since 1970)."""

    __slots__ = ("agent", "began", "ended", "instance")

    def __init__(self, agent: str | None, instance: str | None, began: float, ended: int) -> None:
        self.agent, self.instance, self.began, self.ended = agent, instance, began, bool(ended)


class Memory:
    """The file. Every method does its part or, where the file cannot be used, as if nothing had been written."""

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._library = load_library()
        self._connection: Any = None

    @staticmethod
    def beside(settings: Settings, now: Callable[[], float] = time.time) -> Memory:
        """Where it belongs."""
        return Memory(f"{settings.path or default_file()}.hooks", now)

    def session(self, session: str) -> Session | None:
        """What is known of a session."""
        if not os.path.exists(self.path):
            return None
        rows = self._run("SELECT agent, instance, began, ended FROM sessions WHERE id = ?", (session,))
        return Session(*rows[0]) if rows else None

    def open(self, session: str) -> None:
        """A session begins, goes on, or comes back."""
        now = self._now()
        self._run(
            "INSERT INTO sessions (id, began, seen) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, ended = 0, in_a_row = 0",
            (session, now, now),
        )

    def registered(self, session: str, agent: str, instance: str | None) -> None:
        """A session registered an agent: it speaks from now on."""
        self.open(session)
        self._run(
            "UPDATE sessions SET agent = ?, instance = COALESCE(?, instance) WHERE id = ?", (agent, instance, session)
        )

    def named(self, session: str, agent: str) -> None:
        """An agent was named for a session from outside."""
        self._run("UPDATE sessions SET agent = ? WHERE id = ?", (agent, session))

    def end(self, session: str) -> None:
        """A session ends. What is old is forgotten."""
        self._run("UPDATE sessions SET ended = 1 WHERE id = ?", (session,))
        old = (self._now() - KEPT_SECONDS,)
        self._run("DELETE FROM told WHERE at < ?", old)
        self._run("DELETE FROM sessions WHERE seen < ?", old)

    def has_others(self, session: str, agent: str) -> bool:
        """Whether other sessions of the agent may be open; where nobody knows, they may."""
        since = self._now() - OPEN_FOR_SECONDS
        rows = self._run(
            "SELECT count(*) FROM sessions WHERE agent = ? AND id <> ? AND ended = 0 AND seen > ?",
            (agent, session, since),
        )
        return rows is None or rows[0][0] > 0

    def may_go_on(self, session: str) -> bool:
        """Whether a session may be kept going once more; counts it."""
        rows = self._run(
            "UPDATE sessions SET in_a_row = in_a_row + 1, seen = ? WHERE id = ? AND in_a_row < ? RETURNING 1",
            (self._now(), session, IN_A_ROW_MAX),
        )
        return bool(rows)

    def take(self, session: str, items: Sequence[str]) -> set[str]:
        """Which of the items nobody told the session before; now they count as told."""
        now = self._now()
        taken: set[str] = set()
        for item in items:
            row = "INSERT INTO told VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING item"
            if self._run(row, (session, item, now)):
                taken.add(item)
        return taken

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def _run(self, sql: str, parameters: Sequence[object]) -> list[Any] | None:
        """Rows; None where the file cannot be used."""
        try:
            if self._connection is None:
                self._connection = self._opened()
            return self._connection.execute(sql, parameters).fetchall()
        except (OSError, self._library.Error):
            return None

    def _opened(self) -> Any:
        private_files.make_folder(os.path.dirname(os.path.abspath(self.path)))
        private_files.leave_empty(self.path)
        connection = self._library.connect(self.path, isolation_level=None, timeout=0.5)
        try:
            connection.execute(UNTRUSTED)
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'told'").fetchall():
                for statement in _SCHEMA.split(";")[:-1]:
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection
