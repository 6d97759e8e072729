"""Words for what is none of the choices at a place, and what does it."""

from collections.abc import Callable, Mapping
from typing import Any

from mcp_server.kernel.near import folded
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.together import unclear


def done_elsewhere(instead: Mapping[str, str]) -> Callable[[Any], Any]:
    """What refuses a word that stands for no choice here, saying what does it: no other choice is shown in its place.

    Args:
        instead: by the word, what does it.
    """

    def check(given: Any) -> Any:
        does = instead.get(folded(given)) if isinstance(given, str) else None
        if does is not None:
            raise unclear(f"{quoted(given, 40)} is not accepted; {does}")
        return given

    return check
