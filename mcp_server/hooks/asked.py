"""What a client asks, out of whatever stood on stdin. Nothing in there is taken for granted."""

from __future__ import annotations

import json
import os
import re
from functools import cached_property

from mcp_server.hooks.clients import EDITING, PATCHES, PATHS, SESSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 1000
REGISTERING = "agents_register"
"""What the name of the tool ends with, whatever a client puts before it."""

_PATCHED = r"(?m)^\*\*\* (?:(?:Add|Update|Delete) File|Move to): (.+)$"
_AGENT = r"\bagent_[a-z0-9]{12}\b"
_INSTANCE = r"\binstance_[a-z0-9]{12}\b"


class Asked:
    """One run of a hook."""

    def __init__(self, text: bytes, environment: Mapping[str, str]) -> None:
        """Take in what stood on stdin; what makes no sense counts as not said."""
        self._payload = _table(
            _parsed(text.decode("utf-8", "replace").removeprefix("\ufeff")) if len(text) <= BYTES_MAX else None
        )
        self.session = next(filter(None, map(self._text, SESSIONS)), None)
        self.folder = self._text("cwd") or environment.get("PWD") or os.getcwd()
        named = [environment.get(name) for name in ("CLAUDE_PROJECT_DIR", "GEMINI_PROJECT_DIR", "CURSOR_PROJECT_DIR")]
        self.roots = list(filter(None, (*named, *_texts(self._payload.get("workspace_roots")), self.folder)))

    @cached_property
    def files(self) -> list[str]:
        """The files that a tool is about to change, as the tool names them."""
        tool, arguments = self._text("tool_name") or "", self._payload.get("tool_input")
        if tool.lower() not in EDITING:
            return []
        table = _table(arguments) or _table(_parsed(arguments)) or {PATCHES[0]: arguments}
        found = [*_paths(table), *_patched(table)]
        return [path for path in dict.fromkeys(found) if path][:FILES_MAX]

    @property
    def registration(self) -> tuple[str, str | None] | None:
        """The agent and the instance that a call has just registered."""
        if not (self._text("tool_name") or "").endswith(REGISTERING):
            return None
        told = next(filter(None, map(self._payload.get, ("tool_response", "tool_output", "result_json"))), None)
        text = told if isinstance(told, str) else json.dumps(told)
        agent, instance = re.search(_AGENT, text), re.search(_INSTANCE, text)
        return None if agent is None else (agent[0], None if instance is None else instance[0])

    def _text(self, name: str) -> str | None:
        return next(iter(_texts([self._payload.get(name)])), None) or None


def _table(value: Any) -> dict[str, Any]:
    return value if _is(value, dict) else {}


def _parsed(text: Any) -> Any:
    """What a text says as JSON; None where it is none."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _paths(arguments: dict[str, Any]) -> Iterator[str]:
    for name in PATHS:
        value = arguments.get(name)
        several: list[Any] = [value]
        for one in value if _is(value, list) and value else several:
            yield from _texts([one, *map(_table(one).get, PATHS)])


def _patched(arguments: dict[str, Any]) -> Iterator[str]:
    for text in _texts([arguments.get(name) for name in PATCHES]):
        yield from (path.strip() for path in re.findall(_PATCHED, text))


def _texts(values: Any) -> list[str]:
    """The texts among several values, without what no file system and no database takes."""
    texts = [value for value in values if _is(value, str)] if _is(values, list) else []
    return [text.replace("\0", "").encode("utf-8", "backslashreplace").decode() for text in texts]


def _is(value: Any, kind: type) -> bool:
    """`isinstance`, of what is no more known for it: what such a thing holds may be anything."""
    return isinstance(value, kind)
