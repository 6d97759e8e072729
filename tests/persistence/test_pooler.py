"""Behind PgBouncer: a pool that keeps sessions whole is used, and one that does not is refused and left as it was."""

import asyncio
import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from mcp_server.hooks.reading import Unreadable, open_desk
from mcp_server.hooks.settings import Settings as HookSettings
from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.upkeep.inspection import inspect_database
from tests.persistence.test_database import WITH_NOTES, note
from tests.ports import free_port
from tests.world import open_world

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"),
]


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Until it answers."""
    while process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=20):
            return
    raise AssertionError(f"PgBouncer ended with {process.returncode}")


@pytest.fixture
def pooled(postgres_url: str, tmp_path: Path) -> Generator[dict[str, str]]:
    """The address of a database through PgBouncer, by how it pools."""
    assert PROGRAM is not None
    info = psycopg.conninfo.conninfo_to_dict(postgres_url)
    there, port = f"host={info['host']} dbname={info['dbname']} user=postgres", free_port()
    modes = ("session", "transaction")
    databases = "".join(f"{mode} = {there} pool_mode={mode}\n" for mode in modes)
    settings = f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
    file = tmp_path / "pgbouncer.ini"
    file.write_text(f"[databases]\n{databases}[pgbouncer]\n{settings}")
    # It refuses to go on as root, and the server's socket is its owner's.
    owner = ["-u", Path(str(info["host"])).owner()] if getpass.getuser() == "root" else []
    process = subprocess.Popen([PROGRAM, "-q", *owner, file], env=dict(os.environ), stderr=subprocess.DEVNULL)
    for mode in modes:
        wait_for(f"postgresql://postgres@127.0.0.1:{port}/{mode}", process)
    try:
        yield {mode: f"postgresql://postgres@127.0.0.1:{port}/{mode}" for mode in modes}
    finally:
        process.kill()
        process.wait()


async def test_a_pool_that_keeps_sessions_whole_is_used_like_the_server(pooled: dict[str, str], postgres_url: str):
    url = pooled["session"]
    async with open_world(url) as world:
        agent = await world.agent()
        await world.task()
        claimed = await world.claim_one(agent)
        await world.finish(claimed)
        assert await world.status(claimed.task) == "completed"
    one, other = await Database.open(url, WITH_NOTES), await Database.open(postgres_url, WITH_NOTES)
    try:
        async with one.feed.listen("note") as listener, asyncio.timeout(60):
            await other.write(note, "from afar")
            assert [event["aggregate_id"] for event in await listener.wait(60)] == ["from afar"]
    finally:
        await one.close()
        await other.close()
    found = {finding.name: finding for finding in inspect_database(url)}
    assert "PgBouncer" in found["database_connection"].detail and all(finding.ok for finding in found.values())


async def test_a_pool_that_swaps_sessions_is_refused_with_the_remedy_and_keeps_nothing(pooled: dict[str, str]):
    url = pooled["transaction"]
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(4)]
        for stranger in strangers:
            stranger.execute("BEGIN; SELECT 1")  # as many sessions as the server will be given
        for stranger in strangers:
            stranger.execute("COMMIT")
        with pytest.raises(Unavailable, match=r"gives each transaction another session.*pool_mode = session"):
            await Database.open(url, WITH_NOTES)
        with pytest.raises(Unreadable, match="pooler"):
            open_desk(HookSettings({"database": url}))
        (finding,) = inspect_database(url)
        assert not finding.ok and finding.remedy is not None and "pool_mode = session" in finding.remedy
        for stranger in strangers:
            stranger.execute("BEGIN")
        left = [stranger.execute("SHOW search_path").fetchone() for stranger in strangers]
        assert left == [("datamcp, public",)] * 4


def test_a_pool_that_begins_to_swap_sessions_later_is_refused_by_the_next_write(postgres_url: str):
    backend = PostgresBackend(postgres_url, WITH_NOTES)
    backend.prepare()
    session = backend.open_session()
    try:
        session.begin()
        session.rollback()
        assert session._session is not None
        session._session += 1  # which was another one then
        session._schema_seen_at = 0
        with pytest.raises(Unavailable, match="another session"):
            session.begin()
    finally:
        session.close()
