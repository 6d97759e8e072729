"""What is open for a caller ends with its key, whichever process ended that."""

import asyncio
from typing import Any

import pytest

from mcp_server.domain.people.commands import AddUser, ChangeUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Role
from mcp_server.protocol.letting_in import LettingIn
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


async def callers(world: World) -> tuple[dict[str, Actor], dict[str, str]]:
    """Of ann and of bob, each with a key; and the keys' ids."""
    people, found, ids = world.desk.get(PeopleService), dict[str, Actor](), dict[str, str]()
    for name in ("ann", "bob"):
        await people.add_user(world.call, AddUser(name=name))
        ids[name] = (await people.create_key(world.call, CreateKey(kind="user", holder=name), sha256_of(name))).id
        actor = await world.desk.get(Standing).proved(sha256_of(name))
        assert isinstance(actor, Actor)
        found[name] = actor
    return found, ids


@pytest.mark.parametrize("end", ["revoke", "rotate", "disable", "narrow"])
async def test_a_stream_ends_with_its_callers_key_and_no_other_does(world: World, end: str):
    who, ids = await callers(world)
    letting_in, ended = LettingIn(world.desk), {name: asyncio.Event() for name in who}
    async with (
        letting_in.lasting(who["ann"], ended["ann"].set),
        letting_in.lasting(who["bob"], ended["bob"].set),
        open_world(world.url) as elsewhere,
    ):
        elsewhere.clock.now = world.clock.now
        people: Any = elsewhere.desk.get(PeopleService)
        match end:
            case "revoke":
                await people.revoke_key(elsewhere.call, ids["ann"])
            case "rotate":
                await people.rotate_key(elsewhere.call, ids["ann"], sha256_of("new"))
            case "disable":
                await people.turn_user(elsewhere.call, "ann", "disabled")
            case _:
                await people.change_user(elsewhere.call, ChangeUser(name="ann", role=Role.VIEWER))
        async with asyncio.timeout(20):
            await ended["ann"].wait()
        assert not ended["bob"].is_set()


async def test_one_whose_key_ended_while_it_was_let_in_does_not_stay(world: World):
    who, ids = await callers(world)
    await world.desk.get(PeopleService).revoke_key(world.call, ids["ann"])
    ended = asyncio.Event()
    async with LettingIn(world.desk).lasting(who["ann"], ended.set), asyncio.timeout(20):
        await ended.wait()


async def test_nobody_looks_for_the_local_user(world: World):
    local = Actor(kind="user", id="local", permissions=Role.ADMIN.permissions, is_local=True)
    async with LettingIn(world.desk).lasting(local, lambda: None):
        assert "letting-in" not in {task.get_name() for task in asyncio.all_tasks()}
