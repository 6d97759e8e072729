"""The services of one server, each made when it is first asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mcp_server.kernel.call import Context

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Later:
    """What comes from the operator's settings, made when it is first asked for: till then its class is not loaded.

    Attributes:
        kind: its class, as `module:name`.
        make: makes it.
    """

    kind: str
    make: "Callable[[Services], Any]"


def name_of(kind: type) -> str:
    """A class as `module:name`."""
    return f"{kind.__module__}:{kind.__qualname__}"


class Services:
    """Makes each service once. A service's class takes this and asks it for what it rests on."""

    def __init__(self, context: Context, *given: object) -> None:
        """Begin with nothing made.

        Args:
            context: the outside.
            given: what comes from the operator's settings and is asked for by its class, such as a policy; or makes it.
        """
        self.context = context
        self.database = context.database
        self._made: dict[type[Any], Any] = {type(one): one for one in given if not isinstance(one, Later)}
        self.later = {one.kind: one for one in given if isinstance(one, Later)}
        """What is made when it is asked for, by its class."""

    def get(self, kind: type[S]) -> S:
        """The service of a class."""
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = kind(self)  # pyright: ignore[reportCallIssue] - each takes the services
        return made

    def option(self, kind: type[S]) -> S:
        """What the operator set, where it was given; else what its class has as defaults."""
        made = self._made.get(kind)
        if made is None:
            later = self.later.get(name_of(kind))
            made = self._made[kind] = kind() if later is None else later.make(self)
        return made

    def made(self, kind: str) -> Any:
        """What was given or made so far of a class that need not be loaded, `module:name`; else None."""
        return next((one for known, one in self._made.items() if name_of(known) == kind), None)
