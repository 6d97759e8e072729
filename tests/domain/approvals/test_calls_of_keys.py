"""Calls that were asked about with a key are made only while that key holds, and never beyond what narrows it."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.people.commands import AddUser, ChangeUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied
from tests.domain.approvals.test_calls import ANN, NOTE, asked, found, nothing_was_done, work
from tests.world import World

pytestmark = pytest.mark.anyio


async def holder(world: World, **narrowed: Any) -> tuple[Call, str]:
    """A call with a key of bob's, and the key's id."""
    people = world.desk.get(PeopleService)
    await people.add_user(world.call, AddUser(name="bob", role=Role.OPERATOR))
    command = CreateKey(kind="user", holder="bob", **narrowed)
    key = await people.create_key(world.call, command, sha256_of("text"))
    actor = await world.desk.get(Standing).proved(sha256_of("text"))
    assert isinstance(actor, Actor)
    return replace(world.call, actor=actor, toolsets=actor.scope.toolsets), key.id


async def decided(world: World, approval_id: str) -> str:
    await world.decide(ANN, approval_id, True)
    await work(world)
    return (await found(world, approval_id)).status


async def test_they_are_made_while_the_key_holds(world: World):
    call, key_id = await holder(world)
    approval = await asked(world, NOTE, by=call)
    await world.desk.get(PeopleService).rotate_key(world.call, key_id, sha256_of("other"), 3600)
    assert await decided(world, approval.id) == "approved"
    assert (await world.read("n", "plan")).author == "user:bob"


@pytest.mark.parametrize("end", ["revoked", "expired", "disabled", "viewer"])
async def test_they_are_not_once_the_key_is_over(world: World, end: str):
    call, key_id = await holder(world, **({"expires_in_seconds": 60} if end == "expired" else {}))
    approval = await asked(world, NOTE, by=call)
    people = world.desk.get(PeopleService)
    match end:
        case "revoked":
            await people.revoke_key(world.call, key_id)
        case "expired":
            world.clock.advance(61)
        case "disabled":
            await people.turn_user(world.call, "bob", "disabled")
        case _:
            await people.change_user(world.call, ChangeUser(name="bob", role=Role.VIEWER))
    assert await decided(world, approval.id) == "stale"
    await nothing_was_done(world)


async def test_what_narrows_the_key_narrows_them_when_they_are_asked_about(world: World):
    call, _ = await holder(world, namespace="team", toolsets=("state", "communication"))
    with pytest.raises(PermissionDenied, match="does not reach the namespace"):
        await asked(world, NOTE, by=call)
    within = ("state_set", {"namespace": "team", "key": "plan", "value": 1})
    assert await decided(world, (await asked(world, within, by=call)).id) == "approved"
    assert (await world.read("team", "plan")).author == "user:bob"
