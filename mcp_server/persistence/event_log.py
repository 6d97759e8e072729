"""Reading the event log: cursors that survive restarts, on both engines.

A cursor is opaque text: `123` on SQLite, where commits and sequence numbers agree in order, and `xid-seq` on
PostgreSQL, where they do not.
"""

from dataclasses import dataclass

from mcp_server.domain.errors import ValidationFailed
from mcp_server.persistence.transaction import Row

_BIGGEST = 2**63 - 1
SNAPSHOT = ".snapshot"
"""How the types of events end that hold a whole row; see `event_retention`."""

JSON_COLUMNS: dict[str, frozenset[str]] = {
    "task": frozenset(
        ("input", "required_capabilities", "depends_on", "tags", "progress", "result", "error", "usage", "schedule")
    ),
    "agent": frozenset(("capabilities", "skills", "tags", "budget")),
    "document": frozenset(("tags",)),
    "email": frozenset(("recipients", "cc", "bcc", "attachments", "outcomes")),
    "approval": frozenset(("details", "approvers", "answers")),
}
"""By aggregate type, the columns that hold JSON text; in an event they stand as what they are."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log; everything at or before it has been seen."""

    xid: int
    seq: int

    def cursor(self) -> str:
        """The position as opaque text."""
        return f"{self.xid}-{self.seq}" if self.xid else str(self.seq)

    @staticmethod
    def of(row: Row) -> "Position":
        """The position of an event's row."""
        return Position(xid=row["xid"], seq=row["seq"])


place_of = Position.of
START = Position(0, 0)
END = Position(_BIGGEST, _BIGGEST)


def parse_cursor(cursor: str) -> Position:
    """The position that a cursor names.

    Raises:
        ValidationFailed: not a cursor of this server.
    """
    xid, dash, seq = cursor.rpartition("-")
    numbers = [xid, seq] if dash else ["0", seq]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in numbers):
        raise ValidationFailed(
            f"{cursor!r} is not an event cursor.",
            next="Pass a cursor that events_read returned, or leave `after` out to start at the beginning.",
        )
    return Position(int(numbers[0]), int(numbers[1]))
