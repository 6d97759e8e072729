"""What is said of a mail that goes out all the same, and may not be meant so."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from mcp_server.domain.email.alike import Alike
from mcp_server.kernel.addresses import plain_address
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.times import Micros, iso, micros

_READERS_NAMED_MAX = 5


def twice(alike: Alike, what: str) -> str:
    """What is said of the same words to the same people, just before."""
    more = f" and {len(alike.readers) - _READERS_NAMED_MAX} more" if len(alike.readers) > _READERS_NAMED_MAX else ""
    to = ", ".join(map(named, alike.readers[:_READERS_NAMED_MAX])) + more or "the same people"
    return (
        f"The same words to {to} were queued {alike.seconds_ago} s ago as {alike.email_id}; {what}. An idempotency_key "
        "keeps a repeated call from sending twice."
    )


_PLACEHOLDER = re.compile(r"\{\{[^{}\n]{1,60}\}\}")


def not_filled(*texts: str | None) -> list[str]:
    """What is said of a mail in which something stands as templates have it: what is filled in is a template alone."""
    left = list(dict.fromkeys(found for text in texts for found in _PLACEHOLDER.findall(text or "")))
    if not left:
        return []
    return [
        f"{', '.join(map(quoted, left[:_READERS_NAMED_MAX]))} goes out as it stands: templates alone are filled in."
    ]


def passed(send_at: datetime | None, now: Micros) -> list[str]:
    """What is said of a mail whose time has passed."""
    if send_at is None or micros(send_at) >= now:
        return []
    return [f"Its send_at, {iso(micros(send_at))}, has passed: it would go at once."]


def without_dots(addresses: Iterable[str]) -> list[str]:
    """What is said of hosts that only a network of one's own knows: more often the end of a name is missing."""
    # A mail to the machine itself is meant so.
    hosts = dict.fromkeys(
        host for one in addresses if "." not in (host := one.rpartition("@")[2]) and host != "localhost"
    )
    return [f"{', '.join(map(named, hosts))} has no dot: a host of your own network?"] if hosts else []


def open_addresses(*fields: Sequence[str]) -> list[str]:
    """What is said before a mail goes to more than two, who see each other's addresses in it: two write to each other,
    and what is sent cannot be sent otherwise any more."""
    seen = {plain_address(one) for field in fields for one in field}
    if len(seen) <= 2:
        return []
    return [f"All {len(seen)} of to and cc see each other's address in this one mail; bcc, or a call each, hides them."]
