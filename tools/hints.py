"""What an empty list is answered with where it was narrowed by what there is nothing of."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.views import View
from tools.spec import several

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
    if any(mark in (text or "") for mark in "*?%"):
        plain = re.split(r"[*?%]+", (text or "").strip("*?% "))[0]
        instead = f": try {quoted(plain)}" if plain else ""
        return f"`text` is looked for as it stands, anywhere in words; * and ? stand for nothing else{instead}."
    return f"`text` is one phrase: try one word of it, such as {quoted(words[0])}." if words[1:] else None


TOLD_BY_TASKS = {"status": "status", "kind": "kind", "tag": "tags", "parent_id": "parent_id"}
"""Which member of a task tells of what narrows lists of tasks."""


def hinted(hint: str | None) -> str:
    """A hint behind other sentences."""
    return "" if hint is None else f" {hint}"


_OF_LISTS = frozenset(("limit", "cursor", "logs", "templates"))


def as_asked(args: BaseModel, id_: str, thing: View, told: Mapping[str, str]) -> str | None:
    """Whether the one thing that is shown by its id is what was asked for beside that.

    Args:
        args: what was asked.
        id_: the name of the id.
        thing: what is shown.
        told: by the names of arguments, which member of the thing tells of each.
    """
    asked = _narrowing(args, id_)
    unmet = [_unmet(name, value, getattr(thing, told[name])) for name, value in asked.items() if name in told]
    left = several([f"`{name}`" for name in asked if name not in told])
    said = [
        f"{left} only narrow lists: {id_} shows that one." if left else "",
        _unlike_asked(list(filter(None, unmet))),
    ]
    return " ".join(filter(None, said)) or None


def _narrowing(args: BaseModel, id_: str) -> dict[str, Any]:
    """What was asked for beside an id."""
    asked = {name: getattr(args, name) for name in sorted(args.model_fields_set - _OF_LISTS - {id_})}
    return {name: value for name, value in asked.items() if value not in (None, (), False)}


def _unlike_asked(unmet: Sequence[str]) -> str:
    return f"It is not what was asked beside its id: {'; '.join(unmet)}." if unmet else ""


def _unmet(name: str, asked: Any, has: Any) -> str | None:
    wanted, there = _each(asked), _each(has)
    if any(one in there for one in wanted):
        return None
    return f"its {name} is {several(list(map(named, there))) or 'nothing'}, not {several(list(map(named, wanted)))}"


def _each(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in cast("Sequence[Any]", value)] if isinstance(value, (list, tuple)) else [str(value)]
