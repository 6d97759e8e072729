"""Disks that are full or that cannot be written: who is to blame is named, and what can still be done is done."""

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters

from mcp_server.app import open_desk
from mcp_server.config import load_settings
from mcp_server.domain.areas import AREAS
from mcp_server.domain.state.commands import GetDocument
from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.database import Database
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.sqlite.library import load_library
from mcp_server.upkeep import disk
from mcp_server.upkeep.backup import back_up, restore
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.inspection import inspect_database
from tests.processes import server
from tests.protocol.test_http import http_server
from tests.world import caller, open_world

pytestmark = pytest.mark.anyio


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def found(url: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in inspect_database(url)}


@pytest.fixture
async def filled(sqlite_url: str) -> str:
    """A database with a document, used by nobody."""
    async with open_world(sqlite_url) as world:
        await world.write("n", "k", 1)
    return sqlite_url


@pytest.fixture
def cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this user may read, it may not write: the tests may run as root, whom no permission hinders."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and real(path, mode))


def a_full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_doctor_tries_whether_the_disk_takes_anything(filled: str, monkeypatch: pytest.MonkeyPatch):
    assert found(filled)["disk"].ok
    beside = [path.name for path in path_of(filled).parent.iterdir() if not path.name.startswith("desk.db")]
    assert beside == [], "nothing is left of the trial"
    monkeypatch.setattr(disk.os, "fsync", a_full_disk)
    full = found(filled)["disk"]
    assert not full.ok and "takes nothing more: No space left on device" in full.detail and full.remedy


async def test_doctor_says_when_little_room_is_left(filled: str, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5, 5))
    nearly = found(filled)["disk"]
    assert not nearly.ok and "5 bytes are left" in nearly.detail


async def test_a_database_that_cannot_be_opened_on_a_full_disk_is_not_called_damaged(filled: str, monkeypatch):
    def no_room(*_: Any, **__: Any) -> Any:
        raise load_library().OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteFile, "connect", no_room)
    monkeypatch.setattr(disk.os, "fsync", a_full_disk)
    whole = found(filled)["database_integrity"]
    assert not whole.ok and "No space left" in whole.detail and "says nothing of damage" in (whole.remedy or "")


def test_a_failure_of_the_disk_is_called_a_full_disk_only_where_there_is_no_room(tmp_path: Path, monkeypatch):
    error = load_library().OperationalError("disk I/O error")
    error.sqlite_errorcode = 10
    file = SqliteFile(tmp_path / "desk.db")
    assert "the disk reports an error" in file.explain(error).message
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    assert "the disk is full" in file.explain(error).message


async def test_a_full_backup_disk_is_blamed_itself(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.upkeep.backup._make_durable", a_full_disk)
    with pytest.raises(Unavailable, match=r"copy\.db cannot be written: No space left.*Nothing is wrong with the data"):
        back_up(path_of(filled), tmp_path / "copy.db", force=False)
    monkeypatch.undo()
    with pytest.raises(Unavailable, match=r"copy\.db cannot be written: No such file"):
        back_up(path_of(filled), tmp_path / "nowhere" / "copy.db", force=False)


def test_a_database_that_cannot_be_read_is_not_blamed_on_the_backup_disk(tmp_path: Path):
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(Unavailable, match=r"damaged\.db") as refused:
        back_up(tmp_path / "damaged.db", tmp_path / "copy.db", force=False)
    assert "cannot be written" not in refused.value.message


async def test_a_disk_too_full_to_restore_to_is_called_full(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copied = back_up(path_of(filled), tmp_path / "copy.db", force=False)
    monkeypatch.setattr("mcp_server.upkeep.backup._make_durable", a_full_disk)
    with pytest.raises(Unavailable, match=r"new\.db cannot grow: the disk is full"):
        restore(copied.path, tmp_path / "new.db", force=False)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.usefixtures("cannot_be_written")
async def test_read_only_serves_what_cannot_be_written_and_does_nothing_beside(filled: str):
    before = {path: path.read_bytes() for path in path_of(filled).parent.iterdir()}
    async with open_desk(load_settings(database=filled, read_only=True)) as desk:
        assert desk.is_read_only
        document = await desk.state.get(caller(), GetDocument(namespace="n", key="k"))
        assert document.version == 1
    assert {path: path.read_bytes() for path in path_of(filled).parent.iterdir()} == before
    said = found(filled)
    assert not said["database_file"].ok and "--read-only" in (said["database_file"].remedy or "")
    assert said["database_integrity"].ok and said["documents"].ok, "it is looked at all the same"


@pytest.mark.usefixtures("cannot_be_written")
async def test_who_reads_an_unwritable_file_notices_that_somebody_else_begins_to_write_it(filled: str):
    database = await Database.open(filled, AREAS, may_only_read=True)
    try:
        await database.fetch_one("events_end")
        path_of(filled).with_name("desk.db-wal").touch()
        with pytest.raises(Unavailable, match="start the server anew"):
            await database.fetch_one("events_end")
    finally:
        await database.close()


@pytest.mark.usefixtures("cannot_be_written")
async def test_changes_that_stand_in_a_log_which_cannot_be_read_are_not_passed_over(filled: str):
    path_of(filled).with_name("desk.db-wal").write_bytes(b"changes")
    with pytest.raises(Unavailable, match=r"has changes in desk\.db-wal"):
        await Database.open(filled, AREAS, may_only_read=True)
    assert not found(filled)["database_integrity"].ok


@pytest.mark.usefixtures("cannot_be_written")
async def test_a_schema_that_cannot_be_upgraded_is_refused_with_both_versions(filled: str):
    connection = SqliteFile(path_of(filled)).connect()
    before, newest = (migration.number for migration in migrations("sqlite")[-2:])
    connection.execute("DELETE FROM migrations WHERE number = ?", (newest,))
    connection.close()
    with pytest.raises(Unavailable, match=f"has schema {before}, this version's is {newest}, and it cannot"):
        await Database.open(filled, AREAS, may_only_read=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A real file system of three megabytes, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = sys.platform == "linux" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
async def unwritable(small_disk: Path) -> AsyncGenerator[str]:
    """A database with a document on a real file system that is mounted read-only."""
    url = f"sqlite:///{small_disk / 'desk.db'}"
    async with open_world(url) as world:
        await world.write("n", "k", 1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    yield url
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


async def is_served(client: Client) -> None:
    assert (await client.call_tool("state_get", {"namespace": "n", "key": "k"})).structured_content["document"][
        "version"
    ] == 1
    assert (await client.call_tool("events_read", {"wait_seconds": 0.2})).structured_content["events"]
    (health,) = (await client.read_resource("ops://health")).contents
    assert json.loads(health.text)["storage"].startswith("read-only")


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_web_server_serves_a_read_only_file_system(unwritable: str, transport: str):
    async with http_server(unwritable, "--read-only", transport=transport) as (base, process):
        async with Client(f"{base}/mcp" if transport == "http" else sse_client(f"{base}/sse")) as client:
            await is_served(client)
        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.process.wait(), 60) == 0


@pytest.mark.slow
async def test_stdio_serves_a_read_only_file_system(unwritable: str):
    arguments = ["-m", "mcp_server", "--database", unwritable, "--read-only"]
    async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
        await is_served(client)
    assert "read-only file system" in found(unwritable)["database_file"].detail
    with pytest.raises(Unavailable, match="is read-only"):
        await Database.open(unwritable, AREAS)


@pytest.mark.slow
async def test_what_a_full_disk_does_not_take_is_refused_and_what_it_took_is_kept(small_disk: Path):
    url = f"sqlite:///{small_disk / 'desk.db'}"
    kept: list[str] = []
    async with server(url) as client:
        for number in range(1000):
            written = await client.call("state_set", namespace="n", key=f"k{number}", value="x" * 30_000)
            if "error" in written:
                break
            kept.append(f"k{number}")
        assert "the disk is full" in written["error"]["message"] and written["error"]["code"] == "unavailable"
        assert (await client.call("state_get", namespace="n", key="k0"))["document"]["version"] == 1, (
            "it is read all the same"
        )
    async with server(url, "--read-only") as client:
        for key in kept:
            assert (await client.call("state_get", namespace="n", key=key))["document"]["version"] == 1
        missing = await client.call("state_get", namespace="n", key=f"k{len(kept)}")
        assert missing["error"]["code"] == "not_found", "what was refused was not written"


@pytest.mark.slow
async def test_a_real_full_disk_is_told_by_doctor_and_at_the_start(small_disk: Path):
    url = f"sqlite:///{small_disk / 'desk.db'}"
    async with open_world(url) as world:
        await world.write("n", "k", 1)
    with (small_disk / "fill").open("wb", buffering=0) as fill, pytest.raises(OSError, match="No space"):
        while True:
            fill.write(bytes(4096))
    said = found(url)
    assert not said["disk"].ok and "damage" not in said["database_integrity"].detail
    with pytest.raises(Unavailable, match="the disk is full"):
        await Database.open(url, AREAS)
