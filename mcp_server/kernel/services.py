"""The services of one server, each made when it is first asked for."""

from typing import Any, TypeVar

from mcp_server.kernel.call import Context

S = TypeVar("S")


class Services:
    """Makes each service once. A service's class takes this and asks it for what it rests on."""

    def __init__(self, context: Context, *given: object) -> None:
        """Begin with nothing made.

        Args:
            context: the outside.
            given: what comes from the operator's settings and is asked for by its class, such as a policy.
        """
        self.context = context
        self.database = context.database
        self._made: dict[type[Any], Any] = {type(one): one for one in given}

    def get(self, kind: type[S]) -> S:
        """The service of a class."""
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = kind(self)  # pyright: ignore[reportCallIssue] - each takes the services
        return made

    def option(self, kind: type[S]) -> S:
        """What the operator set, where it was given; else what its class has as defaults."""
        return self._made.get(kind) or self._made.setdefault(kind, kind())
