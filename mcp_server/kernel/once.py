"""Making something of an object once, however often it is asked for."""

from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
MOST = 1024


class Once(Generic[A, B]):
    """What a function makes of objects that stay the same: made once of each, and forgotten when there are too many."""

    def __init__(self, make: Callable[[A], B], most: int = MOST) -> None:
        self._make = make
        self._most = most
        self._made: dict[int, tuple[A, B]] = {}

    def __call__(self, of: A) -> B:
        """What it makes of this very object; of another one that is equal it is made anew."""
        known = self._made.get(id(of))
        if known is not None:  # which keeps the object, so that its id is nobody else's
            return known[1]
        if len(self._made) >= self._most:
            self._made.clear()
        made = self._make(of)
        self._made[id(of)] = of, made
        return made
