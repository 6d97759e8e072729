"""Who looks for an agent, or a few, is told what each holds: its leased tasks and what it would leave behind."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.agents.holding import HOLDING_SHOWN_MAX, Holding
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.locks.model import AcquireLock, FindLocks
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.authority import Permission, Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.times import SECOND, iso
from tests.world import World, caller, speaking
from tools import TOOLS
from tools.agents import HOLDERS_MAX, FindArguments, find

pytestmark = pytest.mark.anyio
SAY = next(tool.say for tool in TOOLS if tool.name == "agents_find")


async def holds(world: World, call: Call | None = None, **narrowed: Any) -> list[Any]:
    found = await find(world.desk, call or world.call, FindArguments(**narrowed))
    return [one.holds for one in ([found.agent] if found.agent is not None else found.agents or [])]


async def test_one_agent_and_few_are_told_with_their_tasks_and_locks(world: World):
    ann, _ = await world.agent("ann"), await world.agent("bob")
    await world.tasks({}, {}, {})
    leased = [one.task.id for one in await world.claim(ann, max_tasks=2)]
    for name, seconds in (("a", 60), ("b", 600)):
        await world.desk.locks.acquire(speaking(ann), AcquireLock(name=name, ttl_seconds=seconds))
    ends = {seconds: iso(world.clock.now + seconds * SECOND) for seconds in (60, 300, 600)}
    tasks = {"total": 2, "which": sorted(leased), "until": dict.fromkeys(sorted(leased), ends[300])}
    locks = {"total": 2, "which": ["a", "b"], "until": {"a": ends[60], "b": ends[600]}}
    assert await holds(world, agent_id="ann") == [{"tasks": tasks, "locks": locks}]
    found = await find(world.desk, world.call, FindArguments(agent_id="ann"))
    assert f"it holds 2 tasks (until {ends[300]} unless renewed), 2 locks (until {ends[600]} unless renewed)." in SAY(
        found
    )
    world.clock.advance(61)
    both = {"tasks": tasks, "locks": {"total": 1, "which": ["b"], "until": {"b": ends[600]}}}
    assert await holds(world) == [both, None], "a lock that has run out is held by nobody"


async def test_a_lock_that_ends_with_a_silent_instance_is_told_with_that_earlier_time(world: World):
    ann, instance = await world.instance("ann")
    for name, owner in (("a", instance), ("b", None)):
        await world.desk.locks.acquire(speaking(ann), AcquireLock(name=name, owner=owner, ttl_seconds=3600))
    silent = iso(world.clock.now + INSTANCE_ALIVE_FOR)
    (held,) = await holds(world, agent_id="ann")
    assert held["locks"]["free_if_silent_until"] == {"a": silent}
    told = SAY(await find(world.desk, world.call, FindArguments(agent_id="ann")))
    assert f" unless renewed, from {silent} on if its instance stays silent)" in told
    found = await world.desk.locks.find(world.call, FindLocks())
    say = next(tool.say for tool in TOOLS if tool.name == "locks_find")
    assert f", free from {silent} on if it stays silent) holds a" in say(found)


async def test_what_waits_for_an_agent_alone_is_told_beside_what_it_works_on(world: World):
    ann, _ = await world.agent("ann"), await world.agent("bob")
    ready, late, paused, ended, _ = await world.tasks(
        {"agent_id": "ann"},
        {"agent_id": "ann", "run_at": "2099-01-01T00:00:00Z"},
        {"agent_id": "ann"},
        {"agent_id": "ann"},
        {},
    )
    for action, task in (("pause", paused), ("cancel", ended)):
        await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action=action))
    waiting = sorted((ready.id, late.id, paused.id))
    assert await holds(world) == [{"pinned_tasks": {"total": 3, "which": waiting}}, None]
    (mine,) = await world.claim(ann)
    waiting.remove(mine.task.id)
    leased = {"total": 1, "which": [mine.task.id], "until": {mine.task.id: mine.lease_expires_at}}
    assert await holds(world, agent_id="ann") == [{"tasks": leased, "pinned_tasks": {"total": 2, "which": waiting}}]


async def test_what_an_agent_may_have_any_number_of_is_counted_so_far_and_says_so():
    held = Holding.of("pinned_tasks", ["a", "b"], 2)
    assert held is not None and held.told() == {"total": 2, "which": ["a", "b"], "at_least": True}


async def test_much_is_counted_and_its_first_are_named_and_long_lists_tell_of_nobody(world: World):
    ann = await world.agent("ann", capacity=100)
    await world.tasks(*[{}] * (HOLDING_SHOWN_MAX + 1))
    await world.claim(ann, max_tasks=HOLDING_SHOWN_MAX + 1)
    ((held,)) = await holds(world, agent_id="ann")
    assert (held["tasks"]["total"], len(held["tasks"]["which"])) == (HOLDING_SHOWN_MAX + 1, HOLDING_SHOWN_MAX)
    for number in range(HOLDERS_MAX):
        await world.agent(f"b{number}")
    assert await holds(world) == [None] * (HOLDERS_MAX + 1)


async def test_who_may_not_see_tasks_or_locks_is_told_of_none(world: World):
    ann = await world.agent("ann")
    await world.task()
    await world.claim(ann)
    await world.desk.locks.acquire(speaking(ann), AcquireLock(name="a"))
    only_agents = replace(world.call, toolsets=frozenset(("agents",)))
    assert await holds(world, only_agents, agent_id="ann") == [None]
    actor = world.call.actor.model_copy(update={"permissions": world.call.actor.permissions - {Permission.TASKS_READ}})
    ((held,)) = await holds(world, replace(world.call, actor=actor), agent_id="ann")
    assert held.keys() == {"locks"} and held["locks"]["which"] == ["a"]


async def test_open_questions_and_unread_messages_are_told_to_who_may_speak_as_the_agent(world: World):
    ann = await world.agent("ann")
    asked = RequestApproval(title="t", action="a", approvers=("user:tester",))
    question = (await world.desk.approvals.request(speaking(ann), asked)).approval
    note = (await world.desk.messages.send(world.call, SendMessage(to=("ann",), body="b"))).message
    left = {name: {"total": 1, "which": [one.id]} for name, one in (("unread_messages", note), ("questions", question))}
    drained = await world.desk.agents.control(world.call, ControlAgent(agent_id="ann", action="drain"))
    assert await holds(world, agent_id="ann") == [drained.holds] == [left]
    assert await holds(world, caller(Role.AGENT, id="eve"), agent_id="ann") == [None]
