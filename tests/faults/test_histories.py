"""What clients of several servers were told at the same time, while servers are killed and frozen: some order in time
explains it all, on both engines."""

from pathlib import Path

import pytest

from tests.faults.chaos.fleet import Fleet, seed
from tests.faults.histories.parts import Documents, Leases, Locks
from tests.faults.test_everything_at_once import live
from tests.postgres_servers import PostgresProcess, Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
HISTORY_SECONDS = 15
SERVERS = 3


async def require_right_histories(url: str) -> None:
    """Let clients work under faults, and look at what they were told."""
    fleet = Fleet(url, seed(), {}, SERVERS)
    async with fleet.running():
        parts = [Documents(fleet), Locks(fleet), Leases(fleet)]
        await live(parts, fleet, long_freeze=False, seconds=HISTORY_SECONDS)
    assert fleet.faults == [], "\n".join(fleet.faults)
    print(dict(fleet.happened))


async def test_histories_of_documents_locks_and_tasks_are_right_under_kills_on_sqlite(sqlite_url: str):
    await require_right_histories(sqlite_url)


async def test_histories_of_documents_locks_and_tasks_are_right_under_kills_and_lost_answers_on_postgres(
    tmp_path: Path,
):
    server = PostgresProcess(tmp_path / "pg")
    server.make()
    server.start()
    try:
        async with Proxy(server.port, seed()).running() as proxy:
            proxy.loses, proxy.cuts = 0.03, 0.01
            await require_right_histories(proxy.url)
        assert proxy.lost > HISTORY_SECONDS / 4, proxy.lost
    finally:
        server.end()
