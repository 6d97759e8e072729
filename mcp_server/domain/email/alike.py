"""Mails of the same words to some of the same people: what a repeated call looks like that brought no key."""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.model import Composed
from mcp_server.kernel.addresses import kept_address
from mcp_server.kernel.authority import principal_of
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros

ALIKE_WITHIN = 600 * SECOND
"""How long the same words to somebody are remarked on."""


class Alike(NamedTuple):
    """A mail of the same words, how long ago it was queued, and who gets them twice; nobody is named where all do."""

    email_id: str
    seconds_ago: int
    readers: tuple[str, ...] = ()


def alike_to(content: Composed, now: Micros) -> dict[str, Any]:
    """What finds the mails of these words: the parameters of `emails_alike`."""
    return {
        "since": now - ALIKE_WITHIN,
        "until": now,
        "subject": content.subject,
        "text": content.text or "",
        "html": content.html or "",
    }


def sent_just_before(rows: Sequence[Row], spec: EmailSpec, origin: Origin) -> Alike | None:
    """The newest mail of the same words that the same principal had sent to one of the same people: in whatever order,
    as whoever is named to be shown, in to, cc or bcc, with whatever files.

    Args:
        rows: mails of these words, the newest first.
        spec: the mail.
        origin: who has it sent, and when.
    """
    readers = set(map(kept_address, (*spec.to, *spec.cc, *spec.bcc)))
    own = (row for row in rows if principal_of(row["created_by"]) == origin.principal)
    twice = ((row, readers & _readers(row)) for row in own)
    found = next(((row, who) for row, who in twice if who), None)
    if found is None:
        return None
    row, who = found
    named = () if who == readers == _readers(row) else tuple(sorted(who))
    return Alike(row["id"], (origin.at - row["created_at"]) // SECOND, named)


def _readers(row: Row) -> set[str]:
    fields = (json.loads(row[name]) for name in ("recipients", "cc", "bcc"))
    return set(map(kept_address, chain.from_iterable(fields)))
