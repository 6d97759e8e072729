"""What events tell: the names in the data of each type. An area declares them once; the store takes no event that tells
less or more, and docs/events.md is made of them."""

from dataclasses import dataclass, field
from typing import Self

from mcp_server.kernel.events import Event
from mcp_server.kernel.records import Record, blank_of


@dataclass(frozen=True, slots=True)
class Telling:
    """What a type of event tells. Kept as it was written: a server tells of few types, and asks of each shape once.

    Attributes:
        standing: the names that stand in its data each time, with spaces between them.
        sometimes: those that stand there at times.
    """

    standing: str
    sometimes: str = ""
    _right: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]], compare=False, repr=False)
    """What was told before and was right, as many as there are places in the code: comparing anew costs ten times as
    much."""

    @classmethod
    def of(cls, always: str = "", sometimes: str = "") -> Self:
        """From names with spaces between them."""
        return cls(always, sometimes)

    @property
    def always(self) -> frozenset[str]:
        """The names that stand in its data each time."""
        return frozenset(self.standing.split())

    @property
    def known(self) -> frozenset[str]:
        """These, and those that stand there sometimes."""
        return self.always.union(self.sometimes.split())

    def require(self, event: Event) -> None:
        """Refuse an event that does not tell what its type tells.

        Raises:
            TypeError: naming what is missing and what nobody knows.
        """
        told = tuple(event.data)
        if told in self._right:
            return
        missing, unknown = self.always.difference(told), frozenset(told) - self.known
        if missing or unknown:
            raise TypeError(
                f"{event.type} has to tell {sorted(self.always)}: missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        self._right.add(told)


def whole(record: type[Record]) -> str:
    """The names of all that a record holds beside its key and its version, which an event has anyway."""
    return " ".join(name for name in blank_of(record) if name not in ("id", "version"))
