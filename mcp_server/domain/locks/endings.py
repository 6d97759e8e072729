"""How a hold ended that its holder still believes to have: who took it away, when and why, as the log tells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.events.thinning import Happened, newest_of
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros, iso

LOOKED_AT_MAX = 200
"""How many events of a lock are looked at."""

_GRANTS = ("lock.acquired", "lock.handed_over")


class Ending(NamedTuple):
    """How a hold ended, and when; by whom and why, where somebody had it end."""

    how: str
    at: Micros
    by: str | None = None
    reason: str | None = None

    def said(self) -> str:
        """It as a sentence, for who had the hold."""
        why = f": {quoted(self.reason)}" if self.reason else ""
        return f"Yours {self.how} at {iso(self.at)}{f', by {self.by}' if self.by else ''}{why}."

    def told(self) -> dict[str, str]:
        """It as data."""
        known = {"how": self.how, "at": iso(self.at), "by": self.by, "reason": self.reason}
        return {name: value for name, value in known.items() if value is not None}


def how_it_ended(tx: Transaction, name: str, party: str, owner: str | None) -> Ending | None:
    """How the newest hold of a party ended, under a label where one is given; None where the log does not tell."""
    log = newest_of(tx, "lock", name, LOOKED_AT_MAX)
    for place, one in enumerate(log):
        if one.type in _GRANTS and _is_of(one.data, party, owner):
            return _ending(one, log[:place])
    return None


def _is_of(data: dict[str, Any], party: str, owner: str | None) -> bool:
    known = data.get("party") == party  # versions before there were parties told of none
    return known and owner in (None, data["owner"] or data["speaker"])


def _ending(grant: Happened, later: Sequence[Happened]) -> Ending:
    """What became of a hold after it was granted. Where nobody ended it, its time did, though nobody has noted that."""
    expires_at = grant.data["expires_at"]
    for one in reversed(later):
        if _lasts(one, grant):
            expires_at = one.data["expires_at"]
        if _ends(one, grant):
            return _as_told(one, expires_at)
    return Ending("expired", expires_at)


def _lasts(one: Happened, grant: Happened) -> bool:
    return one.version == grant.version and "expires_at" in one.data


def _ends(one: Happened, grant: Happened) -> bool:
    if one.type == "lock.handed_over":
        return one.data["of"] == {name: grant.data[name] for name in ("owner", "party")}
    return one.version == grant.version and one.type in _HOW


def _as_told(one: Happened, expires_at: Micros) -> Ending:
    how = _HOW[one.type](one.data)
    if one.type in _BY_NOBODY:
        return Ending(how, min(one.at, expires_at))
    return Ending(how, one.at, one.actor, one.data.get("reason"))


def _released(data: Mapping[str, Any]) -> str:
    return "was taken away by force" if "forced_from" in data else "was released"


_BY_NOBODY = ("lock.expired", "lock.abandoned")
_HOW: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "lock.released": _released,
    "lock.handed_over": lambda data: f"was handed over to {data['speaker']}",
    "lock.expired": lambda _: "expired",
    "lock.abandoned": lambda _: "was freed, since your instance was lost,",
}
