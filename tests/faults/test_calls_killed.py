"""Calls with real connections, whatever is killed: what was said stays, the call says how it ended, nothing is left."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.calls.media import MediaSettings
from mcp_server.integrations.calls.door import CallMedia
from tests.domain.calls.desks import holding
from tests.integrations.calls.peers import Person
from tests.processes import RawClient, server
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@contextlib.asynccontextmanager
async def dialled(client: RawClient, hertz: float | None = None, **opening: Any) -> AsyncGenerator[tuple[str, Person]]:
    """A call that a program opens by its offer, and in which it is."""
    person = Person(hertz)
    try:
        opened = await client.call("calls_open", purpose="Why", offer=await person.offer(), **opening)
        assert "answer" in opened, opened
        await person.accept(opened["answer"])
        assert (await said(person, "welcome"))["call"]["id"] == opened["call"]["id"]
        yield opened["call"]["id"], person
    finally:
        await person.close()


async def said(person: Person, type_: str) -> dict[str, Any]:
    """The next message of a type."""
    async with asyncio.timeout(60):
        while (message := await person.messages.get())["type"] != type_:
            pass
    return message


async def line(person: Person, text: str) -> dict[str, Any]:
    """The line of that text, once it is shown."""
    while (found := (await said(person, "line"))["line"])["text"] != text:
        pass
    return found


async def over(client: RawClient, call_id: str) -> dict[str, Any]:
    """A call, once it is over."""
    async with asyncio.timeout(60):
        while True:
            heard = await client.call("calls_control", call_id=call_id, action="listen", after=10_000, wait_seconds=5)
            if heard["call"]["status"] in ("ended", "failed"):
                return heard["call"]


async def recorded(client: RawClient, call_id: str) -> None:
    """Wait until something of a call is recorded."""
    async with asyncio.timeout(60):
        while True:
            read = await client.request("resources/read", {"uri": f"ops://calls/{call_id}"})
            if json.loads(read["result"]["contents"][0]["text"]).get("recording"):
                return
            await asyncio.sleep(0.1)


def children_of(pid: int) -> list[int]:
    """The media processes that a process has started."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    every = [int(child) for one in found for child in one.read_text().split()]
    return [child for child in every if b"calls.child" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def test_one_of_two_servers_holds_a_call_the_others_tools_reach_it_and_see_it_fail_with_its_server(url: str):
    async with server(url) as one, server(url) as other, dialled(one, record=True) as (call_id, person):
        holders = [client for client in (one, other) if children_of(client.process.pid)]
        assert len(holders) == 1
        (holder,) = holders
        left = other if holder is one else one
        for client in (one, other):
            text = f"from {client.process.pid}"
            await client.call("calls_control", call_id=call_id, action="say", text=text)
            await line(person, text)
        person.say(type="text", text="hello", ref="r")
        assert (await line(person, "hello"))["ref"] == "r"
        heard = await left.call("calls_control", call_id=call_id, action="listen", wait_seconds=20)
        assert "hello" in [one["text"] for one in heard["messages"]]
        media = children_of(holder.process.pid)[0]

        holder.process.send_signal(signal.SIGKILL)
        await holder.process.wait()
        call = await over(left, call_id)
        assert (call["status"], call["reason"]) == ("failed", "the server that held it ended")
        kept = await left.call("calls_control", call_id=call_id, action="listen")
        assert "hello" in [one["text"] for one in kept["messages"]]
        task = await left.call("tasks_wait", task_id=call["task_id"], wait_seconds=45)
        assert task["task"]["status"] == "failed" and "server that held it" in str(task["task"]["error"])
        async with asyncio.timeout(60):
            while Path(f"/proc/{media}").exists():
                await asyncio.sleep(0.05)


async def test_a_call_whose_answer_was_lost_with_its_server_is_told_again_by_another_and_asks_nobody_twice(url: str):
    said = {"purpose": "Why", "participants": ["scribe"], "idempotency_key": "k"}
    async with server(url) as one, server(url) as other:
        await other.call("agents_register", name="scribe")
        await one.send(id="lost", method="tools/call", params={"name": "calls_open", "arguments": said})
        asked_in = await other.call("messages_read", agent_id="scribe", wait_seconds=45)
        assert len(asked_in["messages"]) == 1
        one.process.send_signal(signal.SIGKILL)
        await one.process.wait()
        again = await other.call("calls_open", **said)
        assert again["call"]["replayed"] and again["call"]["id"] in asked_in["messages"][0]["body"]
        assert (await other.call("messages_read", agent_id="scribe"))["messages"] == []
        await other.call("calls_control", call_id=again["call"]["id"], action="end")


async def test_a_killed_media_process_fails_its_call_and_the_next_call_has_another(sqlite_url: str):
    async with server(sqlite_url) as client:
        async with dialled(client, hertz=1000, media="audio", record=True) as (call_id, person):
            person.say(type="text", text="hello")
            await line(person, "hello")
            await recorded(client, call_id)
            (media,) = children_of(client.process.pid)
            os.kill(media, signal.SIGKILL)
            call = await over(client, call_id)
            assert call["status"] == "failed" and call["reason"].startswith("its media process ended")
            read = await client.request("resources/read", {"uri": f"ops://calls/{call_id}/recording"})
            assert "result" in read, read
            (content,) = read["result"]["contents"]
            assert content["mimeType"] == "audio/wav" and content["_meta"]["seconds"] >= 1
        async with dialled(client) as (_, person):
            assert children_of(client.process.pid) != [media]


async def test_a_server_that_ends_in_order_says_so_and_leaves_no_media_process(sqlite_url: str):
    async with server(sqlite_url) as one, dialled(one) as (call_id, _):
        (media,) = children_of(one.process.pid)
        async with server(sqlite_url) as left:
            assert one.process.stdin is not None
            one.process.stdin.close()
            await asyncio.wait_for(one.process.wait(), 60)
            assert not Path(f"/proc/{media}").exists()
            assert (await over(left, call_id))["reason"] == "the server that held it ended"


def left_behind(pid: int) -> tuple[int, int]:
    """The descriptors and threads of a process."""
    return entries(f"/proc/{pid}/fd"), entries(f"/proc/{pid}/task")


def entries(folder: str) -> int:
    """How many there are in a folder."""
    return len(list(Path(folder).iterdir()))


async def one_call(desk: Any) -> None:
    person = Person()
    try:
        opened = await desk.desk.calls.open(desk.call, OpenCall(purpose="Why", offer=await person.offer()))
        await person.accept(opened.answer)
        await said(person, "welcome")
        person.say(type="text", text="hello")
        await line(person, "hello")
        person.say(type="hangup")
        await desk.until(opened.call.id, "ended")
    finally:
        await person.close()


async def test_a_hundred_calls_leave_nothing_behind(sqlite_url: str):
    async with open_world(sqlite_url) as world:
        media = CallMedia(MediaSettings(idle_seconds=60))
        async with holding(world, media=media) as desk:
            try:
                for _ in range(5):
                    await one_call(desk)
                assert media.pid is not None
                child = media.pid
                before = left_behind(child), entries("/proc/self/fd")
                for _ in range(95):
                    await one_call(desk)
                gc.collect()
                assert media.pid == child
                after = left_behind(child), entries("/proc/self/fd")
                assert after[0][0] <= before[0][0] + 3 and after[0][1] <= before[0][1] + 2, (before, after)
                assert after[1] <= before[1] + 3, (before, after)
                assert await counts(world) == {"call_requests": 0, "call_owners": 0, "call_returns": 0}
            finally:
                await media.close()
        assert not Path(f"/proc/{child}").exists()


async def counts(world: World) -> dict[str, int]:
    """How many short-lived rows there are."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.closing(sqlite3.connect(world.url.removeprefix("sqlite:///"))) as connection:
                tables = ("call_requests", "call_owners", "call_returns")
                found = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
            if not any(found.values()):
                return found
            await asyncio.sleep(0.05)
