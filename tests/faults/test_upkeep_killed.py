"""kill -9 in the middle of a backup, a restore, an import and a migration: the database is usable afterwards, old or
new, never in between."""

import itertools
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.persistence.database import Database
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.upkeep.backup import back_up
from mcp_server.upkeep.copies import inspect

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROUNDS = 5


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "mcp_server", *words]


class Deaths:
    """Commands that are killed at some moment of the time that one takes when it is left alone. A machine that was busy
    when that was measured may since be faster: a command that came to its end tells how long one takes now."""

    def __init__(self, seed: int, whole_seconds: float) -> None:
        self._chance, self._whole_seconds = random.Random(seed), whole_seconds
        self.count = 0

    def rounds(self) -> Iterator[int]:
        """As many as are wanted, and more until one was killed."""
        for number in itertools.count():
            if number >= ROUNDS and self.count:
                return
            yield number

    def is_killed(self, words: list[str], least: float) -> bool:
        """Run a command; whether it was still running when at least such a part of its time was over."""
        started = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=self._chance.uniform(least, 1.0) * self._whole_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.count += 1
            return True
        self._whole_seconds = time.monotonic() - started
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

    database = await Database.open(f"sqlite:///{path}", AREAS)
    try:
        desk = desk_on(database)
        command = CreateTasks(tasks=(TaskSpec(title="t", description="d" * 400),) * 100)
        for _ in range(tasks // 100):
            await desk.tasks.create(SYSTEM_CALL, command)
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
    deaths = Deaths(1, duration(words))
    target.unlink()
    for _ in deaths.rounds():
        deaths.is_killed(words, 0.3)
        if target.exists():
            assert inspect(target).rows["tasks"] == 10_000
        assert tasks_in(source) == 10_000


async def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(tmp_path: Path):
    database, copy = tmp_path / "desk.db", tmp_path / "copy.db"
    await filled(database, 5_000)
    back_up(database, copy, force=False)
    await filled(database, 5_000)
    words = command("restore", str(copy), "--force", "--database", f"sqlite:///{database}")
    later = tmp_path / "later.db"
    back_up(database, later, force=False)
    deaths = Deaths(2, duration(words))
    for _ in deaths.rounds():
        subprocess.run(command("restore", str(later), "--force", "--database", f"sqlite:///{database}"), check=True)
        deaths.is_killed(words, 0.5)
        assert inspect(database).rows["tasks"] in (5_000, 10_000)
    assert duration(command("doctor", "--database", f"sqlite:///{database}"))


async def test_an_import_that_is_killed_keeps_nothing_and_can_be_repeated(tmp_path: Path):
    source, export = tmp_path / "desk.db", tmp_path / "desk.jsonl"
    await filled(source, 10_000)
    subprocess.run(command("export", str(export), "--database", f"sqlite:///{source}"), check=True)
    deaths = Deaths(3, duration(command("import", str(export), "--database", f"sqlite:///{tmp_path / 'warm.db'}")))
    for number in deaths.rounds():
        target = tmp_path / f"target-{number}.db"
        words = command("import", str(export), "--database", f"sqlite:///{target}")
        if deaths.is_killed(words, 0.4) and (not target.exists() or tasks_in_if_any(target) == 0):
            subprocess.run(words, check=True, capture_output=True)
        assert tasks_in(target) == 10_000
        assert inspect(target).rows["events"] == 10_001  # and that it was imported


def tasks_in_if_any(path: Path) -> int:
    """Rows of a database that may not even have its schema yet."""
    with closing(SqliteFile(path).connect(read_only=True)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tasks'").fetchone()
        return 0 if found is None else connection.execute("SELECT count(*) FROM tasks").fetchone()[0]


async def test_a_migration_that_is_killed_is_done_or_not_done_and_the_next_start_finishes_it(tmp_path: Path):
    old = tmp_path / "old.db"
    rows = of_the_first_schema(old, 20_000)
    words = command("approvals", "list", "--database", f"sqlite:///{tmp_path / 'desk.db'}")
    shutil.copyfile(old, tmp_path / "desk.db")
    deaths = Deaths(4, duration(words))
    for number in deaths.rounds():
        database = tmp_path / f"desk-{number}.db"
        shutil.copyfile(old, database)
        deaths.is_killed([*words[:-1], f"sqlite:///{database}"], 0.4)
        assert tasks_in(database) == rows
        subprocess.run([*words[:-1], f"sqlite:///{database}"], check=True, capture_output=True)
        assert inspect(database).rows["tasks"] == rows


def of_the_first_schema(path: Path, tasks: int) -> int:
    """A database as the first version left it, with many tasks; how many."""
    first = migrations("sqlite")[0]
    with closing(SqliteFile(path).connect_writer()) as connection:
        columns = "number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL"
        connection.execute(f"CREATE TABLE migrations ({columns})")
        for statement in first.statements():
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (first.number, first.name, first.checksum))
        needed = [row[1] for row in connection.execute("PRAGMA table_info(tasks)") if row[3] and row[1] != "id"]
        kinds = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(tasks)")}
        values = ", ".join("'[]'" if kinds[name] == "TEXT" else "1" for name in needed)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :tasks)"
        insert = f"INSERT INTO tasks (id, {', '.join(needed)}) {numbers} SELECT 'task_' || i, {values} FROM n"
        connection.execute(insert, {"tasks": tasks})
        connection.execute("PRAGMA journal_mode = DELETE")
    return tasks


WRITER = """
import asyncio, sys
from mcp_server.app import desk_on
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.persistence.database import Database

async def main():
    desk = desk_on(await Database.open(sys.argv[1], AREAS))
    command = CreateTasks(tasks=(TaskSpec(title="t"),) * 5)
    print("ready", flush=True)
    while True:
        await asyncio.gather(*(desk.tasks.create(SYSTEM_CALL, command) for _ in range(8)))

asyncio.run(main())
"""


def test_backups_made_while_two_processes_write_are_each_of_one_moment(tmp_path: Path):
    source = tmp_path / "desk.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"sqlite:///{source}"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        seen = [0]
        while len(seen) < 6:
            copied = back_up(source, tmp_path / "copy.db", force=True)
            assert copied.rows["tasks"] == copied.rows["events"]  # each was created by one event, and nothing else
            seen += [copied.rows["tasks"]] if copied.rows["tasks"] > seen[-1] else []
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
