#!/usr/bin/env python3
"""docs/events.md, made of what the areas say of their events.

python scripts/events.py    write it anew; a test sees whether that is due
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mcp_server.domain.areas import AREAS  # noqa: E402
from mcp_server.kernel.area import Aggregate, Area  # noqa: E402
from mcp_server.kernel.telling import Telling, whole  # noqa: E402

PAGE = ROOT / "docs" / "events.md"
HEAD = """# Events

What each type of event tells: the names in its data. The areas declare them (`events` in `domain/<area>/area.py`), the
store takes no event that tells less or more, and this page is made of them by `python scripts/events.py`.

Every event also has its number, its time, its type, the aggregate's id and version after the change, who made it, a
correlation id and the event that led to it. `_at` ends a moment in microseconds UTC. What comes to be leaves out what
is null. Who may see which events is asked of the permission named.
"""
WORDS: Mapping[Any, str] = {str: "text", int: "integer", float: "number", NoneType: "null", bool: "true or false"}


def said(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(said, get_args(kind)))
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return WORDS.get(kind, "JSON")


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for area in AREAS.all for line in _area(area))]).rstrip() + "\n"


def _area(area: Area) -> Iterator[str]:
    for aggregate in area.aggregates:
        yield f"## {aggregate.type}\n\nSeen with `{aggregate.seen_by}`.\n"
        yield "| event | tells | sometimes |\n|---|---|---|"
        told = aggregate.tells()
        for name in sorted(told, key=lambda name: (name.endswith(".snapshot"), list(told).index(name))):
            yield f"| `{name}` | {_names(aggregate, told[name].always)} | {_rest(aggregate, told[name])} |"
        yield f"\n{_types(aggregate)}\n"


def _rest(aggregate: Aggregate, telling: Telling) -> str:
    return _names(aggregate, telling.known - telling.always)


def _names(aggregate: Aggregate, names: frozenset[str]) -> str:
    every = frozenset() if aggregate.record is None else frozenset(whole(aggregate.record).split())
    if every and every <= names:
        return ", ".join(["all that it has", *sorted(names - every)])
    return ", ".join(sorted(names))


def _types(aggregate: Aggregate) -> str:
    hints = ({} if aggregate.record is None else get_type_hints(aggregate.record)) | aggregate.beside
    used = frozenset[str]().union(*(telling.known for telling in aggregate.tells().values()))
    kinds = {name: "JSON" if name in aggregate.json else said(hints[name]) for name in sorted(used)}
    by_kind: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        by_kind.setdefault(kind, []).append(name)
    return "\n".join(f"- {', '.join(names)}: {kind}" for kind, names in sorted(by_kind.items()))


if __name__ == "__main__":
    PAGE.write_text(page())
