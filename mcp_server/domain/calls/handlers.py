"""The system tasks of calls: holding one until it is over, and forgetting what was said when its time is over."""

from mcp_server.domain.calls.retention import CallRetention
from mcp_server.domain.calls.views import outcome_of
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.kernel.services import Services


def hold_call(services: Services) -> Handler:
    """Holds one call; its outcome is the task's.

    Raises:
        HandlerFailed: the call has failed; it is not tried again, since who was to join is gone.
        OpsError: another server holds it, or the store cannot be reached; then it is.
    """

    async def handle(job: Job) -> dict[str, object]:
        from mcp_server.domain.calls.owner import CallOwner  # loaded by who holds a call

        call = await services.get(CallOwner).hold(job.input["call_id"])
        if call.status == "failed":
            raise HandlerFailed(f"The call {call.id} has failed: {call.reason}.", "call_failed", retryable=False)
        return outcome_of(call)

    return handle


def forget_calls(services: Services) -> Handler:
    """Forgets transcripts and recordings past their time."""

    async def handle(job: Job) -> dict[str, int]:
        forgotten = 0
        while some := await services.get(CallRetention).forget_some():
            forgotten += some
            await job.report(f"{forgotten} calls forgotten")
        return {"forgotten": forgotten}

    return handle
