"""A database that came out of a file says so itself."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mcp_server.commands.restore import restore as restore_command
from mcp_server.commands.transfer import import_command
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.observability import logs
from mcp_server.upkeep import backup, transfer
from mcp_server.upkeep.marking import origin_of
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import DAY, KEEP, thin_out
from tests.upkeep.test_upkeep import exported, file_of
from tests.world import START, World, caller, open_world

pytestmark = pytest.mark.anyio


async def told(world: World) -> list[Any]:
    return (await world.desk.events.read(world.call, ReadEvents(limit=100, type="database.*")))[0]


async def test_a_restored_database_says_who_restored_it_from_which_file_and_up_to_which_event(
    sqlite_url: str, tmp_path: Path
):
    copy = tmp_path / "monday.db"
    async with open_world(sqlite_url) as world:
        await world.task()
        at = world.clock.now
        backup.back_up(file_of(sqlite_url), copy, force=False)
        await world.task()
    for again in range(2):
        backup.restore(copy, file_of(sqlite_url), force=True, by=origin_of("olga", START + 9))
        async with open_world(sqlite_url) as world:
            (event,) = await told(world)
            assert (event.actor, event.data["how"], event.data["file"]) == ("user:olga", "restore", "monday.db"), again
            rows = await world.database.fetch_all("events_latest", limit=1)
            data = json.loads(rows[0]["data"])
            assert (data["last_seq"], data["last_at"], data["restored_at"]) == (1, at, START + 9)
            seen, _ = await world.desk.events.read(caller(Role.VIEWER), ReadEvents())
            assert [one.type for one in seen] == ["task.created"], "it is for who may see people"
    assert replay(sqlite_url).differences == ()


async def test_an_imported_database_says_so_on_both_engines_and_goes_on_after_it(url: str, tmp_path: Path):
    source = f"sqlite:///{tmp_path / 'source.db'}"
    async with open_world(source) as world:
        await world.task()
    lines = io.BytesIO(await exported(source))
    transfer.import_(url, lines, by=origin_of("olga", START + 9), file="desk.jsonl")
    async with open_world(url) as world:
        (event,) = await told(world)
        assert (event.actor, event.seq) == ("user:olga", 2)
        assert (event.data["how"], event.data["file"], event.data["last_seq"]) == ("import", "desk.jsonl", 1)
        await world.task()
        assert await world.events() == ["task.created", "database.restored", "task.created"]
        world.clock.advance(91 * DAY)
        await thin_out(world, KEEP)
        assert "database.snapshot" in await world.events()
    assert replay(url).differences == ()


async def exported_from_nothing(folder: Path) -> bytes:
    url = f"sqlite:///{folder / 'empty.db'}"
    async with open_world(url):
        return await exported(url)


async def test_an_import_that_is_refused_leaves_no_word_of_it(url: str, tmp_path: Path):
    cut_off = (await exported_from_nothing(tmp_path)).splitlines(keepends=True)[:1]
    with pytest.raises(ValidationFailed, match="cut off"):
        transfer.import_(url, cut_off, by=origin_of("olga", 1))
    async with open_world(url) as world:
        assert await world.events() == []


@pytest.mark.parametrize("name", ["a\udcffb.db", "x" * 300 + ".db", "two\nlines.db"])
async def test_a_file_of_any_name_can_be_told(url: str, tmp_path: Path, name: str):
    transfer.import_(url, io.BytesIO(await exported_from_nothing(tmp_path)), by=origin_of("olga", 1), file=name)
    async with open_world(url) as world:
        (event,) = await told(world)
        assert "last_seq" not in event.data and len(event.data["file"]) <= 255
        assert event.data["file"][:1] == name[:1]


def test_restore_and_import_on_the_command_line_record_themselves_and_say_that_revoked_keys_count_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "configure_logs", lambda *_: None)
    source, copy, lines = (tmp_path / name for name in ("source.db", "copy.db", "desk.jsonl"))

    async def fill() -> None:
        async with open_world(f"sqlite:///{source}") as world:
            await world.task()
            backup.back_up(source, copy, force=False)
        lines.write_bytes(await exported(f"sqlite:///{source}"))

    async def told_in(url: str) -> Any:
        async with open_world(url) as world:
            return (await told(world))[0]

    asyncio.run(fill())
    for command, file in ((restore_command, copy), (import_command, lines)):
        url = f"sqlite:///{tmp_path / command.name}.db"
        done = CliRunner().invoke(command, [str(file), "--database", url], env={"DATAMCP_USER": "olga"})
        assert done.exit_code == 0, done.output
        is_said = "Keys revoked and users disabled since that copy was made count again" in done.output
        assert is_said == (command is restore_command)
        event = asyncio.run(told_in(url))
        assert (event.actor, event.data["how"], event.data["file"]) == ("user:olga", command.name, file.name)
