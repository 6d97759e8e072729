"""What telling subscribers costs writers, and how soon a subscriber hears of another process's change.

python -m benchmarks.subscriptions [--subscribers 200] [--samples 100]
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from typing import Any

from mcp.client import Client

from benchmarks.cycles import CALL
from benchmarks.documents import write, writes_per_second
from mcp_server.app import App, desk_on, open_app
from mcp_server.config import load_settings
from mcp_server.domain.areas import AREAS
from mcp_server.domain.state.commands import GetDocument
from mcp_server.persistence.database import Database

HOT = "ops://state/bench/{}/0"


async def _write_now_and_then(url: str, samples: int) -> None:
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database)
        for _ in range(samples):
            await asyncio.sleep(random.uniform(0.1, 0.4))
            await write(desk, "told", {"at": time.monotonic()})
    finally:
        await database.close()


def _child(url: str, samples: int) -> None:
    asyncio.run(_write_now_and_then(url, samples))


async def hearing_seconds(app: App, url: str, samples: int) -> list[float]:
    """From another process's call that writes a document to a client's notification of it."""
    child = multiprocessing.get_context("spawn").Process(target=_child, args=(url, samples))
    seen: list[float] = []
    async with Client(app.server) as client, client.listen(resource_subscriptions=["ops://state/bench/told"]) as told:
        child.start()
        async for _ in told:
            heard = time.monotonic()
            document = await app.desk.state.get(CALL, GetDocument(namespace="bench", key="told"))
            seen.append(heard - document.value["at"])
            if len(seen) == samples:
                break
    child.join(30)
    return sorted(seen)


async def rates(app: App, subscribers: int) -> dict[str, float]:
    """Writes per second without subscribers; with many whose documents stay as they are; and with as many whose
    documents change all the time, clients in this very process. One more never reads. In turns, medians of three."""
    seen: dict[str, list[float]] = {"without": [], "others_documents": [], "these_documents": []}
    for _ in range(3):
        seen["without"].append(await writes_per_second(app.desk, 64, 6400))
        for what, template in (("others_documents", "ops://state/quiet/{}/0"), ("these_documents", HOT)):
            async with subscribed(app, [template.format(n % 64) for n in range(subscribers)]):
                seen[what].append(await writes_per_second(app.desk, 64, 6400))
    return {name: statistics.median(values) for name, values in seen.items()}


@contextlib.asynccontextmanager
async def subscribed(app: App, uris: list[str]) -> AsyncGenerator[None]:
    """A stream for each URI, read as it comes, and one listener that never takes anything."""
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(app.server))
        readers: list[asyncio.Task[None]] = []
        for uri in uris:
            stream = await stack.enter_async_context(client.listen(resource_subscriptions=[uri]))
            readers.append(asyncio.create_task(_read(stream)))
        await stack.enter_async_context(app.desk.changes.listen())
        yield
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(stream: Any) -> None:
    async for _ in stream:
        pass


async def measure(subscribers: int, samples: int) -> dict[str, Any]:
    """Both, on one database."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        async with open_app(load_settings(database=url, log_level="error")) as app:
            heard = await hearing_seconds(app, url, samples)
            seen = await rates(app, subscribers)
    return {
        "heard_after_ms": {
            "p50": round(statistics.median(heard) * 1000, 1),
            "p99": round(heard[int(len(heard) * 0.99) - 1] * 1000, 1),
        },
        "writes_per_second": {name: round(rate) for name, rate in seen.items()},
        "slowdown_ratio": round(seen["without"] / seen["others_documents"], 2),
        "slowdown_ratio_where_all_are_told": round(seen["without"] / seen["these_documents"], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.subscribers, options.samples)), indent=1))


if __name__ == "__main__":
    main()
