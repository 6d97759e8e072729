"""kill -9 in the middle of a backup, a restore and an import: the database is usable afterwards, old or new, never in
between."""

import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from mcp_server.domain.task_spec import TaskSpec
from mcp_server.persistence.backup import back_up, inspect
from mcp_server.persistence.database import Database
from mcp_server.persistence.sqlite import SqliteFile
from mcp_server.services.context import SYSTEM_CALL

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROUNDS = 8


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "mcp_server", *words]


def killed_after(seconds: float, words: list[str]) -> bool:
    """Run a command and kill it after a while; whether it was still running then."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0
    return False


def duration(words: list[str]) -> float:
    """How long a command takes when it is left alone."""
    started = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return time.monotonic() - started


async def filled(path: Path, tasks: int) -> int:
    """A database with many tasks; how many rows it has."""
    from mcp_server.app import desk_on

    database = await Database.open(f"sqlite:///{path}")
    try:
        desk = desk_on(database)
        for _ in range(tasks // 100):
            await desk.tasks.create(SYSTEM_CALL, [TaskSpec(title="t", description="d" * 400)] * 100)
    finally:
        await database.close()
    return tasks


def tasks_in(path: Path) -> int:
    with closing(SqliteFile(path).connect(read_only=True)) as connection:
        return connection.execute("SELECT count(*) FROM tasks").fetchone()[0]


async def test_a_backup_that_is_killed_leaves_no_file_that_could_be_taken_for_one(tmp_path: Path):
    source, target = tmp_path / "desk.db", tmp_path / "copy.db"
    await filled(source, 10_000)
    words = command("backup", str(target), "--force", "--database", f"sqlite:///{source}")
    whole = duration(words)
    target.unlink()
    chance, killed = random.Random(1), 0
    for _ in range(ROUNDS):
        killed += killed_after(chance.uniform(0.3, 1.0) * whole, words)
        if target.exists():
            assert inspect(target).rows["tasks"] == 10_000
        assert tasks_in(source) == 10_000
    assert killed


async def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(tmp_path: Path):
    database, copy = tmp_path / "desk.db", tmp_path / "copy.db"
    await filled(database, 5_000)
    back_up(database, copy, force=False)
    await filled(database, 5_000)
    words = command("restore", str(copy), "--force", "--database", f"sqlite:///{database}")
    later = tmp_path / "later.db"
    back_up(database, later, force=False)
    whole = duration(words)
    chance, killed = random.Random(2), 0
    for _ in range(ROUNDS):
        subprocess.run(command("restore", str(later), "--force", "--database", f"sqlite:///{database}"), check=True)
        killed += killed_after(chance.uniform(0.5, 1.0) * whole, words)
        assert inspect(database).rows["tasks"] in (5_000, 10_000)
    assert killed
    assert duration(command("doctor", "--database", f"sqlite:///{database}"))


async def test_an_import_that_is_killed_keeps_nothing_and_can_be_repeated(tmp_path: Path):
    source, export = tmp_path / "desk.db", tmp_path / "desk.jsonl"
    await filled(source, 10_000)
    subprocess.run(command("export", str(export), "--database", f"sqlite:///{source}"), check=True)
    whole = duration(command("import", str(export), "--database", f"sqlite:///{tmp_path / 'warm.db'}"))
    chance, killed = random.Random(3), 0
    for number in range(ROUNDS):
        target = tmp_path / f"target-{number}.db"
        words = command("import", str(export), "--database", f"sqlite:///{target}")
        killed_now = killed_after(chance.uniform(0.4, 1.0) * whole, words)
        killed += killed_now
        if killed_now and (not target.exists() or tasks_in_if_any(target) == 0):
            subprocess.run(words, check=True, capture_output=True)
        assert tasks_in(target) == 10_000
        assert inspect(target).rows["events"] == 10_000
    assert killed


def tasks_in_if_any(path: Path) -> int:
    """Rows of a database that may not even have its schema yet."""
    with closing(SqliteFile(path).connect(read_only=True)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tasks'").fetchone()
        return 0 if found is None else connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
