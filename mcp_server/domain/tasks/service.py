"""Use cases of the task queue."""

import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import NamedTuple

from mcp_server.domain.agents.commands import is_id
from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.search.finding import NO_CURSOR, Sought, fetch_page_holding
from mcp_server.domain.tasks import creation, transactions
from mcp_server.domain.tasks.awaited import with_waits
from mcp_server.domain.tasks.backlog import Backlog, in_words, is_some_ready, why_nothing
from mcp_server.domain.tasks.beside import with_all, with_signs
from mcp_server.domain.tasks.claiming import Leased, claim, resume
from mcp_server.domain.tasks.commands import (
    ClaimTasks,
    ControlTasks,
    CreateTasks,
    FindTasks,
    FinishTask,
    GiveUpTask,
    WaitForTasks,
    refuse_cycles,
    refuse_system_kinds,
    worker_of,
)
from mcp_server.domain.tasks.doubts import doubts_about
from mcp_server.domain.tasks.leftovers import left_by
from mcp_server.domain.tasks.listing import lists_of, place_of, titles_of
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.outcomes import Standings, bounded, outcomes, parents_of, standings, unknown_task
from mcp_server.domain.tasks.results import (
    ClaimedTasks,
    ControlledTasks,
    CreatedTasks,
    FinishedTask,
    FinishedTasks,
    ReportedTask,
    WaitedTasks,
    claimed_task,
    finished,
    finished_many,
    refusal_view,
    reported_task,
    resumed,
)
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.standing import TaskState, controlled_state, created_states, task_state
from mcp_server.domain.tasks.views import TaskView, task_full, task_row
from mcp_server.domain.tasks.waiting import facts_about, held_by, held_up_now, stranded
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.composing import Composing, landed, warned
from mcp_server.kernel.errors import AtCapacity, OpsError, ValidationFailed
from mcp_server.kernel.json_text import json_list, sha256_text
from mcp_server.kernel.paging import Listed, counted
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.sweeping import ROWS_AT_ONCE, HalfDone
from mcp_server.kernel.views import dumped
from mcp_server.kernel.waiting import told_or, wait_until
from mcp_server.kernel.writes import Write, as_said

_HOLDERS_MAX = 4096
COUNTS_MAX = 2_000
"""How far the tasks of a status are counted."""


class TaskNeeds(NamedTuple):
    """Who may take a task up: the agent named, if one is, and what it must be able to do."""

    agent_id: str | None
    capabilities: list[str]


class TaskService:
    """Create, claim, report, finish, control, find and wait for tasks.

    `create`: all or none, in the order given. `report` extends the lease. `finish` ends an attempt and may be repeated,
    `finish_many` several, each for itself, `finish_together` all or none. `control` applies one action to several.
    `give_up` hands a leased task back unfinished, through no fault of its own: the attempt does not count.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = context = services.context
        self._database = context.database
        self._composing = services.option(Composing)
        self._agents = services.get(AgentService)
        self._speaking = services.get(Speaking)
        self._holders: dict[str, str] = {}
        work = Permission.TASKS_WORK
        self.create = Write(context, Permission.TASKS_CREATE, _ordinary, creation.create, self._created)
        self.report = Write(context, work, as_said, transactions.report, _reported)
        self.finish = Write(context, work, as_said, transactions.finish, self._finished)
        self.finish_many = Write(context, work, as_said, transactions.finish_many, self._finished_many)
        together = transactions.finish_together
        self.finish_together = Write(context, work, as_said, together, self._finished_together)
        self.give_up = Write(context, work, as_said, transactions.give_up, _given_up)
        self.control = Write(context, Permission.TASKS_CONTROL, as_said, transactions.control, self._controlled)

    async def finish_with(self, call: Call, command: FinishTask) -> FinishedTask:
        """`finish`, and in the same transaction what else was to land with it. A repeat makes none of that again.

        Raises:
            OpsError: what the first one that was refused says; then nothing was changed.
        """
        if not command.also:
            return await self.finish(call, command)
        call.actor.require(Permission.TASKS_WORK)
        await self._context.guard(call, self.finish, command)
        changes = await self._composing.compose(self._services, call, command.also, "also")
        done = await landed(self._services, call, changes, partial(transactions.finish_with, command))
        told = await self._finished(call, done.told)
        if told.repeated:
            return told
        return told.evolved({"also": [dumped(view) for view in done.views], "warnings": warned(changes)})

    async def claim(self, call: Call, command: ClaimTasks) -> ClaimedTasks:
        """Lease the best tasks the agent can do, waiting for some to appear if asked to.

        An empty answer counts why nothing could be claimed.
        """
        call.actor.require(Permission.TASKS_WORK)
        if command.agent_id is None or not is_id(command.agent_id):
            command = await self._for_worker(call, command)
        context = self._context
        if command.resume:
            return resumed(await self._claimed(await context.write(call, resume, command)))

        def put_back(leases: list[Leased]) -> None:
            for lease in leases:  # nobody works on these, so they must not stay leased
                self.put_back(call, GiveUpTask(lease.row["id"], lease.token, "its claimer went away"))

        async def attempt() -> list[Leased]:
            for _ in range(ROWS_AT_ONCE):
                with contextlib.suppress(HalfDone):  # of something else that is due, which is passed over from now on
                    return await self._database.write_or(put_back, *context.written(call, claim, command))
            return []

        try:
            leases = await wait_until(context, call, attempt, bool, command.wait_seconds, ("task", "agent"))
            reasons = None if leases else await self._why_nothing(command)
            leases = await attempt() if is_some_ready(reasons) else leases
        except AtCapacity as error:
            error.details["nothing_because"] = (await self._why_nothing(command, "held_by_capacity")).counts
            raise
        with told_or(put_back, leases):
            return await self._with_why_no_more(call, command, await self._claimed(leases, None if leases else reasons))

    async def holder(self, lease_token: str) -> str | None:
        """The agent that holds a lease; None where nobody holds anything by that token."""
        hashed = sha256_text(lease_token)
        known = self._holders.get(hashed)
        if known is not None:
            return known
        row = await self._database.fetch_one("task_by_token", lease_token_hash=hashed)
        return None if row is None else row["lease_agent_id"]

    async def _claimed(self, leases: list[Leased], why: Backlog | None = None) -> ClaimedTasks:
        if len(self._holders) > _HOLDERS_MAX:
            self._holders.clear()
        for lease in leases:
            self._holders[lease.row["lease_token_hash"]] = lease.row["lease_agent_id"]
        parents = await parents_of(self._database, [lease.row for lease in leases])
        claims = [claimed_task(*lease, parents.get(lease.row["id"])) for lease in leases]
        return ClaimedTasks(claims=claims, nothing_because=why and why.counts, such_as=why and why.such_as)

    async def _for_worker(self, call: Call, command: ClaimTasks) -> ClaimTasks:
        """The claim with the id of the agent that it is for: the one named, or else the speaker.

        Raises:
            ValidationFailed: nobody is named, and nobody speaks.
            NotFound: there is no agent of that name.
            PermissionDenied: the caller may not speak as it.
        """
        if command.agent_id is not None:
            worker = await self._speaking.asked_for(call.actor, command.agent_id)
        elif call.speaker is not None:
            worker = call.speaker
        else:
            usual = self._speaking.session.agent
            register = "agents_register makes one"
            if usual is not None and not is_id(usual):
                register = f"agents_register(name={quoted(usual)}) makes yours"
            raise ValidationFailed(
                "Nobody is named who would do the work.",
                next=f"Give agent_id, the id or name of your agent; {register}.",
            )
        return command.model_copy(update={"agent_id": worker.agent_id})

    def put_back(self, call: Call, command: GiveUpTask) -> None:
        """`give_up` for one who cannot wait for the answer: it goes away, or is being cancelled. Best effort."""
        with contextlib.suppress(OpsError):
            self._database.post(*self._context.written(call, transactions.give_up, command))

    async def changes(self) -> AsyncGenerator[tuple[str, str]]:
        """Id and event type of every change to a task from now on, whichever process makes it; best effort."""
        async with self._database.feed.listen("task") as listener:
            while True:
                for event in await listener.wait(60):
                    yield event["aggregate_id"], event["type"]

    async def cancel_own(self, call: Call, task_id: str) -> None:
        """Cancel a task that the caller created, which takes the right to create, or any with the right to control
        tasks. One that ended stays so.

        Raises:
            PermissionDenied: neither the caller's task nor a right to control.
        """
        task = await self.get(call, task_id)
        own = call.is_own(task.created_by)
        call.actor.require(Permission.TASKS_CREATE if own else Permission.TASKS_CONTROL)
        if task.status not in TERMINAL:
            command = ControlTasks(task_ids=(task_id,), action="cancel", reason="its client cancelled it")
            await self._context.guard(call, self.control, command)
            await self._context.write(call, transactions.control, command)

    async def get(self, call: Call, task_id: str) -> TaskView:
        """One task with everything.

        Raises:
            NotFound: no such task.
        """
        call.actor.require(Permission.TASKS_READ)
        row, now = await self._row(task_id), self._context.clock()
        task = task_full(row, await facts_about(self._database, self._agents, [row], call.actor), now=now)
        return await with_all(self._database, call, task, row, now)

    async def state(self, call: Call, task_id: str) -> TaskState:
        """Where one task stands.

        Raises:
            NotFound: no such task.
        """
        call.actor.require(Permission.TASKS_READ)
        return task_state(await self._row(task_id))

    async def held_by(self, call: Call, agent_id: str) -> list[Holding | None]:
        """The tasks that an agent has leased, and those that wait for it alone."""
        call.actor.require(Permission.TASKS_READ)
        return await held_by(self._database, agent_id)

    async def needs(self, call: Call, task_id: str) -> TaskNeeds:
        """What an agent must have to take a task up.

        Raises:
            NotFound: no such task.
        """
        call.actor.require(Permission.TASKS_READ)
        row = await self._row(task_id)
        return TaskNeeds(row["agent_id"], json.loads(row["required_capabilities"]))

    async def find(self, call: Call, command: FindTasks) -> Listed[TaskView]:
        """Tasks, newest first.

        Raises:
            NotFound: there is no agent of the name by which they are narrowed.
        """
        call.actor.require(Permission.TASKS_READ)
        agent_id = command.agent_id
        if agent_id is not None and not is_id(agent_id):
            agent_id = (await self._speaking.required(agent_id))["id"]
        place = place_of(command)
        sought = Sought("task", command.text, NO_CURSOR if place is None else place.at)
        held_up = await held_up_now(self._database, self._agents) if command.ready is False else None
        first, *others = await lists_of(self._database, command, agent_id, held_up)
        page = await fetch_page_holding(self._database, sought, first, command.limit, ("created_at", "id"), also=others)
        facts = await facts_about(self._database, self._agents, page.rows, call.actor)
        seen = await with_signs(
            self._database, call, [task_row(row, facts) for row in page.rows], self._context.clock()
        )
        return Listed(seen, page.next_cursor, page.omitted)

    async def keyed(self, call: Call, keys: Sequence[str]) -> dict[str, TaskView]:
        """The tasks that the caller created under idempotency keys, archived ones too, by key."""
        call.actor.require(Permission.TASKS_READ)
        mine = {"keys": json_list(keys), "owner": call.actor.label}
        statements = ("archived_tasks_by_idempotency_keys", "tasks_by_idempotency_keys")
        rows = [row for statement in statements for row in await self._database.fetch_all(statement, **mine)]
        return {row["idempotency_key"]: task_full(row) for row in rows}

    async def titles(self, call: Call, task_ids: Sequence[str]) -> dict[str, str]:
        """What some tasks are called, cut short, by their ids; nothing to who may not see tasks."""
        return await titles_of(self._database, task_ids) if call.actor.may(Permission.TASKS_READ) else {}

    async def counts(self, call: Call) -> dict[str, int]:
        """How many tasks are unfinished, by status, and how many are dead letters; each counted up to `COUNTS_MAX`."""
        call.actor.require(Permission.TASKS_READ)
        row = await self._database.fetch_one("task_counts", counted=COUNTS_MAX) or {}
        return {status: counted(count, COUNTS_MAX) for status, count in dict(row).items() if count}

    async def kinds(self, call: Call) -> list[str]:
        """The kinds that tasks have, or had lately."""
        call.actor.require(Permission.TASKS_READ)
        return [row["kind"] for row in await self._database.fetch_all("task_kinds")]

    async def wait(self, call: Call, command: WaitForTasks) -> WaitedTasks:
        """Wait for a task, for all of several or for any of them, to end, to start, or to change at all: as they are
        then, and whether they did.

        Raises:
            NotFound: there is no such task.
        """
        call.actor.require(Permission.TASKS_READ)
        ids, database = command.ids(), self._database
        first = await standings(database, ids)

        def reached(found: Standings) -> bool:
            held = (found[task_id].has_reached(command.until, first[task_id]) for task_id in ids)
            return any(held) if command.any else all(held)

        found = await wait_until(
            self._context, call, lambda: standings(database, ids), reached, command.wait_seconds, ("task",)
        )
        if (one := command.one()) is not None:
            return WaitedTasks(task=await self.get(call, one), reached=reached(found))
        tasks = bounded((await outcomes(database, ids)).values())
        return WaitedTasks(tasks=await with_waits(database, self._agents, tasks, call.actor), reached=reached(found))

    async def _row(self, task_id: str) -> Row:
        fetch_one = self._database.fetch_one
        row = await fetch_one("task_by_id", id=task_id) or await fetch_one("archived_task_by_id", id=task_id)
        row = row or await fetch_one("task_by_id", id=task_id)  # brought back in between
        if row is None:
            raise await unknown_task(self._database, task_id)
        return row

    async def _why_nothing(self, command: ClaimTasks, held_by: str | None = None) -> Backlog:
        agent_id = worker_of(command)
        skills = await self._agents.skills(agent_id)
        return await why_nothing(self._database, agent_id, skills, command.kinds, held_by)

    async def _with_why_no_more(self, call: Call, command: ClaimTasks, claimed: ClaimedTasks) -> ClaimedTasks:
        """The claim with why it got some of what it asked for, and not all."""
        count = len(claimed.claims)
        if not 0 < count < command.max_tasks:
            return claimed
        worker = next((one for one in await self._agents.able() if one.id == command.agent_id), None)
        why = None if worker is None else worker.no_more(call.actor, command.max_tasks - count)
        if why is None:
            left = in_words(*await self._why_nothing(command))
            why = f"nothing else is ready that it can do{left and ': '}{left}"
        return claimed.evolved({"no_more_because": why})

    async def _created(self, call: Call, done: list[creation.Created]) -> CreatedTasks:
        del call
        now, rows = self._context.clock(), [one.task for one in done]
        tasks = await created_states(done, now)
        fresh = [one.task for one in done if not one.replayed]
        warnings = [*await stranded(self._database, self._agents, rows), *await doubts_about(fresh, now)]
        return CreatedTasks(tasks=tasks, warnings=warnings or None)

    async def _finished(self, call: Call, done: transactions.Finished) -> FinishedTask:
        del call
        return await finished(self._database, done.task, done.released, repeated=done.repeated, others=done.others)

    async def _finished_many(self, call: Call, done: transactions.FinishedMany) -> FinishedTasks:
        del call
        return await finished_many(self._database, done)

    async def _finished_together(self, call: Call, done: transactions.Ended) -> FinishedTask | FinishedTasks:
        several = isinstance(done, transactions.FinishedMany)
        return await (self._finished_many(call, done) if several else self._finished(call, done))

    async def _controlled(self, call: Call, done: transactions.Controlled) -> ControlledTasks:
        del call
        now, refused = self._context.clock(), list(map(refusal_view, done.refused))
        tasks = [controlled_state(row, now, done.changed.get(row["id"])) for row in done.tasks]
        waiting = await stranded(self._database, self._agents, done.tasks) if done.may_strand else []
        left = await left_by(self._database, done.cancelled)
        warnings, fired = [*done.warnings, *waiting, *left], list(done.fired)
        return ControlledTasks(tasks=tasks, fired=fired or None, refused=refused or None, warnings=warnings or None)


async def _ordinary(call: Call, command: CreateTasks) -> CreateTasks:
    """What a caller may create: no circles, and nothing of the server's own."""
    del call
    check_all(partial(refuse_cycles, command.tasks), partial(refuse_system_kinds, command.tasks))
    return command


async def _reported(call: Call, task: Task) -> ReportedTask:
    del call
    return reported_task(task.fields())


async def _given_up(call: Call, task: Task) -> TaskState:
    del call
    return task_state(task.fields())
