"""Search: what keeping texts costs a write, and how long finding takes beside a LIKE over every value.

    python -m benchmarks.search [--url postgresql://...] [--documents 50000] [--writes 6000] [--callers 64]

Writes with texts and without take turns on one database; `without` leaves the folding and the row of the text out, and
nothing else. Finding is measured for what nothing holds, what one document holds, what every tenth does, and two
characters, which no index helps; first beside the index, then with it.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from benchmarks.cycles import CALL, no_ops
from benchmarks.documents import median_ms
from mcp_server.app import desk_on
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.state import transactions
from mcp_server.domain.state.commands import FindDocuments, SetDocument
from mcp_server.persistence.database import Database
from mcp_server.persistence.transaction import Transaction

ROUNDS = 7
_LIKE = "SELECT count(*) AS n FROM document_versions v WHERE v.value LIKE {mark} ESCAPE '\\'"


@contextmanager
def without_texts() -> Generator[None]:
    """Writes fold nothing and keep no text."""
    with (
        patch.object(transactions, "fold_json", str),
        patch.object(Transaction, "keep_text", lambda *_, **__: None),
        patch.object(Transaction, "_keep_words", lambda *_: None),
    ):
        yield


class Texts:
    """Values as people write them: some sixty words of five thousand, a rare one and a common one."""

    def __init__(self, words: int = 60) -> None:
        self._chance = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._known = ["".join(self._chance.choices(letters, k=self._chance.randint(3, 9))) for _ in range(5000)]
        self._words = words

    def value(self, number: int) -> dict[str, Any]:
        """The value of a document."""
        said = " ".join(self._chance.choices(self._known, k=self._words))
        common = "Quarterly " if number % 10 == 0 else ""
        return {"title": f"{common}{said[:40]}", "body": said, "number": f"#{number:06}"}


async def spent(action: Callable[[int], Awaitable[object]], callers: int, times: int) -> tuple[float, float]:
    """Seconds by the clock, and of this process's processor time, that so many calls take."""

    async def caller(first: int) -> None:
        for number in range(first, times, callers):
            await action(number)

    gc.collect()
    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(caller, range(callers)))
    return time.perf_counter() - started, time.process_time() - used


async def slowdown(action: Callable[[int], Awaitable[object]], callers: int, times: int) -> list[float]:
    """How many times as long a write takes with texts, by the clock and by processor time: medians of turns beside each
    other."""
    clock: list[float] = []
    processor: list[float] = []
    for turn in range(ROUNDS):
        took: dict[bool, tuple[float, float]] = {}
        for has_texts in (True, False) if turn % 2 else (False, True):
            with contextlib.nullcontext() if has_texts else without_texts():
                took[has_texts] = await spent(action, callers, times)
        clock.append(took[True][0] / took[False][0])
        processor.append(took[True][1] / took[False][1])
    return [round(statistics.median(clock), 3), round(statistics.median(processor), 3)]


async def writes(desk: Desk, callers: int, times: int) -> dict[str, list[float]]:
    """What a text costs each kind of write."""
    small, large = Texts(), Texts(9_000)
    values = [small.value(number) for number in range(100)]
    huge = [large.value(number) for number in range(4)]

    async def put(given: list[dict[str, Any]], number: int) -> None:
        # Each write is new: an older one would leave a text that the turn without texts does not change.
        key = f"{next(numbers)}"
        await desk.state.set(CALL, SetDocument(namespace="bench", key=key, value=given[number % len(given)]))

    async def create(_: int) -> None:
        await desk.tasks.create(CALL, no_ops(1, description="what there is to be done, in a sentence or two of words"))

    async def create_many(_: int) -> None:
        await desk.tasks.create(CALL, no_ops(100))

    numbers = iter(range(10**9))
    return {
        "state_set, 500 bytes": await slowdown(partial(put, values), callers, times),
        "state_set, 500 bytes, one caller": await slowdown(partial(put, values), 1, times // 10),
        "state_set, 60 KiB": await slowdown(partial(put, huge), 4, max(times // 60, 8)),
        "tasks_create": await slowdown(create, callers, times),
        "tasks_create of 100": await slowdown(create_many, 4, max(times // 60, 8)),
    }


async def finds(desk: Desk, database: Database, documents: int) -> dict[str, Any]:
    """Milliseconds by what is looked for, beside a LIKE over every value."""
    texts = Texts()
    for first in range(0, documents, 1000):
        await asyncio.gather(
            *(
                desk.state.set(CALL, SetDocument(namespace="found", key=f"{number:06}", value=texts.value(number)))
                for number in range(first, min(first + 1000, documents))
            )
        )
    asked = {
        "nothing": "no such words",
        "one": f"#{documents // 2:06}",
        "every tenth": "QUARTERLY",
        "two letters": "#0",
    }

    async def like() -> None:
        mark = "%(like)s" if database.engine == "postgres" else ":like"
        await database.backend.read(_LIKE.format(mark=mark), {"like": f"%#{documents // 2:06}%"})

    async def each() -> dict[str, float]:
        find = {name: partial(desk.state.find, CALL, FindDocuments(text=text)) for name, text in asked.items()}
        return {name: round(await median_ms(one, 15), 2) for name, one in find.items()}

    floor = round(await median_ms(like, 15), 2)
    beside = await each()
    started = time.perf_counter()
    while await database.write(index_some):
        pass
    took = time.perf_counter() - started
    return {
        "LIKE over every value": floor,
        "before they are indexed": beside,
        "indexed": await each(),
        "indexing, microseconds a document": round(took / documents * 1e6),
    }


async def measure(url: str | None, documents: int, times: int, callers: int) -> dict[str, Any]:
    """All of it, on one database."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(url or f"sqlite:///{folder}/bench.db", AREAS)
        try:
            desk = desk_on(database)
            return {
                "find_ms": await finds(desk, database, documents) | {"documents": documents},
                "write_with_texts_over_without": await writes(desk, callers, times),
            }
        finally:
            await database.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--writes", type=int, default=6_000)
    parser.add_argument("--callers", type=int, default=64)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.url, options.documents, options.writes, options.callers))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
