"""Claim + finish cycles through the service layer, in process, synchronous=FULL; and the price of a large table.

    python -m benchmarks.cycles [--callers 64] [--cycles 10000] [--stored 1000000]

Prints cycles per second with 1,000 stored tasks and with `--stored` finished ones, and the ratio of the two.
"""

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks, EndAttempt, FinishTask, FinishTasks
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.call import Call
from mcp_server.persistence.database import Database

CALL = Call(SYSTEM, "benchmark")


def no_ops(count: int = 100, **more: Any) -> CreateTasks:
    """The command that creates tasks which ask for nothing."""
    return CreateTasks(tasks=(TaskSpec(title="no-op", **more),) * count)


async def finish(desk: Desk, claimed: ClaimedTask, result: Any = None) -> None:
    """End a claimed task well."""
    token = claimed.lease_token
    command = FinishTask(task_id=claimed.task.id, lease_token=token, outcome="completed", result=result)
    await desk.tasks.finish(CALL, command)


async def finish_all(desk: Desk, claims: Sequence[ClaimedTask]) -> None:
    """End several claimed tasks well, in one call."""
    ended = tuple(EndAttempt(task_id=one.task.id, lease_token=one.lease_token, outcome="completed") for one in claims)
    await desk.tasks.finish_many(CALL, FinishTasks(tasks=ended))


async def cycles_per_second(desk: Desk, agent_id: str, callers: int, cycles: int) -> float:
    """Create tasks, then let the callers claim and finish them all."""
    for _ in range(cycles // 100):
        await desk.tasks.create(CALL, no_ops())

    async def caller() -> None:
        while claims := (await desk.tasks.claim(CALL, ClaimTasks(agent_id=agent_id))).claims:
            await finish(desk, claims[0], result={"ok": True})

    gc.collect()
    gc.freeze()  # as `serve` does
    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return cycles / (time.perf_counter() - started)


# How an engine names the columns of the table, and how it counts up.
_COPYING = {
    "sqlite": (
        "SELECT name FROM pragma_table_info('tasks') WHERE name <> 'id'",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {more}) "
        "SELECT 'task_' || printf('%012d', n.i), {columns} FROM n",
    ),
    "postgres": (
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'tasks' AND column_name <> 'id'",
        "SELECT 'task_' || lpad(n.i::text, 12, '0'), {columns} FROM generate_series(1, {more}) AS n (i)",
    ),
}


async def store_finished(database: Database, wanted: int) -> None:
    """Copy a finished task until there are `wanted` rows."""

    described, numbers = _COPYING[database.engine]

    def copy(tx: Any) -> None:
        connection = tx._connection
        have = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        kept = ", ".join(row[0] for row in connection.execute(described).fetchall())
        model = "(SELECT * FROM tasks WHERE status = 'completed' LIMIT 1) AS model"
        select = numbers.format(more=max(wanted - have, 0), columns=kept)
        connection.execute(f"INSERT INTO tasks (id, {kept}) {select}, {model}")

    await database.write(copy)


async def measure(callers: int, cycles: int, stored: int) -> dict[str, object]:
    """Both sizes, on one database."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/bench.db", AREAS)
        try:
            desk = desk_on(database)
            agent = (await desk.agents.register(CALL, Register(name="bench", max_concurrent_tasks=1000))).agent
            await cycles_per_second(desk, agent.id, callers, 1000)
            small = [await cycles_per_second(desk, agent.id, callers, cycles) for _ in range(3)]
            await store_finished(database, stored)
            large = [await cycles_per_second(desk, agent.id, callers, cycles) for _ in range(3)]
        finally:
            await database.close()
    return {
        "callers": callers,
        "cycles_per_second": round(statistics.median(small)),
        f"cycles_per_second_at_{stored}_stored": round(statistics.median(large)),
        "slowdown_ratio": round(statistics.median(small) / statistics.median(large), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--stored", type=int, default=1_000_000)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.callers, options.cycles, options.stored)), indent=1))


if __name__ == "__main__":
    main()
