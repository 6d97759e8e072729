"""Tools of named locks."""

from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.locks.views import AcquiredLock, ReleasedLock
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.quoting import named
from tools.spec import UPDATE, Tool


def _say_acquired(result: AcquiredLock) -> str:
    if result.lock is not None:
        return f"{named(result.lock.owner)} holds {result.lock.name!r} with fencing token {result.lock.fencing_token}."
    holders = ", ".join(f"{named(lock.owner)} until {lock.expires_at}" for lock in result.held_by or ())
    return f"Not acquired; held by {holders or 'nobody, but others wait before you'}. Call again with wait_seconds."


TOOLS = (
    Tool(
        name="locks_acquire",
        title="Acquire a lock",
        description="Reserve a name before touching what it stands for. Pass fencing_token on to what you change.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=AcquireLock,
        result=AcquiredLock,
        does=lambda desk: desk.locks.acquire,
        write=lambda desk: desk.locks.acquire_now,
        say=_say_acquired,
    ),
    Tool(
        name="locks_release",
        title="Release or renew a lock",
        description="Give a lock back; with renew_seconds, keep it for longer instead.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=ReleaseLock,
        result=ReleasedLock,
        write=lambda desk: desk.locks.release,
        others_words=False,
        say=lambda r: "Released." if r.released else f"Renewed until {r.lock.expires_at if r.lock else ''}.",
    ),
)
