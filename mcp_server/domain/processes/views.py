"""What callers see of processes: the end of their logs."""

from mcp_server.domain.processes.running import Tail
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso_or_none
from mcp_server.kernel.views import View

CUT = "Lines before these are gone: the log is bounded."
ROTATED = "The log was cut while the process wrote: lines in its midst may be missing."


class LogView(View):
    """The end of what a process has written, and what is known to be missing from it."""

    id: str
    status: str
    reason: str | None = None
    host: str | None = None
    pid: int | None = None
    exit: str | None = None
    started_at: str | None = None
    starts: int
    missing: list[str] | None = None
    log: str | None = None


def log_view(row: Row, tail: Tail | None) -> LogView:
    """A process with the end of its log; None where that cannot be read here."""
    known = tail or Tail("", False, False)
    missing = [said for is_so, said in ((known.cut, CUT), (known.rotated, ROTATED)) if is_so]
    if tail is None:
        missing = [f"The log lies on the host {row['host']}." if row["host"] else "It has written nothing yet."]
    return LogView(
        id=row["id"],
        status=row["status"],
        reason=row["reason"],
        host=row["host"],
        pid=row["pid"],
        exit=row["exit"],
        started_at=iso_or_none(row["started_at"]),
        starts=row["starts"],
        missing=missing or None,
        log=known.text or None,
    )
