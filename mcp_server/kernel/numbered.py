"""Which of several numbered things is meant, a version or a revision. No example stands in for one."""

import re
from collections.abc import Callable
from typing import Any

from mcp_server.kernel.near import folded
from mcp_server.kernel.numbers import is_number
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
        if newest and isinstance(given, str) and folded(given) in _NEWEST:
            return None
        number = _number_in(given)
        if _is_none(number):
            said = quoted(given, 60) if isinstance(given, str) else given
            raise unclear(
                f"{said} is not accepted; it takes a whole number of at least 1.{left_out} {lists} lists them"
            )
        return number

    return read


def _number_in(given: Any) -> Any:
    found = _NUMBERED.fullmatch(given) if isinstance(given, str) else None
    return given if found is None else int(found[1])


def _is_none(number: Any) -> bool:
    """Whether it is a word, or a number that nothing has; what else is wrong with it is said elsewhere."""
    return isinstance(number, str) or (is_number(number) and number < 1)
