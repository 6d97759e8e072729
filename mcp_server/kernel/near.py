"""Names that somebody may have meant who named something that there is not."""

from collections.abc import Iterable, Sequence


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that look like another, whatever their case."""
    from difflib import get_close_matches  # a module that only mistakes need

    by_folded = {one.casefold(): one for one in known}
    return [by_folded[one] for one in get_close_matches(name.casefold(), by_folded, n=3)]


def did_you_mean(names: Sequence[str]) -> str:
    """`Did you mean 'scribe'? `, or nothing."""
    return f"Did you mean {' or '.join(map(repr, names))}? " if names else ""
