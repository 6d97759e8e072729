"""Tools of named locks."""

from pydantic import Field

from mcp_server.domain.locks import Hold, LockMode, LockRequest
from mcp_server.domain.users import Permission
from mcp_server.domain.values import Line, iso
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from tools.spec import UPDATE, Arguments, Result, Tool, Waiting


class LockView(Result):
    """A hold on a lock."""

    name: str
    owner: str
    mode: str
    fencing_token: int
    expires_at: str


class AcquireArguments(Waiting):
    """See `locks_acquire`."""

    name: Line
    owner: Line = Field(description="You; by your instance_id the lock is free as soon as that instance is lost")
    mode: LockMode = "exclusive"
    ttl_seconds: float = Field(default=60, gt=0, le=7 * 86_400, allow_inf_nan=False)


class AcquireResult(Result):
    """The lock; or who holds it."""

    lock: LockView | None = None
    held_by: list[LockView] | None = None


async def acquire(desk: Desk, call: Call, args: AcquireArguments) -> AcquireResult:
    """Take a lock."""
    request = LockRequest.model_construct(
        name=args.name, owner=args.owner, mode=args.mode, ttl_seconds=args.ttl_seconds
    )
    hold, others = await desk.locks.acquire(call, request, args.wait_seconds)
    if hold is None:
        return AcquireResult.model_construct(held_by=[_lock(other) for other in others])
    return AcquireResult.model_construct(lock=_lock(hold))


class ReleaseArguments(Arguments):
    """See `locks_release`."""

    name: Line
    owner: Line
    fencing_token: int
    renew_seconds: float | None = Field(default=None, gt=0, le=7 * 86_400, allow_inf_nan=False)


class ReleaseResult(Result):
    """Released, or the renewed lock."""

    released: bool | None = None
    lock: LockView | None = None


async def release(desk: Desk, call: Call, args: ReleaseArguments) -> ReleaseResult:
    """Give a lock back, or keep it for longer."""
    if args.renew_seconds is None:
        await desk.locks.release(call, args.name, args.owner, args.fencing_token)
        return ReleaseResult.model_construct(released=True)
    hold = await desk.locks.renew(call, args.name, args.owner, args.fencing_token, args.renew_seconds)
    return ReleaseResult.model_construct(lock=_lock(hold))


def _lock(hold: Hold) -> LockView:
    return LockView.model_construct(
        name=hold.name,
        owner=hold.owner,
        mode=hold.mode,
        fencing_token=hold.fencing_token,
        expires_at=iso(hold.expires_at),
    )


def _say_acquired(result: AcquireResult) -> str:
    if result.lock is not None:
        return f"{result.lock.owner} holds {result.lock.name!r} with fencing token {result.lock.fencing_token}."
    holders = ", ".join(f"{lock.owner} until {lock.expires_at}" for lock in result.held_by or ())
    return f"Not acquired; held by {holders or 'nobody, but others wait before you'}. Call again with wait_seconds."


TOOLS = (
    Tool(
        name="locks_acquire",
        title="Acquire a lock",
        description="Reserve a name before touching what it stands for. Pass fencing_token on to what you change.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=AcquireArguments,
        result=AcquireResult,
        run=acquire,
        say=_say_acquired,
    ),
    Tool(
        name="locks_release",
        title="Release or renew a lock",
        description="Give a lock back; with renew_seconds, keep it for longer instead.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=ReleaseArguments,
        result=ReleaseResult,
        run=release,
        say=lambda r: "Released." if r.released else f"Renewed until {r.lock.expires_at if r.lock else ''}.",
    ),
)
