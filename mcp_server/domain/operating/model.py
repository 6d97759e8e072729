"""What is told of the operator's rules and of the database. There are no rows: the newest event says it all."""

from typing import Any, Literal, NamedTuple

from mcp_server.kernel.events import Event
from mcp_server.kernel.times import Micros

RULES, DATABASE = "rules", "database"
"""The types of both, and their ids: there is one of each."""

NAME_MAX = 255

How = Literal["restore", "import"]


class InForce(NamedTuple):
    """The operator's rules, without what may be secret in them: whom they have asked, and about which arguments.

    Attributes:
        digest: which they are; None where there are none.
        tools: what each is about, as patterns.
    """

    digest: str | None = None
    tools: tuple[str, ...] = ()

    def changed(self, version: int) -> Event:
        """That they are others now."""
        data = {"digest": self.digest, "count": len(self.tools), "tools": list(self.tools)}
        return Event("rules.changed", RULES, RULES, version, data)


class Source(NamedTuple):
    """Where a database came from.

    Attributes:
        how: by which command.
        file: the name of the file.
        seq: the number of the last event in it; None where it held none.
        at: when that happened.
    """

    how: How
    file: str
    seq: int | None
    at: Micros | None

    def restored(self, version: int, now: Micros) -> Event:
        """That the database holds what the file held."""
        data: dict[str, Any] = {
            "how": self.how,
            "file": _storable(self.file),
            "restored_at": now,
            "last_seq": self.seq,
            "last_at": self.at,
        }
        return Event("database.restored", DATABASE, DATABASE, version, data)


def _storable(name: str) -> str:
    """A file's name, which need not be text, as text."""
    return name.encode("utf-8", "replace").decode().replace("\0", "?")[:NAME_MAX]
