"""How names that look like another are looked for: so many of them closely, and all that one call has looked for while
that takes a moment. Whoever may name anything could otherwise keep everybody waiting with names of nobody's."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import nlargest
from itertools import pairwise

NAME_CHARACTERS_MAX = 100
COMPARED_MAX = 30
"""To compare one closely takes fifty times as long as to count the letters and pairs of letters that it shares."""
COMPARED_TOGETHER_MAX = 4000
"""So many names are looked at for all that is wrong with one call."""


def alike(asked: str, known: tuple[str, ...]) -> list[str]:
    """Up to three of some names that look like another; none, where too many have been looked at in this call."""
    looks = _LOOKS.get()
    return closest(asked, known) if looks is None else looks.alike(asked, known)


class _Looks:
    """What was looked for together: how many names may still be looked at, and what was found."""

    def __init__(self) -> None:
        self._left = COMPARED_TOGETHER_MAX
        self._found: dict[tuple[str, tuple[str, ...]], list[str]] = {}

    def alike(self, asked: str, known: tuple[str, ...]) -> list[str]:
        """Those of some names that look like another; none, once too many have been looked at."""
        if (asked, known) not in self._found:
            self._found[asked, known] = closest(asked, known) if self._left > 0 else []
            self._left -= len(known)
        return self._found[asked, known]


_LOOKS: ContextVar[_Looks | None] = ContextVar("looks", default=None)


@contextmanager
def looking_sparingly() -> Generator[None]:
    """Within, names are looked for as long as all of that takes a moment; a name that is asked for again costs nothing.
    For what says as much wrong as it likes."""
    token = _LOOKS.set(_Looks())
    try:
        yield
    finally:
        _LOOKS.reset(token)


def closest(asked: str, known: Sequence[str]) -> list[str]:
    """Up to three of some names that look like another; what it costs is the longer the more there are."""
    from difflib import get_close_matches  # a module that only mistakes need

    parts = _parts(asked)

    def shared(one: str) -> float:
        return len(parts & _parts(one[:NAME_CHARACTERS_MAX])) / (len(asked) + len(one) + 1)

    return get_close_matches(asked, nlargest(COMPARED_MAX, known, shared), n=3)


def _parts(name: str) -> set[str | tuple[str, str]]:
    return {*name, *pairwise(name)}
