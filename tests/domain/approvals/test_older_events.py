"""A database of before: the migration gives its questions what a rebuild from its events gives them."""

import json
from pathlib import Path

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.kernel.errors import PermissionDenied
from mcp_server.persistence.sqlite.library import load_library
from mcp_server.upkeep.replay import replay
from tests.domain.approvals.test_service import decide, request
from tests.domain.events.test_thinning import desk_with
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
YOUNGER = ("about", "requester", "named_by_operator", "idempotency_key", "key_owner", "content_hash", "refused")


def age(path: Path) -> None:
    """Make a database what it was before migration 9: neither columns nor events know of what came with it."""
    database = load_library().connect(str(path), isolation_level=None)
    for index in ("approvals_requester", "approvals_idempotency"):
        database.execute(f"DROP INDEX {index}")
    for column in YOUNGER[:-1]:
        database.execute(f"ALTER TABLE approvals DROP COLUMN {column}")
    for table in ("tasks", "archived_tasks"):
        database.execute(f"ALTER TABLE {table} DROP COLUMN refused")
    database.execute("DROP TABLE spent_seals")
    database.execute("DELETE FROM migrations WHERE number = 9")
    told = "SELECT seq, data FROM events WHERE aggregate_type IN ('approval', 'task')"
    for seq, data in database.execute(told).fetchall():
        kept = {name: value for name, value in json.loads(data).items() if name not in YOUNGER}
        database.execute("UPDATE events SET data = ? WHERE seq = ?", (json.dumps(kept), seq))
    database.close()


async def before(world: World) -> tuple[str, str]:
    """Questions of every kind; the one that is open, and the one that an operator's people answer."""
    world.desk = desk_with(world, EmailPolicy(allow=("*@x.org",), approvers=("boss",)))
    open_one = await request(world, "ann", details={"a": 1})
    mail = await world.desk.emails.send(world.call, SendEmail(to=("eve@evil.test",), subject="s", text="t"))
    task = await world.task(requires_approval=True, input={"n": 1})
    await decide(world, "ann", task.id, granted=False)
    return open_one.id, mail.email.approval_id or ""


async def test_older_questions_are_rebuilt_as_they_were_migrated(tmp_path: Path):
    path = tmp_path / "desk.db"
    url = f"sqlite:///{path}"
    async with open_world(url) as world:
        open_one, mails = await before(world)
    age(path)
    async with open_world(url) as world:
        assert replay(url).differences == ()
        rows = {row["id"]: row for row in await world.database.fetch_all("approvals_find", filters=(), limit=9)}
        assert (rows[open_one]["requester"], rows[open_one]["named_by_operator"]) == ("user:tester", 0)
        assert rows[mails]["named_by_operator"] == 1
        with pytest.raises(PermissionDenied, match="The operator named"):
            command = RequestApproval(title="t", action="a", approvers=(), task_id=rows[mails]["task_id"])
            await world.desk.approvals.request(world.call, command)
        assert (await decide(world, "ann", open_one)).status == "approved"
        assert replay(url).differences == ()
