"""Named SQL statements, read from the areas' queries.sql once per engine.

    -- name: task_by_id
    SELECT * FROM tasks WHERE id = :id {{for_update}}

    -- name: due (postgres)
    ...the variant that PostgreSQL needs, directly under the SQLite one...

    -- name: document_current (short)
    ...reads one row by its key: where it costs a moment only, it is read without a thread's turn...

    -- name: filter.task_text (long)
    ...may read much: of such reads some wait, so that those that take a moment never stand behind them all...

    -- name: fragment.running
    ...SQL that stands wherever another area's statement says {{running}}: its tables stay its own...

`:name` marks a parameter. `{{for_update}}` and `{{skip_locked}}` vanish on SQLite, whose writer is alone anyway.
`{{filters}}` is where a list is narrowed by `filter.<name>`. All `due.<name>` together are `dues`.
"""

import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

Engine = Literal["sqlite", "postgres"]
_HEADING = re.compile(r"^-- name: ([\w.]+)(?: \((postgres)\)| \((?:short|long)\))?\s*$", re.MULTILINE)
_SHORT = re.compile(r"^-- name: ([\w.]+) \(short\)\s*$", re.MULTILINE)
_LONG = re.compile(r"^-- name: ([\w.]+) \(long\)\s*$", re.MULTILINE)
_COMMENT_OF_THE_NEXT = re.compile(r"(\n--[^\n]*)+\s*$")
_PARAMETER = re.compile(r"(?<![:\w']):([a-z_][a-z0-9_]*)")
_MARKERS: dict[Engine, dict[str, str]] = {
    "sqlite": {"for_update": "", "skip_locked": ""},
    "postgres": {"for_update": "FOR UPDATE", "skip_locked": "FOR UPDATE SKIP LOCKED"},
}


@cache
def statements(engine: Engine, texts: tuple[str, ...] = ()) -> dict[str, str]:
    """Every named statement in the engine's own parameter style: the engine's own, and those of the texts given.

    Raises:
        ValueError: a name defined twice for one engine.
    """
    own = Path(__file__).with_name("queries.sql").read_text("utf-8")
    found = _found(engine, (own, *texts))
    found["dues"] = _dues(_called(found, "due."))
    fragments = _called(found, "fragment.")
    fragments = {name: _filled(text, fragments) for name, text in fragments.items()}
    return {name: dialect(_filled(text, fragments), engine) for name, text in found.items()}


def _found(engine: Engine, sources: tuple[str, ...]) -> dict[str, str]:
    """What an engine runs: what is for all, unless it has its own."""
    told: dict[str | None, dict[str, str]] = {None: {}, engine: {}}
    for name, variant, text in chain.from_iterable(map(sections, sources)):
        if told.get(variant, {}).setdefault(name, text) is not text:
            raise ValueError(f"statement {name} is defined twice")
    return told[None] | told[engine]


@cache
def short_statements(texts: tuple[str, ...]) -> frozenset[str]:
    """The names of those that read one row by its key."""
    return frozenset(chain.from_iterable(map(_SHORT.findall, texts)))


@cache
def long_statements(texts: tuple[str, ...]) -> frozenset[str]:
    """The names of those, and of filters, that may read much."""
    return frozenset(chain.from_iterable(map(_LONG.findall, texts)))


def _called(found: dict[str, str], prefix: str) -> dict[str, str]:
    """Those whose names begin alike, by the rest of the name."""
    return {name.removeprefix(prefix): text for name, text in found.items() if name.startswith(prefix)}


def _dues(dues: dict[str, str]) -> str:
    each = [f"SELECT 'due.{name}' AS due, at FROM ({text}) AS {name}" for name, text in dues.items()]  # noqa: S608
    return " UNION ALL ".join(each) or "SELECT NULL AS due, NULL AS at"


def _filled(text: str, fragments: dict[str, str]) -> str:
    for name, fragment in fragments.items():
        text = text.replace("{{" + name + "}}", fragment.strip())
    return text


@cache
def positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """SQLite SQL with numbered parameters, and their names in order: binding by name costs a fifth more."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"?{names.setdefault(match[1], len(names) + 1)}"

    return _PARAMETER.sub(number, sql), tuple(names)


def dialect(text: str, engine: Engine) -> str:
    """SQL with `:name` parameters in the engine's own style."""
    for marker, replacement in _MARKERS[engine].items():
        text = text.replace("{{" + marker + "}}", replacement)
    if engine == "postgres":
        text = _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
    return text.strip()


def sections(text: str) -> list[tuple[str, str | None, str]]:
    """Name, engine (None: both, or the first of two) and text of each statement."""
    parts = _HEADING.split(text)[1:]
    return [(parts[i], parts[i + 1], _COMMENT_OF_THE_NEXT.sub("", parts[i + 2])) for i in range(0, len(parts), 3)]
