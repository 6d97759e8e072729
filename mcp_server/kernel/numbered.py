"""Which of several numbered things is meant, a version or a revision. No example stands in for one."""

import re
from collections.abc import Callable
from typing import Any

from mcp_server.kernel.near import folded
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.together import unclear

_NUMBERED = re.compile(r"\s*(?:v|r|ver|rev|version|revision)?[\s.#_-]*(\d{1,15})\s*", re.IGNORECASE)
_NEWEST = frozenset(("latest", "newest", "current", "head", "last", "now"))


def numbered(lists: str, *, newest: bool = False) -> Callable[[Any], Any]:
    """What reads a number as it is meant: `v3`, and where leaving it out means the newest, `latest`.

    Args:
        lists: the call that lists the numbers there are.
        newest: whether the newest is meant where none is given.
    """
    left_out = " Leave it out for the newest;" if newest else ""

    def read(given: Any) -> Any:
        word = folded(given) if isinstance(given, str) else ""
        if newest and word in _NEWEST:
            return None
        found = _NUMBERED.fullmatch(given) if isinstance(given, str) else None
        number: Any = int(found[1]) if found is not None else given
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if given is None or (is_number and number >= 1):
            return number
        if isinstance(given, str) or is_number:
            said = quoted(given, 60) if isinstance(given, str) else given
            raise unclear(
                f"{said} is not accepted; it takes a whole number of at least 1.{left_out} {lists} lists them"
            )
        return given

    return read
