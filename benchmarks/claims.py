"""What a full database does to one claim: its p99 among 100,000 queued, 10,000 blocked and 1,000,000 finished tasks,
beside that of an almost empty one.

    python -m benchmarks.claims [--claims 2000] [--url postgresql://.../fresh_database]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from typing import Any

from benchmarks.cycles import CALL, finish, no_ops, store_finished
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.persistence.database import Database

RATIO_AIM = 3.0


async def claim_seconds(desk: Desk, agent_id: str, claims: int) -> list[float]:
    """How long each of many claims took, one after the other, each finished before the next."""
    seen: list[float] = []
    command = ClaimTasks(agent_id=agent_id)
    for _ in range(claims):
        started = time.perf_counter()
        (claimed,) = (await desk.tasks.claim(CALL, command)).claims
        seen.append(time.perf_counter() - started)
        await finish(desk, claimed)
    return sorted(seen)


async def fill(desk: Desk, database: Database, queued: int, blocked: int, finished: int) -> None:
    """Many tasks of every sort."""
    await store_finished(database, finished)
    closed = TaskSpec(title="gate", kind="gate", priority="low")
    (gate,) = (await desk.tasks.create(CALL, CreateTasks(tasks=(closed,)))).tasks
    specs = [(TaskSpec(title="queued"), queued), (TaskSpec(title="blocked", depends_on=(gate.id,)), blocked)]
    for spec, wanted in specs:
        for _ in range(wanted // 100):
            await desk.tasks.create(CALL, CreateTasks(tasks=(spec,) * 100))


async def measure(claims: int, url: str | None) -> tuple[float, float]:
    """The p99 of a claim in seconds: almost empty, and full."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(url or f"sqlite:///{folder}/bench.db", AREAS)
        try:
            desk = desk_on(database)
            agent = (await desk.agents.register(CALL, Register(name="bench", max_concurrent_tasks=10))).agent

            async def p99() -> float:
                for _ in range(claims // 100 + 1):
                    await desk.tasks.create(CALL, no_ops(priority="high"))
                return (await claim_seconds(desk, agent.id, claims))[int(claims * 0.99)]

            await p99()  # warm
            empty: Any = await p99()
            await fill(desk, database, 100_000, 10_000, 1_000_000)
            return empty, await p99()
        finally:
            await database.close()


def main() -> int:
    """Measure and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=2000)
    parser.add_argument("--url", help="a fresh database; a temporary SQLite file by default")
    options = parser.parse_args()
    empty, full = asyncio.run(measure(options.claims, options.url))
    print(f"claim p99: {empty * 1000:.2f} ms almost empty, {full * 1000:.2f} ms full: {full / empty:.2f} x")
    return 0 if full / empty <= RATIO_AIM else 1


if __name__ == "__main__":
    sys.exit(main())
