"""What is kept for how long: finished work leaves the hot tables, and the event log is thinned out.

Both are system tasks, done in batches small enough to disturb nobody.
"""

from dataclasses import dataclass

from mcp_server.domain.task_spec import TaskSpec
from mcp_server.domain.values import SECOND, Micros, iso
from mcp_server.services.context import SYSTEM_CALL, Context
from mcp_server.services.ports import EventThinning, Place, TaskTimers
from mcp_server.services.system_tasks import SystemTasks

ARCHIVE_AT_ONCE = 500
ARCHIVE_KIND = "system.archive"
THIN_AT_ONCE = 200
THIN_KIND = "system.thin_events"


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days what is kept: finished work in the hot tables, and events in full."""

    finished_days: float
    events_days: float


class Retention:
    """Decides what is old, and moves or drops it."""

    def __init__(
        self, context: Context, timers: TaskTimers, thinning: EventThinning, system: SystemTasks, start: Place
    ) -> None:
        self._context = context
        self._timers = timers
        self._thinning = thinning
        self._system = system
        self._start = start

    async def begin(self, keep: Keep) -> None:
        """Queue the system tasks for which there is something to do; each kind once an hour at most, or once a day for
        events, whichever process asks first."""
        fetch_one, now = self._context.store.fetch_one, iso(self._context.clock())
        if await fetch_one("anything_archivable", before=self._before(keep.finished_days)) is not None:
            await self._queue("Archive finished tasks", ARCHIVE_KIND, now[:13])
        if await fetch_one("any_event_before", before=self._before(keep.events_days)) is not None:
            await self._queue("Thin out the event log", THIN_KIND, now[:10])

    async def archive_some(self, keep: Keep) -> int:
        """Move one small batch of finished tasks out of the hot table; how many."""
        origin = self._context.origin(SYSTEM_CALL)
        before = self._before(keep.finished_days)
        return await self._context.store.write(self._timers.archive, origin, before, ARCHIVE_AT_ONCE)

    async def horizon(self, keep: Keep) -> Place | None:
        """Give up the events that are too old: from now on, cursors before the place returned are refused."""
        origin = self._context.origin(SYSTEM_CALL)
        return await self._context.store.write(self._thinning.begin_thinning, origin, self._before(keep.events_days))

    async def thin_some(self, after: Place | None, horizon: Place) -> tuple[Place | None, int]:
        """Look at one small batch of old events; where to go on (None: at the end), and how many were dropped."""
        place, origin = after or self._start, self._context.origin(SYSTEM_CALL)
        done = await self._context.store.write(self._thinning.thin_out, origin, place, horizon, THIN_AT_ONCE)
        return done.position, done.dropped

    async def _queue(self, title: str, kind: str, when: str) -> None:
        await self._system.create(TaskSpec(title=title, kind=kind, idempotency_key=f"{kind}:{when}"))

    def _before(self, days: float) -> Micros:
        return self._context.clock() - round(days * 86_400 * SECOND)
