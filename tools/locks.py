"""Tools of named locks."""

from collections.abc import Sequence

from mcp_server.domain.locks.model import TOLD_MAX, AcquireLock, FindLocks, ReleaseLock
from mcp_server.domain.locks.transactions import Acquired
from mcp_server.domain.locks.views import AcquiredLock, FoundLocks, LineView, LockView, PlaceView, ReleasedLock
from mcp_server.kernel.authority import VIA, Permission
from mcp_server.kernel.errors import Conflict, OpsError
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.times import iso
from mcp_server.kernel.waiting import WAIT_SECONDS_MAX
from tools.spec import READ, UPDATE, Alone, Part, Tool, listed


def _who(one: LockView | PlaceView) -> str:
    return one.owner if one.speaker is None else f"{named(one.owner)} ({one.speaker})"


def _holders(holds: Sequence[LockView]) -> str:
    return "; ".join(map(_holder, holds))


def _holder(one: LockView) -> str:
    """Who holds it, and what is known of whether it still lives."""
    token = "" if one.fencing_token is None else f", fencing token {one.fencing_token}"
    seen = "" if one.last_seen_seconds_ago is None else f", last heard of {one.last_seen_seconds_ago} s ago"
    free = f": free if it is not heard of until {one.free_if_silent_until}" if one.free_if_silent_until else ""
    return f"{_who(one)} holds {named(one.name)} ({one.mode}, {one.seconds_left} s left{token}{seen}{free})"


def _if_silent(one: LockView) -> str:
    return f", and not beyond {one.free_if_silent_until} unless it is heard of" if one.free_if_silent_until else ""


def _say_acquired(result: AcquiredLock) -> str:
    if result.lock is not None:
        lock = result.lock
        token = f"with fencing token {lock.fencing_token}"
        shared = " (shared)" if lock.mode == "shared" else ""
        held = f"{_who(lock)} holds {named(lock.name)}{shared} {token} for {lock.seconds_left} s{_if_silent(lock)}."
        before = "" if lock.instead_of is None else f" It took the place of {lock.instead_of}."
        said = f"{held}{before}{_kept(lock.unchanged)}"
        return " ".join((said, *(f"But {one}" for one in result.warnings or ())))
    line = "; ".join(f"{_who(one)} waits for {named(one.name)} before you ({one.mode})" for one in result.line or ())
    why = "; ".join(filter(None, (_holders(result.held_by or ()), "and others" if result.more else "", line)))
    return f"Not acquired: {why}. {_what_next(result)}"


def _kept(unchanged: bool | None) -> str:
    """That a hold lasts as long as it did, which is longer than was asked for."""
    return " That is as long as before: a hold is never cut short, only released." if unchanged else ""


def _what_next(result: AcquiredLock) -> str:
    """What gets the lock: to wait, where that can be long enough; else whoever holds it."""
    holds = result.held_by or ()
    left = max((one.seconds_left for one in holds), default=0)
    if left <= WAIT_SECONDS_MAX or all(one.free_if_silent_until for one in holds):
        return "A place in line ends with its call. Call again with wait_seconds."
    return (
        f"It is free in {left} s at the latest, longer than one call waits: have its holder release it or give it to "
        "you (locks_release(to_agent=...)); with control, locks_release(force=true) takes it away."
    )


_FOR_ANOTHER = " It is another's, for whom you kept it; without renew_seconds, force takes it away."


def _say_released(result: ReleasedLock) -> str:
    lock = result.lock
    if lock is None:
        return f"Released: {result.was}.{_say_forced(result.forced_from)}"
    said = f"{_who(lock)} holds {named(lock.name)} until {lock.expires_at}"
    if result.handed_to is None:
        whose = "" if lock.renewed_for is None else _FOR_ANOTHER
        return f"{said}{_if_silent(lock)}.{_kept(lock.unchanged)}{whose}"
    token = "" if lock.fencing_token is None else f" under fencing token {lock.fencing_token}"
    # What is held under an instance is free once that is silent; the heir's is held until its time is over.
    tie = f", no longer tied to {result.was}" if (result.was or "").startswith("instance_") else ""
    said = f"{said}{token}{tie}.{_kept(lock.unchanged)}"
    return f"{said} It is not told of that: messages_send(to=[{quoted(result.handed_to)}], body=...) does."


def _say_forced(loser: str | None) -> str:
    """Whether the one hears of it that a lock was taken away from."""
    if loser is None:
        return ""
    to = loser.partition(VIA)[0].removeprefix("agent:")
    return f" It hears of that when it next names the lock; messages_send(to=[{quoted(to)}], body=...) tells it now."


def _say_found(result: FoundLocks) -> str:
    if result.free:
        return "It is free: nobody holds it, or a glob that means it, or waits for it."
    lines = "; ".join(map(_say_line, result.locks))
    return f"{listed(len(result.locks), 'lock', result.omitted)}{lines and f' {lines}.'}"


def _say_line(lock: LineView) -> str:
    """Who has it and who waits: how and for how long stands in the data."""
    waiting = f", waiting: {', '.join(map(_waits, lock.line))}" if lock.line else ""
    verb = "hold" if len(lock.holders) > 1 else "holds"
    return f"{', '.join(map(_who_until, lock.holders)) or 'nobody'} {verb} {named(lock.name)}{waiting}"


def _who_until(one: LockView) -> str:
    silent = f", free from {one.free_if_silent_until} on if it stays silent" if one.free_if_silent_until else ""
    return f"{_who(one)} (until {one.expires_at}{silent})"


def _waits(one: PlaceView) -> str:
    return _who(one) if one.since is None else f"{_who(one)} (since {one.since})"


def _says_acquire(args: AcquireLock) -> str:
    return f"Acquire the lock {named(args.name)}, {args.mode}, for {args.ttl_seconds:g} seconds."


def _says_release(args: ReleaseLock) -> str:
    what = "Renew" if args.renew_seconds is not None else "Release"
    handed = f" and give it to {named(args.to_agent)}" if args.to_agent is not None else ""
    return f"{what}{' by force' if args.force else ''} the lock {named(args.name)}{handed}."


def _is_held(done: Acquired) -> OpsError | None:
    if done.hold is not None:
        return None
    holds = [
        f"{other.claim.said()} holds {named(other.name)} until {iso(other.expires_at)}"
        for other in done.others[:TOLD_MAX]
    ]
    waits = [f"{claim.said()} waits for {named(claim.name)}" for claim in done.before]
    return Conflict(
        f"The lock was not acquired: {'; '.join([*holds, *waits])}.",
        next="Call again once it is free: locks_acquire can wait.",
    )


TOOLS = (
    Tool(
        name="locks_acquire",
        title="Acquire a lock",
        description="Reserve a name before touching what it stands for. Names may be paths and globs: src/** keeps out "
        "src/a.py. Pass fencing_token on to what you change.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=AcquireLock,
        result=AcquiredLock,
        does=lambda desk: desk.locks.acquire,
        write=lambda desk: desk.locks.acquire_now,
        part=Part(
            _says_acquire,
            failed=_is_held,
            refers={"name": "lock"},
            only_now=frozenset(("wait_seconds",)),
            alone=lambda args: Alone("one that waits cannot hold a transaction up") if args.wait_seconds else None,
        ),
        say=_say_acquired,
        speaks="owner",
    ),
    Tool(
        name="locks_release",
        title="Release a lock",
        description="Give a lock back, keep it for longer (renew_seconds from now) or give it to_agent. force needs "
        "control.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=ReleaseLock,
        result=ReleasedLock,
        write=lambda desk: desk.locks.release,
        part=Part(_says_release, refers={"name": "lock", "to_agent": "agent"}),
        others_words=False,
        say=_say_released,
        speaks="owner",
    ),
    Tool(
        name="locks_find",
        title="Find locks",
        description="Who holds which lock, and who waits for it.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=FindLocks,
        result=FoundLocks,
        does=lambda desk: desk.locks.find,
        unsaid=frozenset(("line",)),
        say=_say_found,
    ),
)
