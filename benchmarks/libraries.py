"""apsw behind its door beside pysqlite3: cycles of `benchmarks.cycles`, and reads of one and of many rows, in turns.

    python -m benchmarks.libraries [--rounds 5] [--cycles 3000]

Each turn is a process of its own, since one process has one SQLite library. Prints the ratio of each pair of turns, of
the processor time of all threads: it says little of the disk, and depends little on what else the machine does.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.cycles import CALL, cycles_per_second, no_ops
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.persistence.database import Database
from mcp_server.persistence.sqlite.library import CHOICE

LIBRARIES = ("apsw", "pysqlite3")
READS = 2000


async def measure(cycles: int, callers: int = 64) -> dict[str, float]:
    """What each takes with one library, in microseconds of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/bench.db", AREAS)
        try:
            desk = desk_on(database)
            agent = (await desk.agents.register(CALL, Register(name="bench", max_concurrent_tasks=1000))).agent
            await cycles_per_second(desk, agent.id, callers, 500)
            began = time.process_time()
            await cycles_per_second(desk, agent.id, callers, cycles)
            told = {"a cycle": (time.process_time() - began) * 1e6 / cycles}
            (task, *_) = (await desk.tasks.create(CALL, no_ops())).tasks
            told["a get of one task"] = await often(lambda: desk.tasks.get(CALL, task.id), READS)
            listed = FindTasks(limit=100)
            return told | {"a list of 100 tasks": await often(lambda: desk.tasks.find(CALL, listed), READS // 20)}
        finally:
            await database.close()


async def often(read: Any, times: int) -> float:
    """What reading something takes, one after the other."""
    began = time.process_time()
    for _ in range(times):
        await read()
    return (time.process_time() - began) * 1e6 / times


def turn(library: str, cycles: int) -> dict[str, float]:
    """The same in a process with that library."""
    command = [sys.executable, "-m", "benchmarks.libraries", "--cycles", str(cycles), "--alone"]
    done = subprocess.run(command, env=os.environ | {CHOICE: library}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=3000)
    parser.add_argument("--alone", action="store_true", help="Measure the library of this process.")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(asyncio.run(measure(options.cycles))))
        return
    pairs: list[dict[str, dict[str, float]]] = []
    for number in range(options.rounds):
        order = LIBRARIES[:: 1 if number % 2 else -1]  # neither is always the first
        pairs.append({library: turn(library, options.cycles) for library in order})
    for what in pairs[0]["apsw"]:
        ratios = sorted(pair["apsw"][what] / pair["pysqlite3"][what] for pair in pairs)
        seen = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        takes = statistics.median(pair["apsw"][what] for pair in pairs)
        print(f"{what}, apsw by pysqlite3: {statistics.median(ratios):.2f} ({seen}); apsw {takes:.0f} us")


if __name__ == "__main__":
    main()
