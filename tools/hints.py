"""What an empty list is answered with where it was narrowed by what there is nothing of."""

from collections.abc import Iterable, Mapping, Sequence

from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named, quoted

NAMES_SHOWN = 20


def hint(noun: str, narrowed: Mapping[str, tuple[str | None, Iterable[str]]]) -> str | None:
    """`No task has kind coed. Did you mean 'code'? There are: code, docs.` for each filter that nothing has; None where
    there is something of each.

    Args:
        noun: what is listed.
        narrowed: by the name of each filter what was asked for, None for nothing, and what there is.
    """
    said = [_hint(noun, name, asked, set(known)) for name, (asked, known) in narrowed.items() if asked is not None]
    return " ".join(filter(None, said)) or None


def hint_of_newest(noun: str, narrowed: Mapping[str, tuple[str | None, Iterable[str]]]) -> str | None:
    """`hint` where not all that there is is looked at, but what the newest have."""
    said = [_unlike(noun, name, asked, set(known)) for name, (asked, known) in narrowed.items() if asked is not None]
    return " ".join(filter(None, said)) or None


def _unlike(noun: str, name: str, asked: str, known: set[str]) -> str | None:
    if not known or any(asked.lower() in one.lower() for one in known):
        return None  # then it is another filter that nothing passes
    like = did_you_mean(near(asked, sorted(known)))
    return f"None of the newest {noun}s has {name} {named(asked)}. {like}They have: {_some(sorted(known))}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(map(named, names[:NAMES_SHOWN]))}{more}"


def _hint(noun: str, name: str, asked: str, known: set[str]) -> str | None:
    if asked in known:
        return None
    names = sorted(known)
    have = f"There are: {_some(names)}." if names else "There are none yet."
    return f"No {noun} has {name} {named(asked)}. {did_you_mean(near(asked, names))}{have}"


def phrase(text: str | None) -> str | None:
    """That several words are looked for as one phrase, where nothing was found by them."""
    words = (text or "").split()
    return f"`text` is one phrase: try one word of it, such as {quoted(words[0])}." if words[1:] else None
