"""A database from before people had inboxes: its rows go on, and its events still rebuild them."""

import json
from typing import Any

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.kernel.authority import Role
from mcp_server.persistence import migrate
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.upkeep.replay import replay
from tests.world import caller, open_world

pytestmark = pytest.mark.anyio
AGENT = "agent_aaaaaaaaaaaa"
SENT: dict[str, Any] = {"subject": None, "body": "b", "importance": "normal", "ack_due_at": None, "created_at": 1}
MESSAGES = (
    # Sent in this order at one moment; the ids sort the other way round.
    ("message_c", "message_c", "user:tester", {AGENT: 1}),
    ("message_b", "message_c", f"agent:{AGENT}", {"agent_x": 1}),
    ("message_a", "message_c", "user:tester", {AGENT: 2}),
)


class Old:
    """A connection to a database as an earlier version left it."""

    def __init__(self, url: str) -> None:
        backend: Any = make_backend(url, AREAS)
        self._sqlite = isinstance(backend, SqliteBackend)
        if not self._sqlite:  # the test's database is made of one that has every migration
            with backend.server.connect() as connection:
                connection.execute("DROP SCHEMA datamcp CASCADE")
        backend.prepare()
        self._connection = backend.file.connect_writer() if self._sqlite else backend.server.connect()

    def put(self, table: str, **row: Any) -> None:
        mark = "?" if self._sqlite else "%s"
        marks = ", ".join([mark] * len(row))
        self._connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def tell(self, type_: str, id_: str, **data: Any) -> None:
        about = {"aggregate_type": "message", "aggregate_id": id_, "version": 1, "actor": "user:tester"}
        self.put("events", at=1, type=type_, correlation_id="c", data=json.dumps(data), **about)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def sqlite_url(absent_sqlite_url: str) -> str:
    """What the earlier version made itself."""
    return absent_sqlite_url


async def test_old_messages_stay_and_old_events_rebuild_them(url: str, monkeypatch: pytest.MonkeyPatch):
    real = migrate.migrations
    monkeypatch.setattr(migrate, "migrations", lambda engine: [one for one in real(engine) if one.number < 8])
    old = Old(url)
    for id_, thread_id, sender, places in MESSAGES:
        old.put("messages", id=id_, thread_id=thread_id, sender=sender, version=1, **SENT)
        for agent_id, place in places.items():
            read_at = 5 if id_ == "message_c" else None
            old.put("deliveries", message_id=id_, agent_id=agent_id, place=place, read_at=read_at)
        old.tell("message.sent", id_, thread_id=thread_id, sender=sender, places=places, **SENT)
    old.tell("message.read", "message_c", agent_id=AGENT, read_at=5)
    whole = {"message_id": "message_d", "agent_id": AGENT, "place": 3, "read_at": None, "acknowledged_at": None}
    old.put("messages", id="message_d", thread_id="message_d", sender="user:tester", version=1, **SENT)
    old.put("deliveries", **whole)
    lines = [whole | {"ack_due_at": None, "ack_missed_at": None}]
    snapshot = {"id": "message_d", "thread_id": "message_d", "sender": "user:tester", "deliveries": lines}
    old.tell("message.snapshot", "message_d", **SENT | snapshot)
    old.close()
    monkeypatch.undo()
    async with open_world(url) as world:
        assert replay(url).differences == ()
        thread = await world.desk.messages.look(caller(Role.AGENT), ReadMessages(thread_id="message_c"))
        assert [message.id for message in thread.messages] == ["message_c", "message_b", "message_a"]
        sent = await world.desk.messages.look(caller(Role.AGENT), ReadMessages(sent=True))
        assert len(sent.messages) == 3
