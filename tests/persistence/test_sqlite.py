"""What can go wrong with a file: each failure gives one clear error and damages nothing."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.errors import Busy, Unavailable
from mcp_server.persistence.database import Database, make_backend
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.sqlite import file as sqlite
from mcp_server.persistence.sqlite import whole
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.sqlite.file import SqliteFile, uri_of
from mcp_server.persistence.sqlite.library import is_safe, load_library, require_safe_library
from mcp_server.upkeep.inspection import inspect_database
from tests.persistence.test_database import WITH_NOTES, note, noted

pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite_url(absent_sqlite_url: str) -> str:
    """A file that is made here as a server makes it."""
    return absent_sqlite_url


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def store(url: str, *names: str) -> list[str]:
    database = await Database.open(url, WITH_NOTES)
    try:
        for name in names:
            await database.write(note, name)
        return await noted(database)
    finally:
        await database.close()


def problems(url: str) -> list[str]:
    return [finding.name for finding in inspect_database(url) if not finding.ok]


async def test_a_full_disk_is_told_at_the_call_and_what_was_stored_stays(sqlite_url: str):
    await store(sqlite_url, "before")
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:

        def fill(tx) -> None:
            tx._connection.execute("PRAGMA max_page_count = 1", {})
            for number in range(500):
                note(tx, "x" * 200 + str(number))

        with pytest.raises(Unavailable, match=r"desk\.db cannot grow: the disk is full.*free space"):
            await database.write(fill)
        await database.write(lambda tx: tx._connection.execute("PRAGMA max_page_count = 1000000", {}) and None)
        await database.write(note, "after")
        assert await noted(database) == ["before", "after"]
    finally:
        await database.close()


async def test_one_failing_call_in_a_batch_does_not_take_the_others_with_it(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:

        def disk_error(tx) -> None:
            error = load_library().OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        outcomes = await asyncio.gather(
            *(database.write(note, f"n{n}") for n in range(5)),
            database.write(disk_error),
            *(database.write(note, f"n{n}") for n in range(5, 9)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[5], Unavailable)
        assert sorted(await noted(database)) == [f"n{n}" for n in range(9)]
    finally:
        await database.close()


async def test_a_file_locked_by_another_program_is_busy_and_works_again_later(sqlite_url: str, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.05)
    database = await Database.open(sqlite_url, WITH_NOTES)
    other = SqliteFile(path_of(sqlite_url)).connect()
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="is locked by another program.*Nothing was written"):
            await database.write(note, "refused")
        other.execute("ROLLBACK")
        await database.write(note, "fine")
        assert await noted(database) == ["fine"]
    finally:
        other.close()
        await database.close()


async def test_a_file_that_is_no_database_is_refused_at_start_and_left_as_it_is(sqlite_url: str):
    path_of(sqlite_url).write_text("my diary, which is precious\n" * 100)
    with pytest.raises(Unavailable, match="is not an SQLite database.*--database"):
        await Database.open(sqlite_url, WITH_NOTES)
    assert path_of(sqlite_url).read_text().startswith("my diary")
    assert "database_integrity" in problems(sqlite_url)


async def test_a_damaged_file_is_told_with_the_remedy(sqlite_url: str):
    await store(sqlite_url, *(f"n{n}" for n in range(400)))
    path = path_of(sqlite_url)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="is damaged.*backup"):
        await store(sqlite_url, "more")
    assert "database_integrity" in problems(sqlite_url)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be used"):
        await Database.open(f"sqlite:///{tmp_path}/file/desk.db", WITH_NOTES)


@pytest.mark.slow
async def test_a_file_that_this_user_may_not_write_is_told(sqlite_url: str, tmp_path: Path):
    await store(sqlite_url, "kept")
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user who may not write")
    path = path_of(sqlite_url)
    for parent in tmp_path.parents[: len(tmp_path.parents) - 2]:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    tmp_path.chmod(0o777)
    for one in tmp_path.glob("desk.db*"):  # as its user let others look at it
        one.chmod(0o666 if one.name.endswith(".lock") else 0o444)
    script = (
        "import os, asyncio, sys, concurrent.futures.thread\n"
        "from mcp_server.domain.areas import AREAS\n"
        "from mcp_server.persistence.database import Database\n"
        "from mcp_server.upkeep.inspection import inspect_database\n"
        "from mcp_server.persistence.sqlite import backend\n"
        "from mcp_server.persistence.migrate import migrations\n"
        "migrations('sqlite'), AREAS.sql  # the package may be unreadable for that user\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print([f.name for f in inspect_database(sys.argv[1]) if not f.ok])\n"
        "try: asyncio.run(Database.open(sys.argv[1], AREAS))\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, sqlite_url], capture_output=True, text=True, timeout=60)
    assert "['database_file']" in done.stdout, done.stderr
    assert "Unavailable" in done.stdout and "read-only" in done.stdout and "write permission" in done.stdout
    path.chmod(0o644)
    assert await store(sqlite_url) == ["kept"]


async def test_a_database_from_a_newer_version_is_refused_and_not_touched(sqlite_url: str):
    await store(sqlite_url, "kept")
    connection = SqliteFile(path_of(sqlite_url)).connect()
    connection.execute("INSERT INTO migrations (number, name, checksum) VALUES (99, 'future', 'x')")
    connection.close()
    with pytest.raises(Unavailable, match=r"has schema 99, but this version knows only up to \d+.*Upgrade"):
        await Database.open(sqlite_url, WITH_NOTES)
    assert problems(sqlite_url) == ["database_schema"]


async def test_a_migration_that_was_edited_is_refused(sqlite_url: str):
    await store(sqlite_url)
    connection = SqliteFile(path_of(sqlite_url)).connect()
    connection.execute("UPDATE migrations SET checksum = 'x'")
    connection.close()
    with pytest.raises(Unavailable, match="another edition of migration 1"):
        await Database.open(sqlite_url, WITH_NOTES)


async def test_an_existing_file_is_copied_before_it_is_migrated(sqlite_url: str, monkeypatch):
    from mcp_server.persistence import migrate

    await store(sqlite_url, "kept")
    real = migrate.migrations("sqlite")
    added = migrate.Migration(99, "more", "-- a comment\nCREATE TABLE more (id TEXT) STRICT;")
    monkeypatch.setattr(migrate, "migrations", lambda engine: [*real, added])
    assert await store(sqlite_url) == ["kept"]
    (copy,) = path_of(sqlite_url).parent.glob("desk.db.before-0099-*")
    rescued = copy.with_name("rescued.db")
    shutil.copy(copy, rescued)
    monkeypatch.undo()
    assert await store(f"sqlite:///{rescued}") == ["kept"]


async def test_a_migration_that_fails_changes_nothing(sqlite_url: str, monkeypatch):
    from mcp_server.persistence import migrate

    await store(sqlite_url, "kept")
    real = migrate.migrations("sqlite")
    broken = migrate.Migration(99, "broken", "CREATE TABLE more (id TEXT) STRICT;\nCREATE NONSENSE;")
    monkeypatch.setattr(migrate, "migrations", lambda engine: [*real, broken])
    with pytest.raises(load_library().OperationalError):
        await Database.open(sqlite_url, WITH_NOTES)
    monkeypatch.undo()
    assert await store(sqlite_url) == ["kept"]


async def test_an_open_that_fails_halfway_leaves_no_thread_behind(sqlite_url: str, monkeypatch):
    real = SqliteFile.connect
    opened: list[bool] = []

    def second_reader_fails(self, *, read_only: bool = False):
        opened.append(read_only)
        if opened.count(True) == 2:
            raise load_library().OperationalError("unable to open database file")
        return real(self, read_only=read_only)

    monkeypatch.setattr(SqliteFile, "connect", second_reader_fails)
    with pytest.raises(Exception, match="unable to open"):
        await Database.open(sqlite_url, WITH_NOTES)


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 7), True)]
    + [((3, 51, 2), False), ((3, 51, 3), True), ((3, 53, 4), True)],
)
def test_versions_of_sqlite_that_corrupt_shared_files_are_known(version, safe: bool):
    assert is_safe(version) is safe


def test_an_unsafe_sqlite_is_refused_with_the_remedy_unless_allowed(monkeypatch):
    monkeypatch.setattr("mcp_server.persistence.sqlite.library.library_version", lambda: (3, 40, 1))
    with pytest.raises(Unavailable, match="pip install pysqlite3"):
        require_safe_library(allow_unsafe=False)
    with pytest.raises(Unavailable, match=r"3\.40\.1 is too old"):
        require_safe_library(allow_unsafe=True)
    monkeypatch.setattr("mcp_server.persistence.sqlite.library.library_version", lambda: (3, 43, 0))
    require_safe_library(allow_unsafe=True)
    monkeypatch.setattr("mcp_server.upkeep.inspection.library_version", lambda: (3, 40, 1))
    assert "sqlite_library" in problems("sqlite:////nowhere/desk.db")


def test_looking_at_a_database_creates_nothing(tmp_path: Path):
    assert [f.ok for f in inspect_database(f"sqlite:///{tmp_path}/sub/desk.db")] == [True, True, True]
    assert list(tmp_path.iterdir()) == []
    assert [f.ok for f in inspect_database("nonsense")] == [False]


def test_a_file_without_tables_is_described_as_empty_and_another_programs_as_such(sqlite_url: str):
    connection = SqliteFile(path_of(sqlite_url)).connect()
    numbers = [migration.number for migration in migrations("sqlite")]
    (empty,) = [f for f in inspect_database(sqlite_url) if f.name == "database_schema"]
    assert empty.ok and f"migrations {numbers} are applied" in empty.detail
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    (schema,) = [f for f in inspect_database(sqlite_url) if f.name == "database_schema"]
    assert not schema.ok and "is another program's: it holds 't'" in schema.detail


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
async def test_nothing_is_acknowledged_once_the_files_are_removed_or_replaced(
    sqlite_url: str, suffix: str, replaced: bool
):
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:
        assert await database.write(note, "a") == "a"
        path = Path(str(path_of(sqlite_url)) + suffix)
        path.rename(path.with_name("gone"))
        if replaced:
            shutil.copy(path.with_name("gone"), path)
        for _ in range(2):
            with pytest.raises(Unavailable, match="removed or replaced"):
                await database.write(note, "b")
            with pytest.raises(Unavailable, match="removed or replaced"):
                await noted(database)
        path.unlink(missing_ok=True)
        path.with_name("gone").rename(path)
        assert await database.write(note, "c") == "c"
        assert await noted(database) == ["a", "c"]
    finally:
        await database.close()


def elsewhere(path: Path, *statements: str) -> None:
    """What another program does with the file: closing it in this process would give away the locks on it."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)"
    code += "; [c.execute(one).fetchall() for one in sys.argv[2:]]"
    subprocess.run([sys.executable, "-c", code, str(path), *statements], check=True, env=dict(os.environ))


DOCTOR = [
    sys.executable,
    "-c",
    "import sys; from mcp_server.upkeep.inspection import inspect_database; print(inspect_database(sys.argv[1]))",
]


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x" * 3000)


@pytest.mark.parametrize(
    ("suffix", "damage", "in_the_midst"),
    [
        *[("", how, when) for how in (emptied, cut) for when in (False, True)],
        *[("-wal", how, when) for how in (emptied, overwritten) for when in (False, True)],
        ("-wal", cut, False),
    ],
)
async def test_nothing_is_acknowledged_once_a_file_is_cut_off_or_its_log_overwritten_in_place(
    sqlite_url: str, suffix: str, damage: Any, in_the_midst: bool
):
    path = Path(f"{path_of(sqlite_url)}{suffix}")
    database = await Database.open(sqlite_url, WITH_NOTES)

    def damaging(tx: Any, name: str) -> str:
        if in_the_midst:
            damage(path)
        return note(tx, name)

    try:
        for number in range(3):
            await database.write(note, f"a{number}")
        if not suffix:
            elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            await database.write(note, "b")
        if not in_the_midst:
            damage(path)
        for _ in range(2):
            with pytest.raises(Unavailable, match="cut off or overwritten|is damaged"):
                await database.write(damaging, "c")
        assert re.search("cut off or overwritten|is damaged", await database.amiss() or "")
        told = subprocess.run([*DOCTOR, sqlite_url], capture_output=True, text=True, timeout=60, check=True).stdout
        assert "cut off or overwritten by another program" in told
    finally:
        with contextlib.suppress(Unavailable):
            await database.close()


async def copied(database: Database, path: Path, name: str) -> Path:
    """A copy as a person makes it, of everything that is acknowledged so far."""
    elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert (await database.write(note, name), await database.amiss()) == (name, None)
    copy = path.with_name("copy.db")
    subprocess.run(["cp", str(path), str(copy)], check=True)
    return copy


@pytest.mark.skipif(sys.platform == "win32", reason="where it shows no descriptors, nothing is said")
@pytest.mark.parametrize("when", ["between", "in the midst", "after a fold", "touched"])
async def test_another_database_of_the_same_size_copied_over_the_file_is_noticed(
    sqlite_url: str, when: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(whole, "FOLDS_WITHIN_SECONDS", 0.1)
    path, database = path_of(sqlite_url), await Database.open(sqlite_url, WITH_NOTES)

    def over() -> None:
        subprocess.run(["cp", str(copy), str(path)], check=True)

    def overwriting(tx: Any, name: str) -> str:
        over()
        return note(tx, name)

    try:
        await database.write(note, "a")
        copy = await copied(database, path, "b")
        await database.write(note, "x" * 300_000)
        elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        await database.write(note, "y")
        os.truncate(copy, path.stat().st_size)
        if when == "touched":
            os.utime(path)
            assert await database.amiss() is None
            assert await database.write(note, "c") == "c"
            return
        if when == "after a fold":
            elsewhere(path, "PRAGMA wal_checkpoint(PASSIVE)")
            assert await database.amiss() is None
        if when == "in the midst":
            with pytest.raises(Unavailable, match="cut off or overwritten"):
                await database.write(overwriting, "c")
        else:
            over()
        for _ in range(2):
            assert "cut off or overwritten" in (await database.amiss() or "")
            with pytest.raises(Unavailable, match="cut off or overwritten"):
                await database.write(note, "c")
    finally:
        await database.close()


async def test_logs_that_sqlite_folds_in_and_files_that_it_makes_shorter_are_whole(sqlite_url: str):
    database, path = await Database.open(sqlite_url, WITH_NOTES), path_of(sqlite_url)
    folds = [f"PRAGMA wal_checkpoint({how})" for how in ("PASSIVE", "RESTART", "TRUNCATE")]
    try:
        for number, said in enumerate([*[[fold] for fold in folds], ["DELETE FROM events", "VACUUM", folds[-1]]]):
            for size in (1, 300_000):
                await database.write(note, f"{number}" + "x" * size)
            before = path.stat().st_size
            elsewhere(path, *said)
            assert await database.amiss() is None
            await database.write(note, "after")
        assert path.stat().st_size < before
        assert await noted(database) == ["after"]
    finally:
        await database.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("linked", [False, True], ids=["its own path", "a link"])
async def test_what_is_removed_from_a_folder_that_was_long_quiet_is_noticed_at_once(
    tmp_path: Path, suffix: str, linked: bool
):
    file = tmp_path / "desk.db"
    if linked:
        (tmp_path / "elsewhere").mkdir()
        file.symlink_to(tmp_path / "elsewhere" / "desk.db")
    database = await Database.open(f"sqlite:///{file}", WITH_NOTES)
    try:
        await database.write(note, "a")
        for folder in {file.parent, file.resolve().parent}:
            os.utime(folder, (0, 0))
        assert await noted(database) == ["a"]  # from here on the folder is known to be quiet
        Path(f"{file.resolve()}{suffix}").rename(f"{file.resolve()}{suffix}.gone")
        if not linked or not suffix:  # beside a link lies nothing
            with pytest.raises(Unavailable, match="removed or replaced"):
                await noted(database)
            with pytest.raises(Unavailable, match="removed or replaced"):
                await database.write(note, "b")
    finally:
        await database.close()


async def test_the_files_are_not_looked_at_one_by_one_where_nothing_came_or_went_in_their_folder(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    database = await Database.open(sqlite_url, WITH_NOTES)
    looked: list[Path] = []
    identity = sqlite._identity

    def counted(path: Path) -> tuple[int, int] | None:
        looked.append(path)
        return identity(path)

    monkeypatch.setattr(sqlite, "_identity", counted)
    try:
        await database.write(note, "a")
        seen = []
        for changed_at in (time.time(), 0, None):
            if changed_at is not None:
                os.utime(path_of(sqlite_url).parent, (changed_at, changed_at))
            looked.clear()
            await noted(database)
            seen.append(len(looked))
        assert seen[0] and seen[1] and not seen[2]
        looked.clear()
        await database.write(note, "b")
        assert not looked
    finally:
        await database.close()


async def test_what_is_removed_while_it_is_written_is_not_acknowledged(sqlite_url: str):
    def remove(tx: Any, name: str) -> None:
        note(tx, name)
        path_of(sqlite_url).unlink()

    database = await Database.open(sqlite_url, WITH_NOTES)
    try:
        await database.write(note, "a")
        with pytest.raises(Unavailable, match="removed or replaced"):
            await database.write(remove, "b")
    finally:
        await database.close()


async def test_a_row_is_read_by_its_key_at_once_and_whatever_hinders_that_leaves_it_to_a_reader(tmp_path: Path):
    database = await Database.open(f"sqlite:///{tmp_path / 'x.db'}", AREAS)
    backend = cast("SqliteBackend", database.backend)
    try:
        asked = ("SELECT 1 AS one WHERE :id = :id", {"id": "x"})
        assert [row["one"] for row in backend.read_now(*asked) or []] == [1]
        assert backend.read_now("SELECT * FROM no_such_table", {}) is None
        assert backend._near is not None
        backend._near.close()
        assert backend.read_now(*asked) is None
        assert await database.fetch_one("task_by_id", id="task_none") is None
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PureWindowsPath("C:/Users/me/a b.db"), "file:///C:/Users/me/a%20b.db"),
        (PureWindowsPath("//server/share/x.db"), "file:////server/share/x.db"),
        (PurePosixPath("/var/x#1.db"), "file:///var/x%231.db"),
    ],
)
def test_an_uri_names_no_host_also_of_a_share_of_windows(path: PurePath, uri: str):
    assert uri_of(path) == uri


def test_where_sqlite_keeps_no_write_ahead_log_the_database_is_refused(tmp_path: Path, monkeypatch):
    """As on a file system without shared memory: SQLite answers with the mode that it stays in."""
    without_shared_memory = f"file:{tmp_path}/x.db?vfs=unix-dotfile&rest="
    monkeypatch.setattr("mcp_server.persistence.sqlite.file.uri_of", lambda path: without_shared_memory)
    with pytest.raises(Unavailable, match="keeps its log there as 'delete'.*local disk"):
        SqliteFile(tmp_path / "x.db").connect_writer()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_that_keeps_no_locks_is_told_as_such(tmp_path: Path, monkeypatch, number: int):
    url = f"sqlite:///{tmp_path}/desk.db"
    make_backend(url, AREAS).prepare()

    def refuses(self, seconds):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("mcp_server.persistence.sqlite.turnstile.Line.wait", refuses)
    with pytest.raises(Unavailable, match="keeps no locks.*local disk"):
        make_backend(url, AREAS).prepare()
    told = {finding.name: finding for finding in inspect_database(url)}
    assert not told["writing"].ok and "local disk" in (told["writing"].remedy or "")
