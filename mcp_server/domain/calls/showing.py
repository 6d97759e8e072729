"""Messages of the text channel that show where a call stands and what was said."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.calls.model import LiveCall
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso


def line_message(row: Row) -> dict[str, Any]:
    """One line of the transcript."""
    return {"type": "line", "line": _line(row)}


def state_message(call: LiveCall) -> dict[str, Any]:
    """Where a call stands."""
    told: dict[str, Any] = {
        "type": "state",
        "status": call.status,
        "recording": bool(call.record),
        "muted": bool(call.muted),
        "participants": _people(call),
    }
    return told if call.reason is None else told | {"reason": call.reason}


def welcome(call: LiveCall, you: int, lines: Sequence[Row]) -> dict[str, Any]:
    """What somebody is greeted with.

    Args:
        call: as it is now.
        you: the number of who is greeted.
        lines: the last of what was said, in order.
    """
    about = {
        "id": call.id,
        "purpose": call.purpose,
        "status": call.status,
        "recording": bool(call.record),
        "media": call.media,
    }
    return {
        "type": "welcome",
        "call": about,
        "you": you,
        "participants": _people(call),
        "lines": [_line(row) for row in lines],
    }


def _line(row: Row) -> dict[str, Any]:
    return {"n": row["n"], "at": iso(row["at"]), "who": row["who"], "kind": row["kind"], "text": row["text"]}


def _people(call: LiveCall) -> list[dict[str, Any]]:
    return [{"name": one.name, "state": one.state} for one in call.people()]
