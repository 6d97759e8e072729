"""The worker that runs a command for each task of one agent."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import ClaimTasks, EndAttempt, GiveUpTask, ReportTask
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.domain.tasks.spec import FailureSpec, ProgressSpec
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import AtCapacity, LeaseLost, OpsError
from mcp_server.kernel.views import dumped
from mcp_server.runtime.command_run import CommandRun
from mcp_server.runtime.endings import Endings, Refused

PROGRESS_EVERY_SECONDS = 0.5
CLAIM_WAIT_SECONDS = 20.0
AGAIN_AFTER_SECONDS = 1.0
CLAIMED_MAX = 100
log = structlog.stdlib.get_logger("datamcp.worker")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker runs, with what in its environment, and how much of it at once."""

    agent_id: str
    instance_id: str | None
    command: tuple[str, ...]
    concurrency: int = 1
    kinds: tuple[str, ...] | None = None
    lease_seconds: float = 30.0
    env: Mapping[str, str] = field(default_factory=dict[str, str])


class CommandWorker:
    """Claims tasks for one agent and runs the command for each.

    Set `drain` to stop claiming and finish what runs; `abort` to stop what runs, too, and hand it back.
    """

    def __init__(self, desk: Desk, call: Call, options: WorkerOptions) -> None:
        self._desk = desk
        self._call = call
        self._options = options
        self.drain = asyncio.Event()
        self.abort = asyncio.Event()
        self._attempts: dict[str, _Attempt] = {}
        self._ended = asyncio.Event()
        self._endings = Endings(desk, call)

    async def run(self) -> None:
        """Work until drained."""
        watching = [
            asyncio.create_task(self._desk.loops.keep("worker-watch", self._watch_tasks), name="worker-watch"),
            asyncio.create_task(self._watch_abort(), name="worker-abort"),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                await self._hand_out(group)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, self._endings.settled(), return_exceptions=True)

    async def _hand_out(self, group: asyncio.TaskGroup) -> None:
        """Claim for all free places together, until drained."""
        while not self.drain.is_set():
            if not (free := self._options.concurrency - len(self._attempts)):
                self._ended.clear()
                await _first_of(self._ended.wait(), self.drain.wait())
                continue
            for claimed in await self._claim_unless_drained(free):
                attempt = _Attempt(self._desk, self._call, self._options, self._endings, claimed)
                self._attempts[claimed.task.id] = attempt
                if self.abort.is_set():
                    attempt.stop("the worker was stopped")
                group.create_task(self._work(attempt), name=f"worker-{claimed.task.id}")

    async def _work(self, attempt: "_Attempt") -> None:
        try:
            await attempt.run()
        finally:
            del self._attempts[attempt.claimed.task.id]
            self._ended.set()

    async def _claim_unless_drained(self, free: int) -> list[ClaimedTask]:
        claiming = asyncio.create_task(self._claim(free))
        draining = asyncio.create_task(self.drain.wait())
        await asyncio.wait({claiming, draining}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        if not claiming.done():
            claiming.cancel()  # should it be committed all the same, the service puts the task back
            await asyncio.gather(claiming, return_exceptions=True)
        return [] if claiming.cancelled() else claiming.result()

    async def _claim(self, free: int) -> list[ClaimedTask]:
        options = self._options
        try:
            command = ClaimTasks(
                agent_id=options.agent_id,
                instance_id=options.instance_id,
                max_tasks=min(free, CLAIMED_MAX),
                kinds=options.kinds,
                lease_seconds=options.lease_seconds,
                wait_seconds=CLAIM_WAIT_SECONDS,
            )
            return (await self._desk.tasks.claim(self._call, command)).claims
        except AtCapacity:
            pass  # other instances of this agent work; there will be room
        except OpsError as error:
            log.warning("claim_refused", code=error.code, message=error.message)
        await asyncio.sleep(AGAIN_AFTER_SECONDS)
        return []

    async def _watch_tasks(self) -> None:
        """Let an attempt look at once when something happens to its task, such as a wish to cancel it."""
        for attempt in self._attempts.values():
            attempt.poke()  # something may have happened while this failed
        async for task_id, event in self._desk.tasks.changes():
            attempt = self._attempts.get(task_id)
            if attempt is not None and event != "task.reported":
                attempt.poke()

    async def _watch_abort(self) -> None:
        await self.abort.wait()
        for attempt in self._attempts.values():
            attempt.stop("the worker was stopped")


@dataclass(eq=False)
class _Attempt:
    """One leased task and the command that works on it."""

    desk: Desk
    call: Call
    options: WorkerOptions
    endings: Endings
    claimed: ClaimedTask
    _progress: ProgressSpec | None = None
    _stopped: str | None = None
    _poked: asyncio.Event = field(default_factory=asyncio.Event)

    def poke(self) -> None:
        """Report now instead of at the next heartbeat."""
        self._poked.set()

    def stop(self, why: str) -> None:
        """End the command and hand the task back."""
        self._stopped = why
        self._poked.set()

    async def run(self) -> None:
        """Run the command to its end, or stop it; the queue is told which."""
        task = self.claimed.task
        log.info("started", task_id=task.id, title=task.title, attempt=task.attempt)
        try:
            result, failure = await self._run_command()
            command = EndAttempt(
                task_id=task.id,
                lease_token=self.claimed.lease_token,
                outcome="completed" if failure is None else "failed",
                result=result,
                error=failure,
            )
            log.info("finished", task_id=task.id, status=await self.endings.end(command))
        except _Stopped as stopped:
            log.info("stopped", task_id=task.id, why=str(stopped))
            if stopped.hand_back:
                with contextlib.suppress(OpsError):
                    given_up = GiveUpTask(task.id, self.claimed.lease_token, str(stopped))
                    await self.desk.tasks.give_up(self.call, given_up)
        except (OpsError, Refused) as error:
            log.warning("lost", task_id=task.id, code=error.code, message=error.message)

    async def _run_command(self) -> tuple[object, FailureSpec | None]:
        task = self.claimed.task
        text = json.dumps(dumped(task) | {"parents": dumped(self.claimed).get("parents", [])})
        # A server that the command starts speaks as the agent; what it writes under the lease counts while it is held.
        variables = {
            "DATAMCP_TASK_ID": task.id,
            "DATAMCP_ATTEMPT": str(task.attempt),
            "DATAMCP_LEASE_TOKEN": self.claimed.lease_token,
            "DATAMCP_AGENT": self.options.agent_id,
        }
        try:
            run = await CommandRun.start(self.options.command, {**self.options.env, **variables})
        except OSError as error:
            message = f"The command {self.options.command[0]!r} cannot be started: {error.strerror or error}."
            return None, FailureSpec(message=message, code="not_started", retryable=False)
        ending = asyncio.create_task(run.finish(text, self._keep_progress))
        try:
            await self._accompany(ending)
            return ending.result()
        finally:
            if not ending.done():
                await run.stop()
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)

    async def _accompany(self, ending: "asyncio.Task[tuple[object, FailureSpec | None]]") -> None:
        """Keep the lease and pass progress on until the command ends.

        Raises:
            _Stopped: it must not go on: cancelled, timed out, its lease lost, or the worker stopped.
        """
        loop = asyncio.get_running_loop()
        timeout = self.claimed.task.timeout_seconds
        ends_at = None if timeout is None else loop.time() + timeout
        heartbeat = self.options.lease_seconds / 4
        while not ending.done():
            wait = heartbeat if ends_at is None else min(heartbeat, max(ends_at - loop.time(), 0.01))
            poked = asyncio.create_task(self._poked.wait())
            await asyncio.wait({ending, poked}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            poked.cancel()
            if ending.done():
                return
            self._require_going_on()
            if ends_at is not None and loop.time() >= ends_at:
                raise _Stopped(f"it ran longer than its timeout of {timeout:g} seconds", hand_back=False)
            self._poked.clear()
            await self._report()
            await asyncio.wait({ending}, timeout=min(PROGRESS_EVERY_SECONDS, heartbeat))

    def _require_going_on(self) -> None:
        if self._stopped is not None:
            raise _Stopped(self._stopped)

    async def _report(self) -> None:
        progress, self._progress = self._progress, None
        try:
            command = ReportTask(task_id=self.claimed.task.id, lease_token=self.claimed.lease_token, progress=progress)
            told = await self.desk.tasks.report(self.call, command)
        except LeaseLost as error:
            raise _Stopped(error.message, hand_back=False) from None
        if told.cancel_requested:
            raise _Stopped("cancellation was asked for")

    def _keep_progress(self, progress: ProgressSpec) -> None:
        self._progress = progress
        self._poked.set()


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several has come."""
    tasks = list(map(asyncio.create_task, waits))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Stopped(Exception):
    """The attempt must not go on. The queue itself ends one that ran out of time or lost its lease."""

    def __init__(self, why: str, *, hand_back: bool = True) -> None:
        self.hand_back = hand_back
        super().__init__(why)
