"""How long a waiting claim takes to hear of a task that another process created, both idle before.

python -m benchmarks.wakeup --samples 200
"""

import argparse
import asyncio
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks.cycles import CALL, finish, no_ops
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import ClaimTasks
from mcp_server.persistence.database import Database

P50_AIM, P99_AIM = 0.050, 0.150


async def _wait_for_work(url: str, samples: int, heard: Any) -> None:
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database)
        agent = (await desk.agents.register(CALL, Register(name="waiter", max_concurrent_tasks=100))).agent
        command = ClaimTasks(agent_id=agent.id, wait_seconds=50)
        heard.put("ready")
        for _ in range(samples):
            claims: list[Any] = []
            while not claims:
                claims = (await desk.tasks.claim(CALL, command)).claims
            heard.put(time.monotonic())
            await finish(desk, claims[0])
    finally:
        await database.close()


def child(url: str, samples: int, heard: Any) -> None:
    """A process that claims and finishes what comes: puts `ready`, then the time of each claim."""
    asyncio.run(_wait_for_work(url, samples, heard))


async def measure(url: str, samples: int) -> list[float]:
    """Seconds from the call that creates a task to the other process's claim of it, for each sample."""
    context = multiprocessing.get_context("spawn")
    heard = context.Queue()
    process = context.Process(target=child, args=(url, samples, heard))
    process.start()
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database)
        await asyncio.to_thread(heard.get, True, 60)
        seen: list[float] = []
        for _ in range(samples):
            await asyncio.sleep(random.uniform(0.1, 0.5))
            began = time.monotonic()
            await desk.tasks.create(CALL, no_ops(1))
            seen.append(await asyncio.to_thread(heard.get, True, 60) - began)
        return seen
    finally:
        await database.close()
        process.join(30)


def main() -> int:
    """Measure and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--url", help="a fresh database; a temporary SQLite file by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/desk.db"
        seen = sorted(asyncio.run(measure(url, options.samples)))
    p50, p99 = statistics.median(seen), seen[int(len(seen) * 0.99)]
    print(f"wake-up across processes: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, most {seen[-1] * 1000:.1f} ms")
    return 0 if p50 <= P50_AIM and p99 <= P99_AIM else 1


if __name__ == "__main__":
    sys.exit(main())
