#!/usr/bin/env python3
"""docs/settings.md, made of the model of settings.

python scripts/settings.py    write it anew; a test sees whether that is due
"""

import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic import BaseModel, SecretStr  # noqa: E402

from mcp_server.commands.options import default_of  # noqa: E402
from mcp_server.config import Group, Settings  # noqa: E402
from mcp_server.config.words import Word, words  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

Each setting is a flag of the commands that it is for, an environment variable, or a line of the TOML file that
`--config` or `DATAMCP_CONFIG` names; the first that is given counts, in that order. In the file `smtp_host`,
`smtp-host` and `host` under `[smtp]` are one. Passwords and keys are never flags. A word that is no setting is refused,
with the nearest one that is. `data-mcp-server-agent doctor` says what is wrong with what is set.

This page is made of the code by `python scripts/settings.py`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for group in Group for line in _group(group))]).rstrip() + "\n"


def _group(group: Group) -> Iterator[str]:
    found = [word for word in words(Settings).values() if word.group is group]
    plain = [word for word in found if not word.from_file_only]
    yield f"## {group.value}\n"
    yield "| flag | variable | takes | default | what it is |\n|---|---|---|---|---|"
    for word in plain:
        flag = f"`{word.flag}`" if word.has_flag else "never a flag"
        variable = f"`{word.variable}`" + (f" or `{word.variable}_FILE`" if word.secret else "")
        yield f"| {flag} | {variable} | {kind_in_words(word)} | {_default(word)} | {_cell(word)} |"
    yield ""
    for word in found:
        if word.from_file_only:
            yield from _things(word)


def _things(word: Word) -> Iterator[str]:
    """Named or listed things, which stand in the TOML file alone."""
    things = word.named_things or word.listed_things
    assert things is not None, "only things are from the file alone"
    title = f"[[{word.name}]]" if word.listed_things else f"[{word.name}.NAME]"
    yield f"### `{title}`, in the TOML file\n\n{word.field.description}.\n"
    for model in things:
        kind = model.model_fields.get("kind")
        if kind is not None and len(things) > 1:
            yield f'With `kind = "{get_args(kind.annotation)[0]}"`:\n'
        yield from _table(model)


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | takes | default | what it is |\n|---|---|---|---|"
    for word in words(model).values():
        yield f"| `{'.'.join(word.path)}` | {kind_in_words(word)} | {_default(word)} | {_cell(word)} |"
    yield ""


KINDS: Mapping[Any, str] = {
    bool: "true, false",
    str: "text",
    int: "integer",
    float: "number",
    Path: "path",
    SecretStr: "text",
}
LIMITS: Mapping[str, str] = {
    "ge": "from {}",
    "gt": "over {}",
    "le": "to {}",
    "lt": "below {}",
    "max_length": "at most {}",
}


def kind_in_words(word: Word) -> str:
    """What may stand there."""
    kind = word.kind
    said = _plain_kind(kind)
    limits = [
        text.format(value)
        for part in word.limits
        for name, text in LIMITS.items()
        if (value := getattr(part, name, None)) is not None
    ]
    return ", ".join([said, " ".join(limits)]) if limits else said


def _plain_kind(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if origin is tuple:
        return "list"
    return KINDS.get(kind) or ("table" if origin is dict else "text or number")


def _cell(word: Word) -> str:
    return (word.field.description or "").replace("|", "\\|")


def _default(word: Word) -> str:
    if word.field.is_required():
        return "required"
    text = default_of(word)
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page())
