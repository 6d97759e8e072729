"""Many processes hammer one SQLite file: nothing may be lost, claimed twice or refused for a lock.

python -m benchmarks.contention --processes 8 --seconds 30
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cycles import CALL, finish, no_ops
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import GetDocument, SetDocument
from mcp_server.domain.tasks.commands import ClaimTasks
from mcp_server.kernel.errors import Conflict, OpsError
from mcp_server.persistence.database import Database

COUNTER = GetDocument(namespace="bench", key="counter")


@dataclass
class Outcome:
    """What the hammering left behind."""

    acknowledged: int = 0
    claims: int = 0
    claimed_twice: int = 0
    missing_writes: int = 0
    counter_agrees: bool = True
    slowest_seconds: float = 0.0
    errors: list[str] = field(default_factory=list)


async def hammer(url: str, processes: int, seconds: float) -> Outcome:
    """Let the processes work side by side, then compare what they were told with what is stored."""
    database = await Database.open(url, AREAS)
    try:
        await _write(desk_on(database), "counter", 0)
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes) as pool:
            work = pool.starmap_async(_run_process, [(url, number, seconds) for number in range(processes)])
            reports = await asyncio.to_thread(work.get, seconds + 120)
        return await _judge(database, reports)
    finally:
        await database.close()


async def _judge(database: Database, reports: list[dict[str, Any]]) -> Outcome:
    outcome = Outcome()
    claims = [claim for report in reports for claim in report["claims"]]
    outcome.claims, outcome.claimed_twice = len(claims), len(claims) - len(set(claims))
    outcome.errors = [error for report in reports for error in report["errors"]]
    outcome.slowest_seconds = max(report["slowest"] for report in reports)
    desk = desk_on(database)
    stored = {row["id"] for row in await database.fetch_all("state_find", now=0, limit=10**9)}
    written = [key for report in reports for key in report["written"]]
    outcome.missing_writes = sum(f"bench/{key}" not in stored for key in written)
    increments = sum(report["increments"] for report in reports)
    outcome.counter_agrees = (await desk.state.get(CALL, COUNTER)).value == increments
    outcome.acknowledged = len(written) + increments + 2 * len(claims)
    return outcome


def _run_process(url: str, number: int, seconds: float) -> dict[str, Any]:
    return asyncio.run(_process(url, number, seconds))


async def _process(url: str, number: int, seconds: float) -> dict[str, Any]:
    report: dict[str, Any] = {"claims": [], "written": [], "increments": 0, "errors": [], "slowest": 0.0}
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database)
        agent = (await desk.agents.register(CALL, Register(name=f"a{number}", max_concurrent_tasks=100))).agent
        until = time.monotonic() + seconds
        await asyncio.gather(*(_lane(desk, agent.id, f"{number}-{lane}", until, report) for lane in range(4)))
    finally:
        await database.close()
    return report


async def _lane(desk: Desk, agent_id: str, name: str, until: float, report: dict[str, Any]) -> None:
    turn = 0
    while time.monotonic() < until:
        turn += 1
        started = time.monotonic()
        try:
            await _round(desk, agent_id, f"{name}-{turn}", report)
        except OpsError as error:
            report["errors"].append(f"{error.code}: {error.message}")
        report["slowest"] = max(report["slowest"], time.monotonic() - started)


async def _round(desk: Desk, agent_id: str, key: str, report: dict[str, Any]) -> None:
    await desk.tasks.create(CALL, no_ops(1))
    for claimed in (await desk.tasks.claim(CALL, ClaimTasks(agent_id=agent_id))).claims:
        report["claims"].append(f"{claimed.task.id} {claimed.lease_token}")
        await finish(desk, claimed, result=key)
    await _write(desk, key, key, expected_version=0)
    report["written"].append(key)
    counter = await desk.state.get(CALL, COUNTER)
    try:
        await _write(desk, "counter", counter.value + 1, expected_version=counter.version)
        report["increments"] += 1
    except Conflict:
        pass  # somebody was faster, as it should be


async def _write(desk: Desk, key: str, value: Any, expected_version: int | None = None) -> None:
    command = SetDocument(namespace="bench", key=key, value=value, expected_version=expected_version)
    await desk.state.set(CALL, command)


def main() -> int:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(hammer(f"sqlite:///{folder}/bench.db", options.processes, options.seconds))
    print(json.dumps({**outcome.__dict__, "errors": outcome.errors[:5], "errors_total": len(outcome.errors)}, indent=1))
    fine = not outcome.errors and not outcome.claimed_twice and not outcome.missing_writes and outcome.counter_agrees
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
