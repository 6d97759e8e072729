"""Named SQL statements, read from queries/*.sql once per engine.

    -- name: task_by_id
    SELECT * FROM tasks WHERE id = :id {{for_update}}

    -- name: due (postgres)
    ...the variant that PostgreSQL needs, directly under the SQLite one...

`:name` marks a parameter. `{{for_update}}` and `{{skip_locked}}` vanish on SQLite, whose writer is alone anyway.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Literal

Engine = Literal["sqlite", "postgres"]
_HEADING = re.compile(r"^-- name: ([\w.]+)(?: \((postgres)\))?\s*$", re.MULTILINE)
_COMMENT_OF_THE_NEXT = re.compile(r"(\n--[^\n]*)+\s*$")
_PARAMETER = re.compile(r"(?<![:\w']):([a-z_][a-z0-9_]*)")
_MARKERS: dict[Engine, dict[str, str]] = {
    "sqlite": {"for_update": "", "skip_locked": ""},
    "postgres": {"for_update": "FOR UPDATE", "skip_locked": "FOR UPDATE SKIP LOCKED"},
}


@cache
def statements(engine: Engine) -> dict[str, str]:
    """Every named statement in the engine's own parameter style.

    Raises:
        ValueError: a name defined twice for one engine.
    """
    found: dict[str, str] = {}
    specific: set[str] = set()
    for path in sorted(files("mcp_server.persistence").joinpath("queries").iterdir(), key=lambda p: p.name):
        for name, variant, text in _sections(path.read_text("utf-8")):
            if variant and variant != engine:
                continue
            if name in found and not (variant and name not in specific):
                raise ValueError(f"statement {name} is defined twice in {path.name}")
            specific |= {name} if variant else set()
            found[name] = dialect(text, engine)
    return found


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


def _sections(text: str) -> list[tuple[str, str | None, str]]:
    parts = _HEADING.split(text)[1:]
    return [(parts[i], parts[i + 1], _COMMENT_OF_THE_NEXT.sub("", parts[i + 2])) for i in range(0, len(parts), 3)]
