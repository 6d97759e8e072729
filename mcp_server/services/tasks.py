"""Use cases of the task queue."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime

from mcp_server.domain.errors import AtCapacity, NotFound, OpsError, ValidationFailed
from mcp_server.domain.task_commands import Claim, Control, Finish, GiveUp, NewTask, Report, refuse_cycles
from mcp_server.domain.task_rules import TERMINAL, TaskAction, TaskStatus
from mcp_server.domain.task_spec import SYSTEM_KIND, FailureSpec, Priority, ProgressSpec, TaskSpec, UsageSpec
from mcp_server.domain.users import Permission
from mcp_server.domain.values import RawJson, check_json, dump_json, micros
from mcp_server.services.backlog import why_nothing
from mcp_server.services.context import Call, Context, Query, decode_cursor, fetch_page, like
from mcp_server.services.ports import ClaimTransactions, Row, TaskTransactions
from mcp_server.services.views import TaskView, task_full, task_row
from mcp_server.services.waiting import wait_until

LEASE_SECONDS_DEFAULT = 300.0
RESULT_BYTES_MAX = 256 * 1024
Until = Literal["terminal", "running", "any_change"]


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task and the lease on it."""

    task: TaskView
    lease_token: int
    lease_expires_at: str


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a list of tasks is narrowed by; None means not at all."""

    status: TaskStatus | None = None
    agent_id: str | None = None
    kind: str | None = None
    tag: str | None = None
    parent_id: str | None = None
    text: str | None = None
    ready: bool | None = None
    blocked: bool | None = None
    include_system: bool = False
    waits_for_approval: bool = False


class TaskService:
    """Create, claim, report, finish, control, find and wait for tasks."""

    def __init__(self, context: Context, tasks: TaskTransactions, claims: ClaimTransactions) -> None:
        self._context = context
        self._store = context.store
        self._tasks = tasks
        self._claims = claims

    async def create(self, call: Call, specs: Sequence[TaskSpec]) -> list[TaskView]:
        """Create tasks, all or none, in the order given.

        Raises:
            OpsError: a reference that does not exist, a cycle, or a reused idempotency key.
        """
        call.actor.require(Permission.TASKS_CREATE)
        refuse_cycles(tuple(specs))
        _refuse_system_kinds(specs)
        new = tuple(NewTask(self._context.new_id("task"), spec) for spec in specs)
        outcomes = await self._store.write(self._tasks.create, self._context.origin(call), new)
        now = self._context.clock()
        return [task_full(outcome.task, replayed=outcome.replayed, now=now) for outcome in outcomes]

    async def claim(
        self,
        call: Call,
        agent_id: str,
        *,
        instance_id: str | None = None,
        max_tasks: int = 1,
        kinds: Sequence[str] | None = None,
        lease_seconds: float = LEASE_SECONDS_DEFAULT,
        wait_seconds: float = 0,
    ) -> tuple[list[ClaimedTask], dict[str, int] | None]:
        """Lease the best tasks the agent can do, waiting for some to appear if asked to.

        Returns:
            The claimed tasks; and, when there are none, counts of why nothing could be claimed.
        """
        call.actor.require(Permission.TASKS_WORK)
        call.actor.require_self(agent_id)
        wanted = None if kinds is None else dump_json(list(kinds))
        context = self._context

        def put_back(rows: list[dict[str, Any]]) -> None:
            for row in rows:  # nobody works on these, so they must not stay leased
                self.put_back(call, row["id"], row["attempt"], "its claimer went away")

        async def attempt() -> list[dict[str, Any]]:
            command = Claim(agent_id, instance_id, max_tasks, wanted, lease_seconds, context.random(), context.new_id)
            return await self._store.write_or(put_back, self._claims.claim, context.origin(call), command)

        try:
            rows = await wait_until(context, call, attempt, bool, wait_seconds, ("task", "agent"))
        except AtCapacity as error:
            error.details["nothing_because"] = await why_nothing(self._store, agent_id, kinds, "held_by_capacity")
            raise
        reasons = None if rows else await why_nothing(self._store, agent_id, kinds, "held_by_concurrency_key")
        return [claimed_task(row) for row in rows], reasons

    def put_back(self, call: Call, task_id: str, lease_token: int, reason: str) -> None:
        """`give_up` for one who cannot wait for the answer: it goes away, or is being cancelled. Best effort."""
        command = GiveUp(task_id, lease_token, None, reason)
        with contextlib.suppress(OpsError):
            self._store.post(self._tasks.give_up, self._context.origin(call), command)

    async def changes(self) -> AsyncGenerator[tuple[str, str]]:
        """Id and event type of every change to a task from now on, whichever process makes it; best effort."""
        async with self._store.feed.listen("task") as listener:
            while True:
                for event in await listener.wait(60):
                    yield event["aggregate_id"], event["type"]

    async def report(
        self,
        call: Call,
        task_id: str,
        lease_token: int,
        progress: ProgressSpec | None = None,
        extend_seconds: float | None = None,
    ) -> TaskView:
        """Extend the lease and keep the progress."""
        call.actor.require(Permission.TASKS_WORK)
        text = None if progress is None else check_json(progress.model_dump(exclude_none=True), "progress")
        command = Report(task_id, lease_token, _worker(call), text, extend_seconds)
        return task_full(await self._store.write(self._tasks.report, self._context.origin(call), command))

    async def finish(
        self,
        call: Call,
        task_id: str,
        lease_token: int,
        *,
        result: Any = None,
        failure: FailureSpec | None = None,
        usage: UsageSpec | None = None,
    ) -> tuple[TaskView, list[str], bool]:
        """End an attempt: failed when `failure` is given, else completed.

        Returns:
            The task, the ids of the tasks this released, and whether the same finish was accepted before.
        """
        call.actor.require(Permission.TASKS_WORK)
        text: RawJson | None = None if result is None else check_json(result, "result", RESULT_BYTES_MAX)
        command = Finish(task_id, lease_token, _worker(call), text, failure, usage, self._context.random())
        outcome = await self._store.write(self._tasks.finish, self._context.origin(call), command)
        return task_full(outcome.task), outcome.released, outcome.repeated

    async def control(
        self,
        call: Call,
        task_ids: Sequence[str],
        action: TaskAction,
        *,
        priority: Priority | None = None,
        run_at: AwareDatetime | None = None,
        reason: str | None = None,
    ) -> tuple[list[TaskView], list[dict[str, Any]]]:
        """Apply one action to several tasks.

        Returns:
            The tasks it changed, and the refusals `{id, code, message}` of the others.
        """
        call.actor.require(Permission.TASKS_CONTROL)
        if (action == "set_priority") != (priority is not None):
            raise ValidationFailed("set_priority needs `priority`, and only set_priority takes it.")
        if (action == "reschedule") != (run_at is not None):
            raise ValidationFailed("reschedule needs `run_at`, and only reschedule takes it.")
        command = Control(
            tuple(dict.fromkeys(task_ids)),
            action,
            reason,
            priority or "",
            0 if run_at is None else micros(run_at),
        )
        outcome = await self._store.write(self._tasks.control, self._context.origin(call), command)
        return [task_row(row) for row in outcome.tasks], outcome.refused

    async def cancel_own(self, call: Call, task_id: str) -> None:
        """Cancel a task that the caller created, or any with the right to control tasks. One that ended stays so.

        Raises:
            PermissionDenied: neither the caller's task nor a right to control.
        """
        task = await self.get(call, task_id)
        if task.created_by != call.actor.label:
            call.actor.require(Permission.TASKS_CONTROL)
        if task.status not in TERMINAL:
            command = Control((task_id,), "cancel", "its client cancelled it", "", 0)
            await self._store.write(self._tasks.control, self._context.origin(call), command)

    async def give_up(self, call: Call, task_id: str, lease_token: int, reason: str) -> TaskView:
        """Hand a leased task back unfinished, through no fault of its own: the attempt does not count."""
        call.actor.require(Permission.TASKS_WORK)
        command = GiveUp(task_id, lease_token, _worker(call), reason)
        return task_full(await self._store.write(self._tasks.give_up, self._context.origin(call), command))

    async def get(self, call: Call, task_id: str) -> TaskView:
        """One task with everything.

        Raises:
            NotFound: no such task.
        """
        call.actor.require(Permission.TASKS_READ)
        row = await self._store.fetch_one("task_by_id", id=task_id)
        row = row or await self._store.fetch_one("archived_task_by_id", id=task_id)
        row = row or await self._store.fetch_one("task_by_id", id=task_id)  # brought back in between
        if row is None:
            raise NotFound(f"There is no task {task_id}.", next="List tasks with tasks_find.")
        parents = await self._store.fetch_all("dependencies_of", task_id=task_id) if row["waits_on"] else []
        return task_full(row, parents, now=self._context.clock())

    async def find(
        self, call: Call, narrowed: TaskFilter, *, limit: int, cursor: str | None
    ) -> tuple[list[TaskView], str | None, int | None]:
        """Tasks, newest first; the next cursor and how many were left out."""
        call.actor.require(Permission.TASKS_READ)
        query = _query(narrowed)
        if cursor is not None:
            at, task_id = decode_cursor(cursor, (int, str))
            query = query.where("task_after", after_at=at, after_id=task_id)
        page = await fetch_page(self._store, query, limit, ("created_at", "id"), also="archived_tasks_find")
        return [task_row(row) for row in page.rows], page.next_cursor, page.omitted

    async def counts(self, call: Call) -> dict[str, int]:
        """How many tasks are unfinished, by status, and how many are dead letters."""
        call.actor.require(Permission.TASKS_READ)
        row = await self._store.fetch_one("task_counts") or {}
        return {status: count for status, count in dict(row).items() if count}

    async def wait(self, call: Call, task_id: str, until: Until, wait_seconds: float) -> tuple[TaskView, bool]:
        """Wait for a task to end, to start, or to change at all.

        Returns:
            The task as it is then, and whether what was waited for was reached.
        """
        first = await self.get(call, task_id)

        async def attempt() -> TaskView:
            return await self.get(call, task_id)

        def reached(task: TaskView) -> bool:
            if until == "any_change":
                return task != first
            return task.status in TERMINAL or (until == "running" and task.status == "running")

        task = await wait_until(self._context, call, attempt, reached, wait_seconds, ("task",))
        return task, reached(task)


def _query(narrowed: TaskFilter) -> Query:
    status = "queued" if narrowed.ready else narrowed.status
    query = Query("tasks_find")
    if status is not None:
        query = query.where(f"task_status_{status}")
    flags = {
        "task_blocked": narrowed.blocked,
        "task_not_system": not narrowed.include_system,
        "task_waits_for_approval": narrowed.waits_for_approval,
    }
    for name in (name for name, wanted in flags.items() if wanted):
        query = query.where(name)
    return (
        query.where("task_agent", task_agent=narrowed.agent_id)
        .where("task_kind", task_kind=narrowed.kind)
        .where("task_tag", task_tag=like(narrowed.tag, '%"{}"%'))
        .where("task_parent", task_parent=narrowed.parent_id)
        .where("task_text", task_text=like(narrowed.text and narrowed.text.lower()))
    )


def _refuse_system_kinds(specs: Sequence[TaskSpec]) -> None:
    for number, spec in enumerate(specs):
        if spec.is_system():
            raise ValidationFailed(
                f"tasks.{number}.kind: {spec.kind!r} is reserved: what begins with {SYSTEM_KIND!r} is the server's.",
                next="Choose another kind.",
            )


def claimed_task(row: Row) -> ClaimedTask:
    """A freshly leased row as its claimer sees it."""
    task = task_full(row)
    assert task.lease is not None, "a claimed task has a lease"
    return ClaimedTask(task, row["attempt"], task.lease.expires_at)


def _worker(call: Call) -> str | None:
    return call.actor.id if call.actor.kind == "agent" else None
