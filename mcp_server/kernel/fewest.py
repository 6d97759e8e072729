"""Which of several ways to narrow a list finds the fewest: the list is read by that one, and asked of it are the rest.

Neither engine knows it. It knows how many rows have one status, or one kind, on the average or when they were last
counted, but not how many have the one that it is told late; and it reads a million to find that none of them is left.
"""

from collections.abc import Awaitable, Callable, Sequence

COUNTED_TO = (1_000, 30_000)
"""How far each is counted; further only where the first does not tell."""


async def fewest(counts: Sequence[Callable[[int], Awaitable[int]]]) -> int:
    """The number of the way that finds the fewest: the first, where there is no other or each finds very many.

    Args:
        counts: what counts each as far as it is told.
    """
    for most in COUNTED_TO if len(counts) > 1 else ():
        found = [await count(most) for count in counts]
        if min(found) < most:
            return found.index(min(found))
    return 0
