"""What the operator set about calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.calls.media import IceServer


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """What is allowed, and for how long things last.

    Attributes:
        at_once: calls in which somebody is, on one database.
        minutes_max: how long one lasts, from the first connection on.
        keep_days: how long transcripts and recordings are kept.
        ice_servers: for the page, too: both sides of a connection use them.
        speaks: whether there is a command that makes speech of text.
    """

    at_once: int = 10
    minutes_max: float = 60.0
    keep_days: float = 30.0
    ice_servers: Sequence[IceServer] = ()
    speaks: bool = False

    def told_servers(self) -> list[dict[str, Any]]:
        """The servers as browsers take them."""
        return [one.told() for one in self.ice_servers]
