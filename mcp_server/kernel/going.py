"""Who is told that a client goes away while it is answered: to wait for that would take each request a task."""

from collections.abc import Callable

GOING = "data_mcp_server.going"
"""In the scope of a request over HTTP: who is to be told, where the web server tells it."""


class Going:
    """Who is told when the client of one connection goes away."""

    def __init__(self) -> None:
        self._told: set[Callable[[], object]] = set()
        self._is_gone = False

    def tell(self, told: Callable[[], object]) -> None:
        """Have it called when the client goes; at once where it has gone."""
        if self._is_gone:
            told()
        else:
            self._told.add(told)

    def spare(self, told: Callable[[], object]) -> None:
        """Have it called no more."""
        self._told.discard(told)

    def gone(self) -> None:
        """The client is gone."""
        self._is_gone = True
        for told in tuple(self._told):
            told()
