"""Reading the event log: cursors that survive restarts, on both engines.

A cursor is opaque text: `123` on SQLite, where commits and sequence numbers agree in order, and `xid-seq` on
PostgreSQL, where they do not.
"""

from dataclasses import dataclass

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.lines import quoted
from mcp_server.kernel.store import Row

_BIGGEST = 2**63 - 1


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
            f"{quoted(cursor)} is not an event cursor.",
            next="Pass a cursor that events_read returned, or leave `after` out to start at the beginning.",
        )
    return Position(int(numbers[0]), int(numbers[1]))
