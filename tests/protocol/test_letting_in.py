"""What is open for a caller ends with its key, whichever process ended that."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.app import open_app
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from mcp_server.domain.people.commands import AddUser, ChangeUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.protocol.letting_in import LettingIn
from tests.protocol.test_http import tokens_file
from tests.web import served
from tests.world import World, on_file, open_world

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
        async with asyncio.timeout(60):
            await ended["ann"].wait()
        assert not ended["bob"].is_set()


async def test_one_whose_key_ended_while_it_was_let_in_does_not_stay(world: World):
    who, ids = await callers(world)
    await world.desk.get(PeopleService).revoke_key(world.call, ids["ann"])
    ended = asyncio.Event()
    async with LettingIn(world.desk).lasting(who["ann"], ended.set), asyncio.timeout(60):
        await ended.wait()


async def test_nobody_looks_for_the_local_user(world: World):
    local = Actor(kind="user", id="local", permissions=Role.ADMIN.permissions, is_local=True)
    async with LettingIn(world.desk).lasting(local, lambda: None):
        assert "letting-in" not in {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_connection_on_which_nothing_is_told_ends_with_its_callers_key_too(tmp_path: Path, transport: str):
    keys = str(tokens_file(tmp_path, first="agent:scribe:agent", second="agent:other:agent"))
    settings = load_settings(database=on_file(tmp_path / "desk.db"), transport=transport, tokens_file=keys)
    async with open_app(settings) as app, served(http_app(app)) as base, httpx2.AsyncClient(timeout=60) as http:
        key = await app.desk.get(Standing).proved(sha256_of("first"))
        assert isinstance(key, Actor) and key.key_id is not None
        async with (
            http.stream("GET", **await connection(http, base, transport, "first")) as ending,
            http.stream("GET", **await connection(http, base, transport, "second")) as lasting,
        ):
            assert (ending.status_code, lasting.status_code) == (200, 200)
            others = asyncio.create_task(read(lasting))
            await app.desk.get(PeopleService).revoke_key(SYSTEM_CALL, key.key_id)
            async with asyncio.timeout(60):
                await read(ending)  # to its end, and not cut off
            assert not others.done()
            others.cancel()


async def read(answer: httpx2.Response) -> None:
    async for _ in answer.aiter_bytes():
        pass


async def connection(http: httpx2.AsyncClient, base: str, transport: str, key: str) -> dict[str, Any]:
    """What a client of the eras before 2026 asks for to be told things."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
    if transport == "sse":
        return {"url": f"{base}/sse", "headers": headers}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    opened = await http.post(f"{base}/mcp", json=first, headers=headers)
    return {"url": f"{base}/mcp", "headers": headers | {"mcp-session-id": opened.headers["mcp-session-id"]}}
