"""How far something long has come, for whoever looks on."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Watch = Callable[[int, int], None]
"""Told how much is done, and of how much."""

T = TypeVar("T")


def unwatched(done: int, total: int) -> None:
    """Nobody looks on."""


def watched(things: Iterable[T], watch: Watch, total: Callable[[], int]) -> Iterator[T]:
    """Things, told of as they are taken; how many there are is found out only where somebody looks on."""
    if watch is unwatched:
        yield from things
        return
    of = total()
    for number, thing in enumerate(things, 1):
        yield thing
        watch(number, of)


def row_count(connection: Any, tables: Iterable[str]) -> int:
    """How many rows tables of ours have together."""
    counts = (connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables)  # noqa: S608
    return sum(count for (count,) in counts)
