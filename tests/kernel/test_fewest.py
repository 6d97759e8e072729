"""Which of several ways finds the fewest, counted no further than it takes to know."""

import pytest

from mcp_server.kernel.fewest import COUNTED_TO, fewest

pytestmark = pytest.mark.anyio
FIRST, SECOND = COUNTED_TO


def ways(*sizes: int) -> tuple[list, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    def counting(number: int, size: int):
        async def count(most: int) -> int:
            asked.append((number, most))
            return min(size, most)

        return count

    return [counting(number, size) for number, size in enumerate(sizes)], asked


async def test_the_fewest_are_found_by_a_short_count_where_some_are_few():
    counts, asked = ways(10**6, FIRST - 1, 10**6)
    assert (await fewest(counts), asked) == (1, [(0, FIRST), (1, FIRST), (2, FIRST)])


async def test_where_all_are_many_they_are_counted_further():
    counts, _ = ways(10**6, SECOND - 1, SECOND - 2)
    assert await fewest(counts) == 2


async def test_where_each_finds_very_many_the_first_is_taken():
    counts, _ = ways(SECOND, 10**6)
    assert await fewest(counts) == 0


async def test_a_single_way_is_not_counted():
    counts, asked = ways(10**6)
    assert (await fewest(counts), asked) == (0, [])
