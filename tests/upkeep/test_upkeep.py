"""Backups, restores, exports and imports lose nothing, and leave nothing half done."""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.approvals.transactions import signing_key, spend_seal
from mcp_server.domain.areas import AREAS
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.state.commands import FindDocuments
from mcp_server.domain.tasks.archive import TaskRetention
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.kernel.errors import Busy, Conflict, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.json_text import sha256_text
from mcp_server.kernel.positions import parse_cursor
from mcp_server.kernel.times import iso
from mcp_server.persistence.database import Database
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.upkeep import backup, transfer
from mcp_server.upkeep.inspection import replay_database
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def live_through_much(world: World) -> None:
    """A little of everything that a database can hold."""
    desk, call = world.desk, world.call
    agent, instance_id = await world.instance("busy")
    first, second = await world.tasks(
        {"title": "naïve ☃ 𝄞", "input": {"x": [1, 2.5, None, "\\u0041", "a\nb"]}, "retry": {"delay_seconds": 0.25}},
        {"depends_on": ["#0"], "tags": ["t"], "timeout_seconds": 3.5},
    )
    await world.task(run_at=iso(world.clock.now + 3_600_000_000))
    await world.task(schedule={"cron": "0 9 * * *", "timezone": "Europe/Berlin"})
    await world.task(idempotency_key="once", requires_approval=True, required_capabilities=["python@3"])
    claimed = await world.claim_one(agent, instance_id=instance_id)
    assert claimed.task.id == first.id
    await world.finish(claimed, result={"π": 3.14159, "big": 2**53})
    world.clock.advance(40 * 86_400)
    await world.task(title="old enough to archive the first")
    await desk.tasks.control(call, ControlTasks(task_ids=(second.id,), action="cancel"))
    assert await desk.get(TaskRetention).archive_some() == 1
    for version in range(3):
        await world.write("notes", "a/b c", {"n": version}, note=f"v{version}", tags=("x",))
    await world.write("notes", "nothing", None, ttl_seconds=60)
    await desk.locks.acquire(call, AcquireLock(name="lock", owner="me"))


async def exported(url: str) -> bytes:
    out = io.BytesIO()
    transfer.export(url, out, 7)
    return out.getvalue()


def facts(export: bytes) -> list[str]:
    """An export without what names the database it came from, rows in one order."""
    header, *rows, end = export.splitlines()
    assert json.loads(header)["format"] == "datamcp-export"
    return [*sorted(json.dumps(json.loads(row), sort_keys=True) for row in rows), json.dumps(json.loads(end)["rows"])]


async def test_a_round_trip_over_both_engines_loses_nothing(sqlite_url: str, postgres_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        await live_through_much(world)
        events, cursor = await world.desk.events.read(world.call, ReadEvents(limit=5))
        rest, _ = await world.desk.events.read(world.call, ReadEvents(limit=100, after=cursor))
    original = await exported(sqlite_url)
    transfer.import_(postgres_url, io.BytesIO(original))
    moved = await exported(postgres_url)
    assert facts(moved) == facts(original)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    transfer.import_(back, io.BytesIO(moved))
    assert facts(await exported(back)) == facts(original)
    async with open_world(postgres_url) as there:
        there.clock.now = world.clock.now
        assert (await there.desk.events.read(there.call, ReadEvents(limit=100, after=cursor)))[0] == rest
        assert events[0].seq < rest[0].seq
        task = await there.task(title="after the move")
        (newest,), _ = await there.desk.events.read(there.call, ReadEvents(limit=1, newest_first=True))
        assert newest.aggregate_id == task.id and newest.seq > rest[-1].seq
        document = await there.read("notes", "a/b c")
        assert (document.version, document.value) == (3, {"n": 2})
        claimed = await there.claim_one(await there.agent("busy"))
        assert claimed.task.status == "running"
    assert parse_cursor(cursor).xid == 0


async def test_an_import_into_a_database_that_holds_something_is_refused(url: str, tmp_path: Path):
    async with open_world(url) as world:
        await world.task(title="mine")
        export = await exported(url)
        with pytest.raises(Conflict, match="holds queues already"):
            transfer.import_(url, io.BytesIO(export))
        assert len(await world.events()) == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: lines[:3] + lines[4:], "not what was exported"),
        (lambda lines: [lines[0], b"{", *lines[2:]], "Line 2 .* not JSON"),
        (lambda lines: [b"[1]", *lines[1:]], "not a JSON object"),
        (lambda lines: [b'{"format": "other"}', *lines[1:]], "not an export"),
        (lambda lines: [lines[0].replace(b'"schema":', b'"schema":9'), *lines[1:]], "schema"),
        (lambda lines: [*lines, lines[1]], "after the end"),
        (lambda lines: [lines[0], b'{"table": "sqlite_schema", "row": {}}', *lines[1:]], "neither a row"),
        (lambda lines: [lines[0], b'{"table": "agents", "row": {"id; DROP TABLE agents": 1}}', *lines[1:]], "columns"),
    ],
)
async def test_an_export_that_is_not_whole_is_refused_and_nothing_is_kept(url: str, tmp_path: Path, spoil: Any, says):
    source = f"sqlite:///{tmp_path / 'source.db'}"
    async with open_world(source) as world:
        await live_through_much(world)
    lines = spoil((await exported(source)).splitlines(keepends=True))
    with pytest.raises(ValidationFailed, match=says):
        transfer.import_(url, lines)
    assert json.loads((await exported(url)).splitlines()[-1])["rows"] == {table.name: 0 for table in transfer.TABLES}


async def test_an_export_holds_no_token_of_a_lease_and_nothing_that_signs_or_was_sealed(url: str):
    async with open_world(url) as world:
        agent, _ = await world.instance("busy")
        await world.task()
        claimed = await world.claim_one(agent)
        origin = world.desk.context.origin(world.call)
        await world.database.write(signing_key, origin, "approval links", "secret of links")
        await world.database.write(spend_seal, origin, "seal that came back", origin.at + 1)
    whole = await exported(url)
    assert sha256_text(claimed.lease_token).encode() in whole
    for secret in (claimed.lease_token, "secret of links", "seal that came back"):
        assert secret.encode() not in whole


async def test_every_table_is_exported(url: str):
    database = await Database.open(url, AREAS)
    try:
        catalogue = (
            "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            if database.engine == "sqlite"
            else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        rows = await database.backend.read(catalogue, {})
        tables = {value for row in rows for value in (row.values() if isinstance(row, dict) else tuple(row))}
    finally:
        await database.close()
    assert tables == {
        *(table.name for table in transfer.TABLES),
        *("call_audio", "call_owners", "call_requests", "call_returns"),
        *("document_tags", "task_tags", "approvers", "texts", "text_spans"),  # derived
        *("key_uses", "migrations", "signing_keys", "spent_seals", "supervisors"),
    }


async def test_a_backup_made_while_a_server_writes_is_whole_and_opens(sqlite_url: str, tmp_path: Path):
    target = tmp_path / "copy.db"
    async with open_world(sqlite_url) as world:
        await live_through_much(world)
        copied = backup.back_up(file_of(sqlite_url), target, force=False)
        await world.task(title="after")
        with pytest.raises(Conflict, match="exists already"):
            backup.back_up(file_of(sqlite_url), target, force=False)
        assert backup.back_up(file_of(sqlite_url), target, force=True).rows["tasks"] == copied.rows["tasks"] + 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    async with open_world(f"sqlite:///{target}") as copy:
        assert (await copy.read("notes", "a/b c")).version == 3


async def test_a_restore_keeps_what_it_replaces_and_asks_for_force(sqlite_url: str, tmp_path: Path):
    database, target = file_of(sqlite_url), tmp_path / "copy.db"
    async with open_world(sqlite_url) as world:
        task = await world.task(title="before")
        backup.back_up(database, target, force=False)
        later = await world.task(title="later")
    with pytest.raises(Conflict, match="--force"):
        backup.restore(target, database, force=False)
    _, kept = backup.restore(target, database, force=True)
    async with open_world(sqlite_url) as world:
        assert [t.id for t in (await world.desk.tasks.find(world.call, FindTasks())).items] == [task.id]
    assert kept is not None
    async with open_world(f"sqlite:///{kept}") as world:
        assert await world.status(later) == "queued"


async def test_a_restore_under_a_running_server_is_refused(sqlite_url: str, tmp_path: Path):
    database, target = file_of(sqlite_url), tmp_path / "copy.db"
    async with open_world(sqlite_url) as world:
        task = await world.task()
        backup.back_up(database, target, force=False)
        with pytest.raises(Busy, match="in use"):
            backup.restore(target, database, force=True)
        assert await world.status(task) == "queued"
        await world.task()


async def test_a_damaged_or_foreign_file_is_never_restored(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        await world.tasks(*[{"description": "x" * 500}] * 50)
    copy, database = tmp_path / "copy.db", tmp_path / "new" / "desk.db"
    backup.back_up(file_of(sqlite_url), copy, force=False)
    content = bytearray(copy.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 8] = b"\xff" * 8
    (tmp_path / "damaged.db").write_bytes(content)
    (tmp_path / "text.db").write_text("hello" * 1000)
    with closing(SqliteFile(tmp_path / "other.db").connect()) as other:
        other.execute("CREATE TABLE t (x)")
    for name in ("damaged.db", "text.db", "other.db", "missing.db"):
        with pytest.raises(Unavailable):
            backup.restore(tmp_path / name, database, force=True)
    assert not database.exists()


@pytest.mark.parametrize("what", ["other.db", "named_alike.db", "empty.db", "folder"])
def test_a_file_that_is_another_programs_or_none_is_told_by_every_command_and_stays_as_it_is(tmp_path: Path, what: str):
    with closing(SqliteFile(tmp_path / "other.db").connect()) as other:
        other.execute("CREATE TABLE t (x)")
    with closing(SqliteFile(tmp_path / "named_alike.db").connect()) as other:
        other.execute("CREATE TABLE migrations (id INTEGER, name TEXT)")
    (tmp_path / "empty.db").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / what
    content = b"" if path.is_dir() else path.read_bytes()
    says = {"empty.db": "holds nothing yet|is no database|is not an SQLite database", "folder": "is a folder|no file"}
    for command in (
        lambda: transfer.export(f"sqlite:///{path}", io.BytesIO(), 0),
        lambda: backup.back_up(path, tmp_path / "copy.db", force=False),
        lambda: backup.restore(path, tmp_path / "new" / "desk.db", force=True),
        *([lambda: SqliteBackend(path, AREAS, allow_unsafe=True).prepare()] if what != "empty.db" else ()),
    ):
        with pytest.raises(Unavailable, match=says.get(what, "another program's|not a database of this server")):
            command()
    assert path.is_dir() or path.read_bytes() == content
    assert not list(tmp_path.rglob("copy.db")) and not list(tmp_path.rglob("desk.db"))
    finding = replay_database(f"sqlite:///{path}")
    assert not finding.ok and "no such table" not in finding.detail


async def test_a_damaged_database_can_be_replaced_and_is_kept(sqlite_url: str, tmp_path: Path):
    database, copy = file_of(sqlite_url), tmp_path / "copy.db"
    async with open_world(sqlite_url) as world:
        task = await world.task()
        backup.back_up(database, copy, force=False)
    database.write_bytes(b"no database" * 100)
    _, kept = backup.restore(copy, database, force=True)
    assert kept is not None and kept.read_bytes().startswith(b"no database")
    async with open_world(sqlite_url) as world:
        assert await world.status(task) == "queued"


def test_a_backup_of_nothing_says_so(tmp_path: Path):
    with pytest.raises(OpsError, match="There is no file"):
        backup.back_up(tmp_path / "missing.db", tmp_path / "copy.db", force=False)


@pytest.mark.slow
async def test_a_backup_holds_what_things_are_found_by_and_nothing_that_belongs_to_a_place(
    sqlite_url: str, tmp_path: Path
):
    async with open_world(sqlite_url) as world:
        await world.task(title="Ärger", tags=["red"])
        await world.write("n", "k", {"a": "Ärger"}, tags=["red"])
    copy = backup.back_up(file_of(sqlite_url), tmp_path / "copy.db", force=False).path
    backup.restore(copy, tmp_path / "elsewhere.db", force=False)
    async with open_world(f"sqlite:///{tmp_path / 'elsewhere.db'}") as world:
        tasks = [await world.desk.tasks.find(world.call, FindTasks(**by)) for by in ({"text": "ÄRGER"}, {"tag": "red"})]
        documents = [
            await world.desk.state.find(world.call, FindDocuments(**by)) for by in ({"text": "ÄRGER"}, {"tag": "red"})
        ]
        assert [len(found.items) for found in (*tasks, *documents)] == [1, 1, 1, 1]
    assert {table.name for table in AREAS.tables if not table.copied} == {
        *("signing_keys", "spent_seals", "supervisors", "key_uses", "call_owners", "call_requests", "call_returns")
    }
