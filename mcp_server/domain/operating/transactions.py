"""Transaction functions about rules in force and restored databases."""

from typing import Any

from mcp_server.domain.events.newest import Newest, end_of_log, newest_of
from mcp_server.domain.operating.model import DATABASE, RULES, How, InForce, Source
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def tell_rules(tx: Transaction, origin: Origin, rules: InForce) -> bool:
    """Record that the rules in force are others than those recorded last; whether they are."""
    tx.one("rules_guard")
    known = tx.notes.get((RULES, RULES)) or newest_of(tx, RULES, RULES)
    if not are_others(known, rules):
        return False
    event = rules.changed(_next(known))
    tx.append(origin, event)
    # An event that was just appended may not be found yet, and several of these may share a transaction.
    tx.notes[RULES, RULES] = Newest(event.version, event.data)
    return True


def tell_restored(tx: Transaction, origin: Origin, how: How, file: str) -> None:
    """Record that the database holds what a file held, up to its last event."""
    last = end_of_log(tx)
    seq, at = (None, None) if last is None else last
    version = _next(newest_of(tx, DATABASE, DATABASE))
    tx.append(origin, Source(how, file, seq, at).restored(version, origin.at))


def are_others(known: Newest | None, rules: InForce) -> bool:
    """Whether rules are others than those recorded last; nothing recorded means none."""
    return rules.digest != (None if known is None else known.data.get("digest"))


def rules_whole(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """What is known of the rules, for a snapshot event."""
    return _whole(newest_of(tx, RULES, id_))


def database_whole(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """What is known of where the database came from, for a snapshot event."""
    return _whole(newest_of(tx, DATABASE, id_))


def _whole(newest: Newest | None) -> dict[str, Any] | None:
    return None if newest is None else {**newest.data, "version": newest.version}


def _next(known: Newest | None) -> int:
    return 1 if known is None else known.version + 1
