"""kill -9 at random points: every task ends exactly once, no lease leaks, the event log accounts for each attempt."""

import asyncio
import contextlib
import random
import sys
from collections import Counter
from typing import Any

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.persistence.database import Database
from tests.processes import RawClient, start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TASKS = 2000
LEASE_SECONDS = 2


class Fleet:
    """Two servers with a client each and two command workers, all on one database, killed and started again."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.stopping = False
        self.kills = 0
        self.servers: dict[int, RawClient] = {}
        self.workers: dict[int, asyncio.subprocess.Process] = {}

    async def serve(self, slot: int) -> None:
        """A client that claims and finishes through a server of its own, whatever becomes of that server."""
        while not self.stopping:
            client = self.servers[slot] = await start(self.url)
            with contextlib.suppress(EOFError, ConnectionError, ValueError):
                await client.initialize()
                await self._work(client, f"client-{slot}")
            client.process._transport.close()  # type: ignore[attr-defined]

    async def _work(self, client: RawClient, name: str) -> None:
        registered = await client.call(
            "agents_register", name=name, max_concurrent_tasks=20, instance={"label": f"session-{self.kills}"}
        )
        agent = {"agent_id": registered["agent"]["id"], "instance_id": registered["instance_id"]}
        while not self.stopping:
            answer = await client.call(
                "tasks_claim", **agent, max_tasks=5, lease_seconds=LEASE_SECONDS, wait_seconds=0.3
            )
            for claim in answer.get("claims", []):
                lease = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
                if self.random.random() < 0.3:
                    await client.call("tasks_report", **lease, progress={"percent": 50})
                await client.call("tasks_finish", **lease, outcome="completed", result={"by": name})

    async def employ(self, slot: int) -> None:
        """A worker process that runs `true` for each task."""
        while not self.stopping:
            process = self.workers[slot] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mcp_server", "worker", f"worker-{slot}", "--database", self.url),
                *("--concurrency", "4", "--lease-seconds", str(LEASE_SECONDS), "--", "true"),
                stderr=asyncio.subprocess.DEVNULL,
            )
            if self.stopping:  # it was not there yet when the others were told
                process.terminate()
            await process.wait()

    async def kill(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.random.uniform(0.05, 1.2))
            processes = [client.process for client in self.servers.values()] + list(self.workers.values())
            victim = self.random.choice(processes)
            if victim.returncode is None:
                victim.kill()
                self.kills += 1

    async def stop(self) -> None:
        self.stopping = True
        for process in self.workers.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for client in self.servers.values():
            with contextlib.suppress(ProcessLookupError):
                client.process.terminate()


async def finished(database: Database) -> int:
    row = await database.fetch_one("tasks_find_count", filters=("task_status_completed",), counted=TASKS)
    return 0 if row is None else row["n"]


async def all_finished(database: Database) -> None:
    """Wait until all tasks are, for as long as they get more."""
    loop = asyncio.get_running_loop()
    lately, most = loop.time(), 0
    while (now := await finished(database)) < TASKS:
        if now > most:
            lately, most = loop.time(), now
        assert loop.time() < lately + 90, f"{now} of {TASKS} tasks are finished, and no more of them"
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(("engine", "seconds"), [("sqlite", 60), ("postgres", 20)])
async def test_killed_workers_and_servers_lose_double_and_leak_nothing(
    request: pytest.FixtureRequest, engine: str, seconds: float
):
    url = request.getfixturevalue(f"{engine}_url")
    creator = await start(url)
    await creator.initialize()
    fleet = Fleet(url, seed=7)
    work = [asyncio.create_task(job) for job in (fleet.serve(0), fleet.serve(1), fleet.employ(0), fleet.employ(1))]
    killing = asyncio.create_task(fleet.kill(seconds))
    ids: list[str] = []
    retry = {"max_attempts": 100, "delay_seconds": 0}
    for _ in range(TASKS // 50):  # work keeps coming while processes die
        batch = [{"title": "job", "retry": retry, "timeout_seconds": 30} for _ in range(50)]
        ids += [task["id"] for task in (await creator.call("tasks_create", tasks=batch))["tasks"]]
        await asyncio.sleep(seconds / (TASKS / 50) * 0.8)
    await killing
    database = await Database.open(url, AREAS)
    try:
        await all_finished(database)
        await fleet.stop()
        await asyncio.wait_for(asyncio.gather(*work), 60)
        await check(database, ids)
    finally:
        await database.close()
        creator.process.kill()
        await creator.process.wait()
        creator.process._transport.close()  # type: ignore[attr-defined]
    assert fleet.kills > seconds / 3


async def check(database: Database, ids: list[str]) -> None:
    """Every task completed once; each claim ended in exactly one way; nothing is leased."""
    events: dict[str, Counter[str]] = {task_id: Counter() for task_id in ids}
    xid, seq = 0, 0
    while rows := await database.fetch_all("events_after", xid=xid, seq=seq, limit=1000):
        xid, seq = rows[-1]["xid"], rows[-1]["seq"]
        for row in rows:
            if row["aggregate_type"] == "task":
                events[row["aggregate_id"]][row["type"].removeprefix("task.")] += 1
    tasks: dict[str, Any] = {row["id"]: row for row in await database.fetch_all("tasks_find", limit=TASKS + 1)}
    assert sorted(tasks) == sorted(ids)
    for task_id, task in tasks.items():
        counted = events[task_id]
        assert (task["status"], task["lease_agent_id"]) == ("completed", None), (task_id, counted)
        assert counted["created"] == counted["completed"] == 1, (task_id, counted)
        ends = counted["completed"] + counted["lease_expired"] + counted["handed_back"] + counted["attempt_timed_out"]
        assert counted["claimed"] == ends == task["attempt"], (task_id, counted)
