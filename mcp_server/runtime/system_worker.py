"""The worker that does system tasks: inside every server, or alone with `worker --system`.

Leases, retries and dead letters are the queue's own. Each kind has slots of its own, so that one which takes minutes
holds up no other. A task is looked for at once when this process has created one, and about a second after another one
has.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import structlog

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import FinishTask, GiveUpTask, ReportTask
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.domain.tasks.spec import FailureSpec, ProgressSpec
from mcp_server.domain.tasks.system import SYSTEM_WORK
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.area import SystemKind
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import LeaseLost, OpsError
from mcp_server.kernel.handling import HandlerFailed, Job
from mcp_server.kernel.json_text import storable

LEASE_SECONDS = 30.0
RENEW_EVERY_SECONDS = LEASE_SECONDS / 4
IDLE_SECONDS_MAX = 60.0
"""How long to sleep while there is nothing to do, and nobody commits."""
log = structlog.stdlib.get_logger("datamcp.system")


class SystemWorker:
    """Claims system tasks and runs their handlers, of each kind a few at a time."""

    def __init__(self, desk: Desk, kinds: Sequence[SystemKind]) -> None:
        self._desk = desk
        self._kinds = {kind.name(desk): kind for kind in kinds}
        self._busy: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        desk.context.database.wakers[SYSTEM_WORK] = self._woken.set

    async def run(self) -> None:
        """Work until cancelled; what runs then is handed back to the queue."""
        try:
            await self._desk.loops.keep("system-worker", self._look_always)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _look_always(self) -> NoReturn:
        feed = self._desk.changes
        while True:
            seen = feed.commits
            await self.look()
            await feed.rest(self._woken, seen, IDLE_SECONDS_MAX)
            self._woken.clear()

    async def look(self) -> int:
        """Start what is ready and there is room for; how many tasks that was."""
        free = self._free()
        ready = await self._desk.system.ready(free) if free else ()
        if not ready:
            return 0
        room = {name: free[name] for name in ready}
        claimed = await self._desk.system.claim(room, LEASE_SECONDS, self._put_back)
        for one in claimed:
            self._start(one)
        return len(claimed)

    def _free(self) -> dict[str, int]:
        free = {name: kind.at_once - self._busy[name] for name, kind in self._kinds.items()}
        return {name: slots for name, slots in free.items() if slots > 0}

    async def idle(self) -> None:
        """Wait until nothing runs here."""
        while self._running:
            await asyncio.wait(self._running)

    def _start(self, claimed: ClaimedTask) -> None:
        kind = claimed.task.kind
        task = asyncio.create_task(self._work(claimed), name=claimed.task.id)
        self._running.add(task)
        self._busy[kind] += 1

        def done(_: "asyncio.Task[None]") -> None:
            self._running.discard(task)
            self._busy[kind] -= 1
            self._woken.set()
            if task.cancelled():  # before its first step
                self._put_back(claimed)

        task.add_done_callback(done)

    async def _work(self, claimed: ClaimedTask) -> None:
        """Run one attempt with its lease kept alive."""
        renewing = asyncio.create_task(self._renew(claimed, asyncio.current_task()))
        try:
            await self._desk.tasks.finish(SYSTEM_CALL, await self._attempt(claimed))
        except asyncio.CancelledError:
            self._put_back(claimed)
        except OpsError as error:
            log.warning("system_task_lost", task_id=claimed.task.id, code=error.code, message=error.message)
        finally:
            renewing.cancel()

    def _put_back(self, claimed: ClaimedTask) -> None:
        """What was claimed and will not be done here does not stay leased."""
        self._desk.tasks.put_back(SYSTEM_CALL, GiveUpTask(claimed.task.id, claimed.lease_token, "its worker stopped"))

    async def _attempt(self, claimed: ClaimedTask) -> FinishTask:
        """Do the task, within the time its kind may take; how it ended."""
        task, token = claimed.task, claimed.lease_token
        kind = self._kinds[task.kind]

        async def report(message: str) -> None:
            progress = ProgressSpec(message=message)
            await self._desk.tasks.report(
                SYSTEM_CALL, ReportTask(task_id=task.id, lease_token=token, progress=progress)
            )

        limit = asyncio.timeout(kind.seconds_max)
        try:
            async with limit:
                result = await kind.handler(self._desk)(Job(task.id, token, task.input, report))
            return FinishTask(task_id=task.id, lease_token=token, outcome="completed", result=result)
        except Exception as error:
            failure = _out_of_time(kind) if limit.expired() else _failure(error, task)
            return FinishTask(task_id=task.id, lease_token=token, outcome="failed", error=failure)

    async def _renew(self, claimed: ClaimedTask, work: "asyncio.Task[None] | None") -> None:
        """Keep the lease; stop the work when it is lost or cancellation was asked for."""
        await self._desk.loops.keep("leases", lambda: self._hold(claimed))
        if work is not None:
            work.cancel()

    async def _hold(self, claimed: ClaimedTask) -> None:
        """Keep the lease until it is lost or cancellation was asked for."""
        async with self._desk.changes.listen("task") as listener:
            clock = asyncio.get_running_loop().time
            renew_at = clock() + RENEW_EVERY_SECONDS
            while True:
                events = await listener.wait(renew_at - clock())
                if clock() < renew_at and not _wants_stop(events, claimed.task.id):
                    continue
                if not await self._goes_on(claimed):
                    return
                renew_at = clock() + RENEW_EVERY_SECONDS

    async def _goes_on(self, claimed: ClaimedTask) -> bool:
        command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
        try:
            return not (await self._desk.tasks.report(SYSTEM_CALL, command)).cancel_requested
        except LeaseLost:
            return False
        except OpsError:
            return True  # the store may come back before the lease ends


def _out_of_time(kind: SystemKind) -> FailureSpec:
    message = f"It took longer than the {kind.seconds_max:g} seconds that tasks of its kind may take."
    return FailureSpec(message=message, code="timed_out", retryable=True)


def _failure(error: Exception, task: TaskView) -> FailureSpec:
    """What a handler's exception says of the attempt."""
    match error:
        case HandlerFailed():
            message, code, retryable = storable(error.message), error.code, error.retryable
            after = error.retry_after_seconds
            return FailureSpec(message=message, code=code, retryable=retryable, retry_after_seconds=after)
        case OpsError():
            return FailureSpec(message=storable(error.message), code=error.code, retryable=True)
        case _:
            log.error("system_task_bug", task_id=task.id, kind=task.kind, exc_info=error)
            told = f"The handler hit a bug; the server's log has the details under task id {task.id}."
            return FailureSpec(message=told, code="bug", retryable=True)


def _wants_stop(events: Iterable[Mapping[str, object]], task_id: str) -> bool:
    return any(event["aggregate_id"] == task_id and event["type"] == "task.cancel_requested" for event in events)
