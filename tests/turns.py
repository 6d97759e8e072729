"""Random lives and calls that are tried on both engines: a few on each, and of those that only slow tests try, each on
the one or the other in turn, since another seed shows more than the same one again."""

import itertools
from collections.abc import Iterable

import pytest

ENGINES = ("sqlite", "postgres")


def in_turns(seeds: Iterable[int], slowly: Iterable[int]) -> list[object]:
    """Arguments of `parametrize(("url", "seed"), ..., indirect=["url"])`."""
    one_by_one = zip(itertools.cycle(ENGINES), slowly)
    return [
        *((engine, seed) for seed in seeds for engine in ENGINES),
        *(pytest.param(engine, seed, marks=pytest.mark.slow) for engine, seed in one_by_one),
    ]
