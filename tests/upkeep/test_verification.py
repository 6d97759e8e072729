"""`doctor` reports a flipped byte wherever it matters, and says what can be saved."""

import random
from pathlib import Path

import pytest

from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.upkeep.inspection import inspect_database, replay_database
from tests.upkeep.test_upkeep import exported, facts, file_of
from tests.world import open_world

pytestmark = pytest.mark.anyio


async def a_database_at_rest(url: str) -> bytes:
    """A file without a log beside it, and its bytes."""
    async with open_world(url) as world:
        await world.agent("worker", skills=("python",))
        await world.tasks(*[{"title": f"task {n}", "description": "d" * 300} for n in range(40)])
        for version in range(30):
            value = {f"k{n}": "v" * 40 for n in range(60)} | {"version": version}
            await world.write("n", "large", value, note="n")
    connection = SqliteFile(file_of(url)).connect()
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return file_of(url).read_bytes()


def problems(url: str) -> list[str]:
    return [finding.name for finding in (*inspect_database(url), replay_database(url)) if not finding.ok]


async def test_a_whole_database_is_found_whole(url: str):
    async with open_world(url) as world:
        await world.tasks({}, {"depends_on": ["#0"]})
        await world.write("n", "k", "v" * 2000)
        await world.write("n", "k", "w" * 2000)
    assert problems(url) == []
    assert {"documents", "replay"} <= {finding.name for finding in (*inspect_database(url), replay_database(url))}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_a_flipped_byte_is_reported_or_changes_nothing_that_can_be_read(
    sqlite_url: str, tmp_path: Path, seed: int
):
    whole = await a_database_at_rest(sqlite_url)
    original = facts(await exported(sqlite_url))
    chance, copy = random.Random(seed), tmp_path / "flipped.db"
    reported = 0
    for _ in range(25):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        copy.write_bytes(flipped)
        found = problems(f"sqlite:///{copy}")
        reported += bool(found)
        # Times and authors of events have no second copy to compare with.
        if not found:
            told = facts(await exported(f"sqlite:///{copy}"))
            changed = [one for one, other in zip(original, told, strict=True) if one != other]
            assert all('"table": "events"' in row or '"note": "n"' in row for row in changed), changed
    assert reported


async def test_what_can_still_be_read_of_a_damaged_file_is_counted(sqlite_url: str):
    whole = bytearray(await a_database_at_rest(sqlite_url))
    place = whole.rindex(b"task 20") // 4096 * 4096
    whole[place : place + 16] = b"\xff" * 16
    file_of(sqlite_url).write_bytes(whole)
    (finding,) = [f for f in inspect_database(sqlite_url) if f.name == "database_integrity"]
    assert not finding.ok
    assert "1 agents" in finding.detail and "30 document_versions" in finding.detail
    assert "Tables with losses: tasks" in finding.detail or "Tables with losses: events" in finding.detail
    assert finding.remedy is not None and "restore" in finding.remedy
