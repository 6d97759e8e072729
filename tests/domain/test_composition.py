"""Changes of several areas land in one transaction or not at all: what a tool writes has its steps kept apart."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import Conflict, NotFound, PermissionDenied, ValidationFailed
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.writes import Change, Write, write_together
from tests.world import World, caller
from tools import TOOLS
from tools.spec import AnyTool

pytestmark = pytest.mark.anyio

BY_NAME = {tool.name: tool for tool in TOOLS}
WRITING = [tool for tool in TOOLS if tool.write is not None]


def change(world: World, tool_name: str, /, **arguments: Any) -> Change:
    """What a tool would write, with its arguments as a client sends them."""
    tool = BY_NAME[tool_name]
    assert tool.write is not None, f"{tool_name} can be composed"
    return Change(world.call, tool.write(world.desk), tool.arguments.model_validate(arguments))


def nothing(tx: Transaction) -> None:
    """Waits for its turn at the writer."""


def note(world: World, **more: Any) -> Change:
    return change(world, "state_set", namespace="n", key="plan", value={"step": 1}, **more)


def message(world: World, agent: AgentView) -> Change:
    return change(world, "messages_send", to=[agent.id], body="read n/plan")


def job(world: World) -> Change:
    return change(world, "tasks_create", tasks=[{"title": "first"}, {"title": "second", "depends_on": ["#0"]}])


async def nothing_of_it_is_there(world: World, agent: AgentView) -> None:
    with pytest.raises(NotFound):
        await world.read("n", "plan")
    assert (await world.desk.tasks.find(world.call, FindTasks())).items == []
    assert (await world.desk.messages.read(world.call, ReadMessages(agent_id=agent.id))).messages == []
    assert await world.events() == ["agent.registered"]


async def test_three_changes_of_three_areas_land_in_one_transaction(world: World):
    agent = await world.agent()
    before = (await world.desk.events.read(world.call, ReadEvents()))[1]
    commits: list[int] = []
    await world.database.write(nothing)  # what was committed before has been counted by then
    world.database.on_commit = commits.append
    changes = [note(world), message(world, agent), job(world)]
    noted, sent, created = (await write_together(world.call, world.desk.context, changes)).views
    await world.database.write(nothing)
    world.database.on_commit = None
    assert (noted.document.version, sent.recipients) == (1, [agent.id])
    assert [task.status for task in created.tasks] == ["queued", "pending"]
    assert (await world.read("n", "plan")).value == {"step": 1}
    inbox = await world.desk.messages.read(world.call, ReadMessages(agent_id=agent.id, unread_only=False))
    assert [one.body for one in inbox.messages] == ["read n/plan"]
    assert await world.status(created.tasks[0]) == "queued"
    events, _ = await world.desk.events.read(world.call, ReadEvents(after=before))
    assert [event.type for event in events] == ["document.set", "message.sent", "task.created", "task.created"]
    assert [count for count in commits if count] == [len(events)], "one commit, with the events of all"


async def test_a_lock_a_note_and_a_finish_land_together_and_show_what_each_tool_would(world: World):
    agent = await world.agent()
    task = await world.task()
    claimed = await world.claim_one(agent)
    lease = {"task_id": task.id, "lease_token": claimed.lease_token}
    changes = [
        change(world, "locks_acquire", name="release", owner="mine"),
        note(world, expected_version=0),
        change(world, "tasks_finish", **lease, outcome="completed", result="done"),
    ]
    locked, noted, finished = (await write_together(world.call, world.desk.context, changes)).views
    assert (locked.lock.owner, noted.document.version, finished.task.status) == ("mine", 1, "completed")
    assert await world.status(task) == "completed"


async def test_the_third_that_is_refused_takes_the_first_two_with_it(world: World):
    agent = await world.agent()
    with pytest.raises(Conflict, match="You expected version 7"):
        await write_together(
            world.call, world.desk.context, [message(world, agent), job(world), note(world, expected_version=7)]
        )
    await nothing_of_it_is_there(world, agent)
    await write_together(world.call, world.desk.context, [message(world, agent), job(world), note(world)])
    assert (await world.read("n", "plan")).version == 1, "what was rolled back is not remembered"


async def test_what_the_caller_may_not_do_or_what_makes_no_sense_is_refused_before_anything_is_written(world: World):
    agent = await world.agent()
    with pytest.raises(PermissionDenied):
        changes = [note(world), message(world, agent), job(world)]
        await write_together(
            world.call, world.desk.context, [replace(one, call=caller(Role.VIEWER)) for one in changes]
        )
    circle = change(world, "tasks_create", tasks=[{"title": "t", "depends_on": ["#0"]}])
    with pytest.raises(ValidationFailed, match="#0 -> #0"):
        await write_together(world.call, world.desk.context, [note(world), message(world, agent), circle])
    await nothing_of_it_is_there(world, agent)


@pytest.mark.parametrize("tool", WRITING, ids=lambda tool: tool.name)
async def test_a_tool_that_says_its_write_can_be_composed(world: World, tool: AnyTool):
    assert tool.write is not None
    write = tool.write(world.desk)
    assert isinstance(write, Write)
    assert write.permission == tool.permission
