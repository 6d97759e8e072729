"""Names that somebody may have meant who named something that there is not."""

import re
from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import islice, pairwise

NAME_CHARACTERS_MAX = 100
KNOWN_MAX = 2000
"""So many names are looked at: this runs where others wait."""
COMPARED_MAX = 30
"""To compare one closely takes fifty times as long as to count the letters and pairs of letters that it shares."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP = re.compile(r"[\s._-]+")


def folded(name: str) -> str:
    """A word in the one spelling that all of these share: `dependsOn`, `depends-on`, `Depends On`, `depends_on`."""
    return _GAP.sub("_", _HUMP.sub("_", name[:NAME_CHARACTERS_MAX]).strip()).lower()


def singular(word: str) -> str:
    """A word without the ending of its plural: `tasks`, `capabilities`."""
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that look like another, whatever their case."""
    from difflib import get_close_matches  # a module that only mistakes need

    # Whoever may name anything could otherwise keep everybody waiting with a name of nobody's.
    by_folded = {one.casefold(): one for one in islice(known, KNOWN_MAX)}
    asked = name[:NAME_CHARACTERS_MAX].casefold()
    parts = _parts(asked)

    def shared(one: str) -> float:
        return len(parts & _parts(one[:NAME_CHARACTERS_MAX])) / (len(asked) + len(one) + 1)

    return [by_folded[one] for one in get_close_matches(asked, nlargest(COMPARED_MAX, by_folded, shared), n=3)]


def _parts(name: str) -> set[str | tuple[str, str]]:
    return {*name, *pairwise(name)}


def did_you_mean(names: Sequence[str]) -> str:
    """`Did you mean 'scribe'? `, or nothing."""
    return f"Did you mean {' or '.join(map(repr, names))}? " if names else ""
