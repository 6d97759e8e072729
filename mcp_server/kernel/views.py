"""What callers see: records built straight from rows. Nulls are dropped when they are sent."""

import json
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.records import Record

VALUE_CHARACTERS_MAX = 160
CUT_TO_CHARACTERS = 80


class View(Record):
    """The base of everything that a tool or resource answers with."""

    def kept(self) -> Self:
        """It without what is for the caller alone, such as links: as it is kept where others may read it."""
        return self


def dumped(view: View) -> dict[str, Any]:
    """A view as JSON values without nulls."""
    return adapter(type(view)).dump_python(view, mode="json", exclude_none=True)


@cache
def adapter(view: type[Any]) -> TypeAdapter[Any]:
    """pydantic's knowledge of a view, made at its first use: a start must not wait for it."""
    return TypeAdapter(view)


def json_or_none(text: str | None) -> Any:
    """The value of JSON text, where there is any."""
    return None if text is None else json.loads(text)


def short(value: Any) -> Any:
    """A value where it is short, else how its text begins and how long that is: what shows which it is."""
    text = value if isinstance(value, str) else dump_json(value)
    return value if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:CUT_TO_CHARACTERS]}… ({len(text)} characters)"


def list_or_none(text: str) -> Any:
    """A JSON list, or None where it is empty."""
    return json.loads(text) if text != "[]" else None
