"""What an operator set of an agent only an operator changes; and whose an agent is."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import BudgetSpec, Capability, Register
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from tests.world import World, caller

pytestmark = pytest.mark.anyio
PY, GO = (Capability(name="py"),), (Capability(name="go"),)


async def register(world: World, call: Call, **said: Any) -> Any:
    done = await world.desk.agents.register(call, Register(name="bot", **said))
    return await world.desk.agents.get(world.call, done.agent.id)


@pytest.mark.parametrize(
    ("field", "set_to", "raised"),
    [
        ("capabilities", PY, PY + GO),
        ("max_concurrent_tasks", 2, 99),
        ("budget", BudgetSpec(tokens_per_month=10), BudgetSpec(tokens_per_month=10**9)),
        ("description", "as the operator says", "as I say"),
    ],
)
async def test_an_agent_cannot_raise_what_an_operator_set(world: World, field: str, set_to: Any, raised: Any):
    agent = await register(world, world.call, **{field: set_to})
    me = caller(Role.AGENT, "agent", agent.id)
    with pytest.raises(PermissionDenied, match=f"An operator set {field}"):
        await register(world, me, kind="other", **{field: raised})
    unchanged = await world.desk.agents.get(world.call, agent.id)
    assert unchanged.fields() == agent.fields(), "nothing of a refused call is kept"
    assert (await register(world, me, kind="other", **{field: set_to})).kind == "other", "the same again is no change"
    await register(world, world.call, **{field: raised})


async def test_an_agent_may_change_what_it_said_of_itself(world: World):
    me = caller(Role.AGENT, "agent", "bot")
    first = await register(world, me, capabilities=PY, description="one")
    again = await register(world, me, capabilities=GO)
    assert (again.id, again.description, again.capabilities) == (first.id, "one", [{"name": "go"}])


async def test_an_agents_name_is_its_principals_and_control_goes_before_that(world: World):
    ann, bob = caller(Role.AGENT, id="ann"), caller(Role.AGENT, id="bob")
    agent = await register(world, ann, capabilities=PY)
    with pytest.raises(PermissionDenied, match="cannot speak as bot"):
        await register(world, bob, capabilities=GO)
    assert (await register(world, caller(Role.OPERATOR, id="boss"), capabilities=GO)).id == agent.id
    with pytest.raises(PermissionDenied, match="An operator set capabilities"):
        await register(world, ann, capabilities=PY)


async def test_a_name_that_looks_like_an_id_is_refused(world: World):
    for name in ("agent_bcdfghjkmnpq", "instance_abcdefghijkl"):
        with pytest.raises((ValidationFailed, ValueError), match="looks like an id"):
            Register(name=name)
    assert Register(name="agent_smith").name == "agent_smith"
