"""What events are about, as it is written down elsewhere: ids and addresses as they are pasted, several in one text."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.meaning import bare_id
from mcp_server.kernel.moments import moment_of
from mcp_server.kernel.renaming import without

THINGS_MAX = 50
LIKE_AN_ID = re.compile(r"[a-z_]+_[a-z0-9]{12}")
_DOCUMENT = re.compile(r"\s*ops://state/([^?#]+)")
BETWEEN = "\n"
"""Stands between several things: in no id, key or name of a lock."""


def things(given: Any) -> Any:
    """Several things as one text. Between commas stand several, or it is all one: in the name of a lock there may be
    some. So both are looked for."""
    if isinstance(given, list):
        several = cast("list[Any]", given)
        return BETWEEN.join(map(_thing, several)) if all(isinstance(one, str) for one in several) else several
    return BETWEEN.join(map(_thing, _ids_in(given))) if isinstance(given, str) else given


def _ids_in(text: str) -> list[str]:
    parts = [part for part in map(str.strip, text.split(",")) if part]
    are_ids = all(map(LIKE_AN_ID.fullmatch, parts))
    return parts if are_ids else list(dict.fromkeys([text, *parts]))


def _thing(text: str) -> str:
    found = _DOCUMENT.match(text)
    if found is not None:
        return found[1]
    return str(bare_id(text)) if LIKE_AN_ID.search(text) else text.strip()


def address_in_place(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments with a document's address for its namespace and key, where nothing else is named."""
    if "aggregate_id" in said or not isinstance(said.get("key"), str):
        return said
    namespace = said.get("namespace")
    address = said["key"] if namespace is None else f"{namespace}/{said['key']}"
    return without(said, ("namespace", "key")) | {"aggregate_id": address}


def since_in_place(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments with a time that stands where a cursor does as the time since when."""
    after = said.get("after")
    if not isinstance(after, str) or "since" in said or not _is_time(after):
        return said
    return without(said, ("after",)) | {"since": moment_of(after) or after}


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return moment_of(text) is not None


def require_few(things: Sequence[str]) -> None:
    """Refuse more things than one call looks up.

    Raises:
        LimitExceeded: there are too many.
    """
    if len(things) > THINGS_MAX:
        raise LimitExceeded(
            f"{len(things)} things are too many for one call; it takes at most {THINGS_MAX}.",
            next="Ask about some of them, or narrow by type and actor instead.",
            details={"things_max": THINGS_MAX},
        )
