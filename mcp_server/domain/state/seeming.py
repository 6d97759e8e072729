"""Documents that are no objects where one is meant: text that holds JSON, an update that was written as a value."""

import json
from collections.abc import Mapping
from typing import Any, cast

from mcp_server.domain.state.dialects import SHOWN_CHARACTERS_MAX
from mcp_server.domain.state.operators import is_all_operators
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import dump_json, held_json
from mcp_server.kernel.wording import call_of


def require_object(where: Mapping[str, Any], value: Any) -> None:
    """Refuse a merge patch of a document that is no object: all of it would be replaced.

    Raises:
        ValidationFailed: naming what stands there.
    """
    if value is None or isinstance(value, dict):
        return
    parsed = held_json(value)
    what = "text that holds JSON" if parsed is not None else _kind(value)
    right = "state_set writes it as an object first"
    if isinstance(parsed, dict) and len(str(value)) <= SHOWN_CHARACTERS_MAX:
        address = {name: where[name] for name in ("namespace", "key")}
        right = f"{call_of('state_set', {**address, 'value': parsed})} makes an object of it"
    raise ValidationFailed(
        f"The document is {what}, not an object, and merge_patch would replace all of it.",
        next=f"Nothing was changed. {right}; with expected_version, for who has read it, the patch replaces it.",
    )


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(cast('list[Any]', value))}"
    return "text" if isinstance(value, str) else dump_json(value)


def looks_otherwise(value: str) -> str | None:
    """What JSON text of a document looks to be that was hardly meant so: text that holds JSON, or an update of another
    dialect."""
    if not value.startswith(_BEGIN_OTHERWISE):
        return None
    parsed = json.loads(value)
    if held_json(parsed) is not None:
        return "text that holds JSON: give the object or list itself, without quotes around it"
    if is_all_operators(parsed):
        return "an update of another dialect: state_patch changes a part, by merge_patch or json_patch"
    return None


_BEGIN_OTHERWISE = ('"{', '"[', '" ', '"\\n', '{"$')


def require_no_loss(address: Mapping[str, str], value: str, what: str, before: Any) -> None:
    """Refuse to replace an object, or a list, by what is hardly meant to be the whole document.

    Args:
        address: the document.
        value: what is to be written.
        what: what it looks to be.
        before: what the document is.

    Raises:
        ValidationFailed: saying what it is, and how it is written all the same.
    """
    if not isinstance(before, (dict, list)):
        return
    parsed = held_json(json.loads(value))
    is_shown = parsed is not None and len(value) <= SHOWN_CHARACTERS_MAX
    right = f" Right would be: {call_of('state_set', {**address, 'value': parsed})}." if is_shown else ""
    raise ValidationFailed(
        f"The document is {'an object' if isinstance(before, dict) else 'a list'}, and value is {what}.",
        next=f"Nothing was changed.{right} If it is really to be that, delete the document first (delete=true).",
    )
