"""Who keeps the newest events out of the log, as people are told of it."""

from typing import NamedTuple

from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Row

HOLDS_AFTER_SECONDS = 5
"""A transaction that has been open for so long is named."""


class LogHolder(NamedTuple):
    """The oldest transaction that is open."""

    session: str
    remedy: str


def log_holder(row: Row) -> LogHolder:
    """What a row of the statement `log_holder` says."""
    since = f", since {row['since']}" if row["since"] else ""
    where = f"in the database {named(row['database'] or '?')}{since}"
    if row["prepared"] is not None:
        text = f"the prepared transaction {named(row['prepared'])} {where}"
        return LogHolder(text, "End it with COMMIT PREPARED or ROLLBACK PREPARED.")
    place = f" at {row['address']}" if row["address"] else ""
    who = f"{named(row['application'] or 'no name')}{place}, {row['state'] or 'state unknown'}"
    return LogHolder(
        f"session {row['pid']} ({who}) {where}",
        f"Let its program end the transaction, or end it: SELECT pg_terminate_backend({row['pid']}).",
    )
