"""Signs of life, and that whatever a caller writes goes through the guard of its lease."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import mcp_server.domain
from mcp_server.domain.agents.commands import InstanceSpec, Register
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.domain.agents.speaking import Session, Speaking
from mcp_server.domain.speaking import Said, Voices
from mcp_server.kernel.authority import Role
from mcp_server.kernel.times import SECOND
from tests.world import World, caller

pytestmark = pytest.mark.anyio
ALIVE_FOR = INSTANCE_ALIVE_FOR / SECOND


async def alive(world: World, agent: str) -> list[bool]:
    await world.settle()
    return [one.alive for one in (await world.desk.agents.get(world.call, agent)).instances or []]


async def speak(world: World, **said: str) -> None:
    await world.desk.get(Voices).of(world.call, Said(**said), local=False)


async def test_any_call_that_speaks_as_an_agent_is_a_sign_of_life_of_its_only_instance(world: World):
    await world.instance("a")
    for _ in range(6):
        world.clock.advance(ALIVE_FOR / 2)
        await speak(world, as_agent="a")
        assert await alive(world, "a") == [True]
    world.clock.advance(ALIVE_FOR)
    await speak(world)
    assert await alive(world, "a") == [False], "a call that speaks as nobody is none"


async def test_where_an_agent_has_several_instances_only_those_of_this_process_are_heard_of(world: World):
    speaking = world.desk.get(Speaking)
    speaking.session = Session(remembers=True)
    register = world.desk.agents.register
    command = Register(name="a", instance=InstanceSpec(label="mine"))
    mine = await register(world.call, command)
    assert mine.instance_id in speaking.session.registered[mine.agent.id]
    speaking.session = Session(remembers=False)
    await world.instance("a", "another's")
    speaking.session = Session(remembers=True, registered={mine.agent.id: {mine.instance_id or ""}})
    world.clock.advance(ALIVE_FOR)
    await speak(world, as_agent="a")
    await world.settle()
    instances = (await world.desk.agents.get(world.call, "a")).instances or []
    assert {one.label: one.alive for one in instances} == {"mine": True, "another's": False}


async def test_heartbeats_are_written_now_and_then_and_by_nobody_who_may_not_write(world: World):
    await world.instance("a")
    before = (await world.desk.agents.get(world.call, "a")).instances or []
    world.clock.advance(30)
    await world.desk.get(Voices).of(caller(Role.VIEWER, id="tester"), Said(as_agent="a"), local=False)
    world.clock.advance(1)
    await world.settle()
    assert (await world.desk.agents.get(world.call, "a")).instances == before


def test_every_write_of_a_caller_goes_through_the_guard_of_its_lease():
    """`Context.write` and `Context.written` look at the call's lease; writing with its bare origin would not. A sign of
    life, leaving a line and giving back what nobody waits for count all the same."""
    bare = re.compile(r"(?:write|write_or|post)\((?:[^()]|\([^()]*\))*origin\(call\)", re.DOTALL)
    free = ("see_agent", "leave_line", "give_back")
    for path in Path(mcp_server.domain.__path__[0]).rglob("*.py"):
        text = path.read_text("utf-8")
        found = [match for match in bare.findall(text) if not any(name in match for name in free)]
        assert not found, f"{path.name}: {found}"


async def test_a_call_speaks_as_one_agent_at_a_time(world: World):
    agent = await world.agent("a")
    spoken = await world.desk.get(Voices).of(world.call, Said(as_agent=agent.id), local=False)
    assert (spoken.label, spoken.party) == ("agent:a via user:tester", agent.id)
    assert replace(spoken, speaker=None).party == "user:tester"
    assert spoken.is_own("agent:b via user:tester") and not spoken.is_own("agent:a via user:other")
