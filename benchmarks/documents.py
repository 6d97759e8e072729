"""Documents through the service layer: durable writes per second, what long histories cost, and what a version weighs.

python -m benchmarks.documents [--callers 64] [--writes 12000] [--versions 10000]
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.cycles import CALL
from mcp_server.app import desk_on
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import DocumentHistory, GetDocument, SetDocument
from mcp_server.persistence.database import Database


async def write(desk: Desk, key: str, value: Any) -> None:
    """Write a document."""
    await desk.state.set(CALL, SetDocument(namespace="bench", key=key, value=value))


async def writes_per_second(desk: Desk, callers: int, writes: int) -> float:
    """Every caller writes documents of its own, a small value each time."""

    async def caller(number: int) -> None:
        for turn in range(writes // callers):
            await write(desk, f"{number}/{turn % 10}", {"turn": turn})

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return writes / (time.perf_counter() - started)


async def median_ms(action: Callable[[], Awaitable[object]], times: int = 200) -> float:
    """The median duration of one call, in milliseconds."""
    seen: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await action()
        seen.append((time.perf_counter() - started) * 1000)
    return statistics.median(seen)


async def history(desk: Desk, versions: int) -> dict[str, dict[str, float]]:
    """Read, write and diff of one document at 10 and at many versions."""
    figures: dict[str, dict[str, float]] = {}
    count = 0

    async def write_next() -> None:
        nonlocal count
        count += 1
        await write(desk, "long", {"n": count, "text": "x" * 1000})

    for wanted in (10, versions):
        while count < wanted:
            await asyncio.gather(*(write_next() for _ in range(min(50, wanted - count))))
        long: dict[str, Any] = {"namespace": "bench", "key": "long"}
        now, old = GetDocument(**long), GetDocument(**long, version=5)
        whole = DocumentHistory(**long, from_version=5, to_version=count - 1, diff=True)
        figures[f"at_{count}_versions_ms"] = {
            "read": await median_ms(partial(desk.state.get, CALL, now)),
            "read_old": await median_ms(partial(desk.state.get, CALL, old)),
            "diff": await median_ms(partial(desk.state.history, CALL, whole)),
            "write": await median_ms(write_next),
        }
    return figures


async def bytes_per_version(database: Database, desk: Desk) -> float:
    """What the file grows by for each of 100 small edits of a 64 KiB document."""
    chance = random.Random(1)
    value = {f"key-{n:04}": "".join(chance.choices("abcdefghij ", k=48)) for n in range(1000)}
    await write(desk, "large", value)

    before = await _file_bytes(database)
    for edit in range(100):
        value[f"key-{chance.randrange(1000):04}"] = f"edited {edit}"
        await write(desk, "large", value)
    return (await _file_bytes(database) - before) / 100


async def _file_bytes(database: Database) -> int:
    sql = "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size"
    return (await database.backend.read(sql, {}))[0]["bytes"]


async def measure(callers: int, writes: int, versions: int) -> dict[str, object]:
    """All of it, on one database."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/bench.db", AREAS)
        try:
            desk = desk_on(database)
            await writes_per_second(desk, callers, callers * 10)
            rates = [await writes_per_second(desk, callers, writes) for _ in range(3)]
            return {
                "state_set_per_second": round(statistics.median(rates)),
                "history": await history(desk, versions),
                "bytes_per_version_of_64_kib": round(await bytes_per_version(database, desk)),
            }
        finally:
            await database.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--writes", type=int, default=12_000)
    parser.add_argument("--versions", type=int, default=10_000)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.callers, options.writes, options.versions)), indent=1))


if __name__ == "__main__":
    main()
