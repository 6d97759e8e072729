"""Whatever is refused since a state does not allow it names what works now: each state is walked with each operation,
every one that is named is accepted in that state, and every call in the words too."""

import ast
import itertools
import re
from typing import Any, cast

import pytest

from mcp_server.domain.agents.commands import AgentAction, ControlAgent
from mcp_server.domain.deployments.spec import ControlDeployment
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.errors import InvalidTransition, OpsError
from tests.domain.deployments.played import Stage, broken
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
HOURLY = {"schedule": {"cron": "0 * * * *"}}
LATER = "2099-01-01T00:00:00Z"
TAKES: dict[str, dict[str, Any]] = {
    "set_priority": {"priority": "high"},
    "reschedule": {"run_at": LATER},
    "assign": {"agent_id": None},
    "edit": {"changes": {"tags": ["another"]}},
}
TASK_ACTIONS = ("cancel", "pause", "resume", "retry", "discard", "run_now", *TAKES)
PLACE = re.compile(r"\.\.\.|\{title")
"""What its reader fills in."""
KINDS = itertools.count()
AGENT_ACTIONS = ("pause", "resume", "drain", "terminate", "delete")


def calls_in(words: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls that a refusal names and that can be made as they stand."""
    found = [(name, given) for name, given in re.findall(r"(\w+_\w+)\(([^()]*)\)", words) if not PLACE.search(given)]
    trees = [(name, cast("ast.Call", ast.parse(f"f({given})", mode="eval").body)) for name, given in found]
    return [(name, {one.arg or "": ast.literal_eval(one.value) for one in tree.keywords}) for name, tree in trees]


def legal_in(words: str) -> set[str]:
    return set(words.rpartition("Legal now: ")[2].rstrip(".").split(", ")) - {"nothing", "it is finished"}


async def a_task(world: World, status: str) -> str:
    """The id of a task of that status; `later` is pending for a time, `schedule` one, `over` one that has ended."""
    if status in ("schedule", "over", "paused schedule"):
        task = await world.task(**HOURLY)
        before = {"over": "cancel", "paused schedule": "pause"}.get(status)
    else:
        spec: dict[str, Any] = {"later": {"run_at": LATER}, "pending": {"requires_approval": True}}.get(status, {})
        kind = f"kind-{next(KINDS)}"
        task = await world.task(kind=kind, timeout_seconds=5, retry={"max_attempts": 1}, **spec)
        before = {"paused": "pause", "cancelled": "cancel"}.get(status)
    if before is not None:
        await control(world, task.id, before)
    if status in ("running", "completed", "failed", "timed_out"):
        claimed = await world.claim_one(await world.agent(capacity=100), kinds=(task.kind,))
        if status in ("completed", "failed"):
            await world.finish(claimed, **({"error": {"message": "no"}} if status == "failed" else {}))
        if status == "timed_out":
            world.clock.advance(10)
            await world.settle()
    return task.id


async def control(world: World, task_id: str, action: str, **more: Any) -> str | None:
    """What an action was refused with."""
    command = ControlTasks.model_validate({"task_ids": [task_id], "action": action} | TAKES.get(action, {}) | more)
    refused = (await world.desk.tasks.control(world.call, command)).refused
    return refused[0].message if refused else None


STATUSES = (
    *("pending", "later", "queued", "running", "paused", "completed", "failed", "timed_out", "cancelled"),
    *("schedule", "paused schedule", "over"),
)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_refused_action_on_a_task_names_those_that_are_accepted_and_one_call_to_go_on_with(
    sqlite_url: str, status: str
):
    async with open_world(sqlite_url) as world:
        outcomes = {action: await control(world, await a_task(world, status), action) for action in TASK_ACTIONS}
        accepted = {action for action, words in outcomes.items() if words is None}
        for words in filter(None, outcomes.values()):
            assert legal_in(words) == accepted, words
            for name, given in calls_in(words):
                if name == "tasks_control":
                    assert given["action"] in accepted, words


async def test_an_ended_task_is_shown_and_made_again_by_the_calls_that_its_refusal_names(sqlite_url: str):
    async with open_world(sqlite_url) as world:
        for status, spec in (("completed", "{title}"), ("over", "{title, schedule: {cron}}")):
            task_id = await a_task(world, status)
            words = await control(world, task_id, "pause") or ""
            assert f"tasks_find(task_id='{task_id}')" in words and f"tasks_create(tasks=[{spec}])" in words


async def test_the_calls_that_a_refused_action_on_a_task_names_are_accepted_as_they_stand(sqlite_url: str):
    said = 0
    async with open_world(sqlite_url) as world:
        for status in STATUSES:
            for action in TASK_ACTIONS:
                task_id = await a_task(world, status)
                words = await control(world, task_id, action) or ""
                for _, given in [one for one in calls_in(words) if one[0] == "tasks_control"]:
                    (named,) = given.pop("task_ids")
                    assert named == task_id and await control(world, named, **given) is None, words
                    said += 1
    assert said > 20


@pytest.mark.parametrize("lifecycle", [(), ("pause",), ("drain",), ("terminate",)])
async def test_a_refused_action_on_an_agent_names_those_that_are_accepted(sqlite_url: str, lifecycle: tuple[str, ...]):
    async with open_world(sqlite_url) as world:

        async def moved(name: str, action: Any) -> str | None:
            try:
                await world.desk.agents.control(world.call, ControlAgent(agent_id=name, action=action))
            except InvalidTransition as error:
                return error.message
            return None

        outcomes: dict[AgentAction, str | None] = {}
        for action in AGENT_ACTIONS:
            agent = await world.agent(f"a-{action}")
            for one in lifecycle:
                await moved(agent.name, one)
            words = outcomes[action] = await moved(agent.name, action)
            for _, given in calls_in(words or ""):
                assert given["agent_id"] == agent.id and await moved(agent.id, given["action"]) is None, words
        accepted = {action for action, words in outcomes.items() if words is None}
        refused = list(filter(None, outcomes.values()))
        assert refused and all(legal_in(words) == accepted for words in refused)
        assert all(calls_in(words) or "nothing has to be done" in words for words in refused)


@pytest.mark.parametrize("status", ["defined", "changing", "live", "stopped", "destroyed", "failed"])
async def test_a_refused_operation_on_a_deployment_names_a_call_that_is_accepted(world: World, status: str):
    stage = Stage(world)
    for action in ("rollback", "stop", "start", "check_drift", "destroy"):
        name = f"shop-{action.replace('_', '-')}"
        await bring(stage, name, status)
        try:
            await act(stage, name, action)
        except OpsError as error:
            calls = calls_in(error.message)
            assert calls, error.message
            for tool, given in calls:
                await go_on(stage, tool, given)
        await stage.work()


async def bring(stage: Stage, name: str, status: str) -> None:
    """A deployment of that status."""
    await (stage.define(name) if status in ("defined", "failed") else stage.live(name))
    if status == "failed":
        stage.target.says["deploy"] = [broken()]
        await stage.apply(await stage.plan(name))
        await stage.work()
    if status == "changing":
        await act(stage, name, "start")
    if status in ("stopped", "destroyed"):
        await act(stage, name, "stop" if status == "stopped" else "destroy")
        await stage.work()


async def act(stage: Stage, name: str, action: Any) -> None:
    control = stage.desk.deployments.control
    done = await control(stage.world.call, ControlDeployment(deployment_id=name, action=action))
    if action == "destroy" and done.plan is not None:
        command = ControlDeployment(deployment_id=name, action=action, plan_hash=done.plan.hash)
        await control(stage.world.call, command)


async def go_on(stage: Stage, tool: str, given: dict[str, Any]) -> None:
    """Make the call that a refusal names."""
    if tool == "deployments_plan":
        await stage.apply(await stage.plan(given["deployment_id"]))
    elif tool == "tasks_wait":
        await stage.work()
        assert (await stage.desk.tasks.get(stage.world.call, given["task_id"])).status == "completed"
    else:
        assert tool == "deployments_find" and (await stage.seen(given["deployment_id"])).id == given["deployment_id"]
