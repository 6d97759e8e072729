"""The system task of the event log."""

from mcp_server.domain.events.retention import EventRetention
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services

THIN_KIND = "system.thin_events"


def thin_events(services: Services) -> Handler:
    """Replaces old events by snapshots."""

    async def handle(job: Job) -> dict[str, int]:
        retention, place, dropped = services.get(EventRetention), None, 0
        horizon = await retention.horizon()
        while horizon is not None:
            place, more = await retention.thin_some(place, horizon)
            dropped += more
            if place is None:
                break
            await job.report(f"{dropped} events dropped")
        return {"dropped": dropped}

    return handle
