"""Names that somebody may have meant who named something that there is not."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from mcp_server.kernel.looking import NAME_CHARACTERS_MAX, alike

KNOWN_MAX = 2000
"""So many names are looked at: this runs where others wait."""
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
    # Whoever may name anything could otherwise keep everybody waiting with a name of nobody's.
    by_folded = {one.casefold(): one for one in islice(known, KNOWN_MAX)}
    asked = name[:NAME_CHARACTERS_MAX].casefold()
    return [by_folded[one] for one in alike(asked, tuple(by_folded))]


def did_you_mean(names: Sequence[str]) -> str:
    """`Did you mean 'scribe'? `, or nothing."""
    return f"Did you mean {' or '.join(map(repr, names))}? " if names else ""
