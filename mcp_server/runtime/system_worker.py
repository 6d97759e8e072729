"""The worker that does system tasks: inside every server, or alone with `worker --system`.

Leases, retries and dead letters are the queue's own. A task is looked for once a second, and at once when this process
has created one.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import structlog

from mcp_server.domain.errors import LeaseLost, OpsError
from mcp_server.domain.task_spec import FailureSpec, ProgressSpec
from mcp_server.runtime.handlers import Handler, HandlerFailed
from mcp_server.services.context import SYSTEM_CALL
from mcp_server.services.desk import Desk
from mcp_server.services.tasks import ClaimedTask

LEASE_SECONDS = 30.0
RENEW_EVERY_SECONDS = LEASE_SECONDS / 4
LOOK_EVERY_SECONDS = 1.0
CONCURRENCY = 4
log = structlog.stdlib.get_logger("datamcp.system")


class SystemWorker:
    """Claims system tasks and runs their handlers, a few at a time."""

    def __init__(self, desk: Desk, handlers: Mapping[str, Handler], *, concurrency: int = CONCURRENCY) -> None:
        self._desk = desk
        self._handlers = handlers
        self._concurrency = concurrency
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        desk.system.on_created = self._woken.set

    async def run(self) -> None:
        """Work until cancelled; what runs then is handed back to the queue."""
        try:
            while True:
                try:
                    await self.look()
                except OpsError as error:
                    log.warning("system_worker_failed", code=error.code, message=error.message)
                except Exception:  # whatever goes wrong, the worker must live: mails and deployments wait for it
                    log.exception("system_worker_bug")
                # Not wait_for: on Python 3.11 it swallows a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_SECONDS):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def look(self) -> int:
        """Start what is ready and there is room for; how many tasks that was."""
        room = self._concurrency - len(self._running)
        if room <= 0 or not await self._desk.system.any_ready():
            return 0
        claimed = await self._desk.system.claim(tuple(self._handlers), room, LEASE_SECONDS)
        for one in claimed:
            task = asyncio.create_task(self._work(one), name=one.task.id)
            self._running.add(task)
            task.add_done_callback(self._done)
        return len(claimed)

    async def idle(self) -> None:
        """Wait until nothing runs here."""
        while self._running:
            await asyncio.wait(self._running)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()

    async def _work(self, claimed: ClaimedTask) -> None:
        """Run one attempt with its lease kept alive."""
        tasks, task_id, token = self._desk.tasks, claimed.task.id, claimed.lease_token
        renewing = asyncio.create_task(self._renew(claimed, asyncio.current_task()))
        try:
            result, failure = await self._attempt(claimed)
            await tasks.finish(SYSTEM_CALL, task_id, token, result=result, failure=failure)
        except asyncio.CancelledError:
            tasks.put_back(SYSTEM_CALL, task_id, token, "its worker stopped")
        except OpsError as error:
            log.warning("system_task_lost", task_id=task_id, code=error.code, message=error.message)
        finally:
            renewing.cancel()

    async def _attempt(self, claimed: ClaimedTask) -> tuple[object, FailureSpec | None]:
        async def report(progress: ProgressSpec) -> None:
            await self._desk.tasks.report(SYSTEM_CALL, claimed.task.id, claimed.lease_token, progress)

        try:
            return await self._handlers[claimed.task.kind](claimed.task, report), None
        except HandlerFailed as error:
            return None, FailureSpec(
                message=error.message,
                code=error.code,
                retryable=error.retryable,
                retry_after_seconds=error.retry_after_seconds,
            )
        except OpsError as error:
            return None, FailureSpec(message=error.message, code=error.code, retryable=True)
        except Exception:
            log.exception("system_task_bug", task_id=claimed.task.id, kind=claimed.task.kind)
            message = f"The handler hit a bug; the server's log has the details under task id {claimed.task.id}."
            return None, FailureSpec(message=message, code="bug", retryable=True)

    async def _renew(self, claimed: ClaimedTask, work: "asyncio.Task[None] | None") -> None:
        """Keep the lease; stop the work when it is lost or cancellation was asked for."""
        async with self._desk.changes.listen("task") as listener:
            clock = asyncio.get_running_loop().time
            renew_at = clock() + RENEW_EVERY_SECONDS
            while True:
                events = await listener.wait(renew_at - clock())
                if clock() < renew_at and not _wants_stop(events, claimed.task.id):
                    continue
                if not await self._goes_on(claimed):
                    break
                renew_at = clock() + RENEW_EVERY_SECONDS
        if work is not None:
            work.cancel()

    async def _goes_on(self, claimed: ClaimedTask) -> bool:
        try:
            task = await self._desk.tasks.report(SYSTEM_CALL, claimed.task.id, claimed.lease_token)
        except LeaseLost:
            return False
        except OpsError:
            return True  # the store may come back before the lease ends
        return not task.cancel_requested


def _wants_stop(events: Iterable[Mapping[str, object]], task_id: str) -> bool:
    return any(event["aggregate_id"] == task_id and event["type"] == "task.cancel_requested" for event in events)
