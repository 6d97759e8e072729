"""What landed is never answered as if it had not: whatever a call changed, and whatever becomes of that in the same
commit or by another process before its caller is told, the answer says what was done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.areas import AREAS
from mcp_server.domain.calls.media import MediaProvider
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.service import CommitService
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError, Unavailable
from mcp_server.kernel.understanding import understood
from tests.domain.calls.desks import BASE, Noted
from tests.domain.deployments.played import Stage
from tests.world import World
from tools import TOOLS

pytestmark = pytest.mark.anyio
COMPOSABLE: dict[str, Any] = {tool.name: tool for tool in TOOLS if tool.part is not None}


class Before(NamedTuple):
    """What there is before a call: the names and ids that calls need."""

    agent: str
    task: str
    token: str
    waiting: str
    plan: str
    stage: Stage


async def prepared(world: World) -> Before:
    stage = Stage(world, MediaProvider(Noted, None), CallPolicy(), ApprovalPolicy(links_base=BASE))
    agent = await world.agent("scribe", budget={"tokens_per_month": 1000})
    claimed = (await world.tasks({"agent_id": agent.id}), await world.claim_one(agent))[1]
    waiting = await world.task(depends_on=[claimed.task.id])
    await world.write("n", "k", {"a": 1})
    await world.write("n", "k", {"a": 2})
    await stage.live()
    plan = await stage.plan()
    await COMPOSABLE["locks_acquire"].write(stage.desk)(world.call, lock_of("held"))
    return Before(agent.id, claimed.task.id, claimed.lease_token, waiting.id, plan.hash, stage)


def lock_of(name: str) -> Any:
    return understood("locks_acquire", COMPOSABLE["locks_acquire"].arguments, {"name": name})


CALLS: dict[str, Callable[[Before], dict[str, Any]]] = {
    "agents_register": lambda at: {"name": "scribe", "tags": ["new"]},
    "agents_control": lambda at: {"agent_id": at.agent, "action": "drain"},
    "agents_scale": lambda at: {"agent_id": at.agent, "desired_instances": 1},
    "tasks_create": lambda at: {"tasks": [{"title": "t", "agent_id": at.agent, "depends_on": [at.task]}]},
    "tasks_report": lambda at: {"task_id": at.task, "lease_token": at.token, "progress": 5},
    "tasks_finish": lambda at: {"task_id": at.task, "lease_token": at.token, "outcome": "completed"},
    "tasks_control": lambda at: {"task_ids": [at.waiting], "action": "cancel"},
    "state_set": lambda at: {"namespace": "n", "key": "k", "value": 3},
    "state_patch": lambda at: {"namespace": "n", "key": "k", "merge_patch": {"a": 3}},
    "state_restore": lambda at: {"namespace": "n", "key": "k", "version": 1},
    "locks_acquire": lambda at: {"name": "new"},
    "locks_release": lambda at: {"name": "held", "to_agent": at.agent},
    "deployments_define": lambda at: {
        "name": "shop",
        "environment": "dev",
        "target": "played",
        "services": [{"name": "web", "replicas": 2}],
    },
    "deployments_apply": lambda at: {"deployment_id": "shop", "plan_hash": at.plan},
    "deployments_control": lambda at: {"deployment_id": "shop", "action": "stop"},
    "messages_send": lambda at: {"to": ["scribe"], "body": "hello"},
    "email_send": lambda at: {"to": ["ann@example.org"], "subject": "s", "text": "t"},
    "calls_open": lambda at: {"purpose": "talk", "participants": ["scribe", "ann@example.org"]},
}


async def emptied(world: World) -> None:
    """Everything is gone, as if another process had deleted it."""

    def empty(tx: Any) -> None:
        for area in AREAS.all:
            for table in area.tables:
                tx._connection.execute(f"DELETE FROM {table.name}")

    await world.database.write(empty)


@pytest.mark.parametrize("tool", sorted(COMPOSABLE))
async def test_a_call_is_told_as_done_though_all_that_it_was_about_is_gone_by_then(world: World, tool: str):
    at = await prepared(world)
    write = COMPOSABLE[tool].write(at.stage.desk)
    arguments = understood(tool, COMPOSABLE[tool].arguments, CALLS[tool](at))
    seen = write.view

    async def afterwards(call: Call, done: Any) -> Any:
        await emptied(world)
        return await seen(call, done)

    assert await replace(write, view=afterwards)(world.call, arguments) is not None


async def test_every_tool_that_can_be_one_of_several_is_looked_at_here():
    assert CALLS.keys() == COMPOSABLE.keys()


async def test_an_agent_is_terminated_and_deleted_by_one_commit_and_both_are_told(world: World):
    await world.agent("boss")
    bert = await world.agent("bert")
    await world.task(agent_id=bert.id)
    leave = {"agent_id": "bert", "action": "terminate", "to_agent": "boss"}
    calls = [("agents_control", leave), ("agents_control", {"agent_id": "bert", "action": "delete"})]
    command = CommitCalls.model_validate({"calls": [{"tool": tool, "arguments": said} for tool, said in calls]})
    gone, deleted = (await world.desk.get(CommitService).commit(world.call, command)).results
    assert gone["agent"]["status"] == "terminated" and [one["total"] for one in gone["handed_over"].values()] == [1]
    assert deleted["deleted"] and deleted["agent"]["status"] == "terminated"
    with pytest.raises(NotFound):
        await world.desk.agents.get(world.call, "bert")


async def test_each_call_of_a_commit_tells_how_an_agent_stood_after_it(world: World):
    await world.agent("ann")
    steps: list[tuple[str, dict[str, Any]]] = [
        ("agents_register", {"name": "ann", "tags": ["new"]}),
        ("agents_control", {"agent_id": "ann", "action": "pause"}),
        ("agents_control", {"agent_id": "ann", "action": "resume"}),
    ]
    command = CommitCalls.model_validate({"calls": [{"tool": tool, "arguments": said} for tool, said in steps]})
    told = (await world.desk.get(CommitService).commit(world.call, command)).results
    assert [one["agent"]["status"] for one in told] == ["initializing", "maintenance", "initializing"]


async def test_where_what_came_of_a_change_cannot_be_told_the_refusal_says_that_it_stands(world: World):
    write = world.desk.state.set

    async def lost(call: Call, done: Any) -> Any:
        raise Unavailable("The store cannot be read.", next="Try again in a moment.")

    said = understood("state_set", COMPOSABLE["state_set"].arguments, {"namespace": "n", "key": "k", "value": 3})
    with pytest.raises(OpsError, match="is done and stands.*The store cannot be read") as refused:
        await replace(write, view=lost)(world.call, said)
    assert refused.value.details["landed"] is True
    assert (await world.read("n", "k")).value == 3
