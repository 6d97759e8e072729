"""Names that somebody may have meant who named something that there is not."""

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import nlargest
from itertools import islice, pairwise

NAME_CHARACTERS_MAX = 100
KNOWN_MAX = 2000
"""So many names are looked at: this runs where others wait."""
COMPARED_MAX = 30
"""To compare one closely takes fifty times as long as to count the letters and pairs of letters that it shares."""
COMPARED_TOGETHER_MAX = 2 * KNOWN_MAX
"""So many names are looked at for all that is wrong with one call."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP = re.compile(r"[\s._-]+")


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


def folded(name: str) -> str:
    """A word in the one spelling that all of these share: `dependsOn`, `depends-on`, `Depends On`, `depends_on`."""
    return _GAP.sub("_", _HUMP.sub("_", name[:NAME_CHARACTERS_MAX]).strip()).lower()


def singular(word: str) -> str:
    """A word without the ending of its plural: `tasks`, `capabilities`."""
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that look like another, whatever their case."""
    # Whoever may name anything could otherwise keep everybody waiting with a name of nobody's.
    by_folded = {one.casefold(): one for one in islice(known, KNOWN_MAX)}
    asked, looks = name[:NAME_CHARACTERS_MAX].casefold(), _LOOKS.get()
    alike = closest if looks is None else looks.alike
    return [by_folded[one] for one in alike(asked, tuple(by_folded))]


def closest(asked: str, known: Sequence[str]) -> list[str]:
    """Up to three of some names that look like another; what it costs is the longer the more there are."""
    from difflib import get_close_matches  # a module that only mistakes need

    parts = _parts(asked)

    def shared(one: str) -> float:
        return len(parts & _parts(one[:NAME_CHARACTERS_MAX])) / (len(asked) + len(one) + 1)

    return get_close_matches(asked, nlargest(COMPARED_MAX, known, shared), n=3)


def _parts(name: str) -> set[str | tuple[str, str]]:
    return {*name, *pairwise(name)}


def did_you_mean(names: Sequence[str]) -> str:
    """`Did you mean 'scribe'? `, or nothing."""
    return f"Did you mean {' or '.join(map(repr, names))}? " if names else ""
