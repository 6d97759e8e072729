"""What became of a transaction whose COMMIT got no answer: looked up, never guessed.

A transaction is known by its id, which came with the answer to its BEGIN, and by its last event, which is in the log if
it was committed and only then. The id tells whether it still runs. It does not tell more: a server that crashed, or a
standby that took over, may give out again an id of which it had written nothing down.
"""

import time
from typing import Any, Literal, NamedTuple

from mcp_server.kernel.errors import OpsError
from mcp_server.persistence.postgres.server import PostgresServer

Outcome = Literal["committed", "undone", "unknown"]
LOOKS_FOR_SECONDS = 12.0
"""How long callers wait for the answer to be found: a server that restarts is back by then."""
LOOKS_EVERY_SECONDS = 0.1
ENDS_AFTER_SECONDS = 0.5
"""A session that is still at it after so long, and whose client has gone, is ended: it would keep its rows locked."""

# In this order: what is found no longer to run writes nothing more into the log.
_STATUS = "SELECT pg_is_in_recovery(), pg_xact_status(CAST(%s AS xid8))"
_FROM_THE_FUTURE = "22023"
_LOGGED = """
SELECT FROM events WHERE xid = CAST(%s AS xid8) AND at = %s AND type = %s AND aggregate_type = %s AND aggregate_id = %s
  AND version = %s AND correlation_id = %s LIMIT 1
"""
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_xid::text::bigint = CAST(%s AS bigint) %% 4294967296 AND usename = current_user
"""


class Marker(NamedTuple):
    """An event as it stands in the log, but for what it tells."""

    at: int
    type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    correlation_id: str


def find_out(server: PostgresServer, xid: str, marker: Marker | None, seconds: float | None = None) -> Outcome:
    """What became of a transaction. Blocks, for some seconds at most.

    Args:
        server: where it ran, or whoever took over from it.
        xid: the transaction.
        marker: its last event; None where it wrote something and recorded nothing.
        seconds: for how long to look.
    """
    started = time.monotonic()
    limit = started + (LOOKS_FOR_SECONDS if seconds is None else seconds)
    while True:
        outcome = _look(server, xid, marker, may_end=time.monotonic() - started > ENDS_AFTER_SECONDS)
        if outcome is not None or time.monotonic() > limit:
            return outcome or "unknown"
        time.sleep(LOOKS_EVERY_SECONDS)


def _look(server: PostgresServer, xid: str, marker: Marker | None, *, may_end: bool) -> Outcome | None:
    """One look; None while it cannot be known."""
    try:
        connection = server.connect()
    except OpsError:
        return None
    try:
        with connection:
            status = _status(connection, xid)
            if status == "in progress":
                if may_end:
                    connection.execute(_END, (xid,))
                return None
            if marker is None:
                return "undone" if status == "aborted" else "unknown"
            return "undone" if connection.execute(_LOGGED, (xid, *marker)).fetchone() is None else "committed"
    except Exception as error:
        if server.is_engine_error(error):
            return None
        raise


def _status(connection: Any, xid: str) -> str | None:
    """`aborted` also where no transaction had that id yet. A standby may not have heard yet of what was committed."""
    try:
        is_standby, status = connection.execute(_STATUS, (xid,)).fetchone()
    except Exception as error:
        if getattr(error, "sqlstate", None) == _FROM_THE_FUTURE:
            return "aborted"
        raise
    return "in progress" if is_standby else status
