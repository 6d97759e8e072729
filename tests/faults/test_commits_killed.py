"""Several writes that land together, and calls that people said yes to, while real processes are killed at any moment:
all of a commit or nothing; an approval's calls once, and never after a no."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.kernel.errors import NotFound
from mcp_server.runtime.system_worker import LEASE_SECONDS
from tests.faults.test_mail_processes import restarted
from tests.processes import RawClient, server, start
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def commit(number: int) -> dict:
    """A document, two tasks and a message, which belong together."""
    calls = [
        ("state_set", {"namespace": "n", "key": f"k{number}", "value": number}),
        (
            "tasks_create",
            {"tasks": [{"title": f"{number}", "tags": [f"c{number}"]}, {"title": "b", "depends_on": ["#0"]}]},
        ),
        ("messages_send", {"to": ["reader"], "body": f"c{number}"}),
    ]
    return {"calls": [{"tool": tool, "arguments": arguments} for tool, arguments in calls]}


async def committing(url: str, first: int, chance: random.Random) -> tuple[int, list[int]]:
    """A server that gets commit after commit without a pause, until it is killed: how many were sent, and which
    answered."""
    client, acknowledged = await start(url), list[int]()
    await client.initialize()
    for number in range(first, first + 40):
        await client.send(
            id=10_000 + number, method="tools/call", params={"name": "commit", "arguments": commit(number)}
        )
    wanted, killing = chance.randint(1, 20), None
    try:
        while True:
            answer = await client.receive()
            if answer.get("id", 0) >= 10_000 and not answer["result"].get("isError"):
                acknowledged.append(answer["id"] - 10_000)
            if killing is None and len(acknowledged) >= wanted:
                killing = asyncio.create_task(killed(client, chance.uniform(0, 0.05)))
    except (EOFError, json.JSONDecodeError):
        pass
    assert killing is not None, "it was answered before it died"
    await killing
    client.process._transport.close()
    return first + 40, acknowledged


async def killed(client: RawClient, seconds: float) -> None:
    await asyncio.sleep(seconds)
    client.process.send_signal(signal.SIGKILL)
    await client.process.wait()


async def parts_of(world: World, number: int, messages: set[str]) -> list[bool]:
    """Which parts of a commit are there."""
    found = await world.desk.tasks.find(world.call, FindTasks(tag=f"c{number}"))
    try:
        there = (await world.read("n", f"k{number}")).version == 1
    except NotFound:
        there = False
    return [there, len(found.items) == 1, f"c{number}" in messages]


async def read_all(world: World) -> set[str]:
    found: set[str] = set()
    command, cursor = ReadMessages(agent_id="reader", unread_only=False, limit=100), None
    while (page := await world.desk.messages.read(world.call, command)).messages:
        found |= {message.body for message in page.messages}
        cursor = page.cursor
        command = ReadMessages(agent_id="reader", unread_only=False, limit=100, after=cursor)
    return found


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_a_commit_is_there_whole_or_not_at_all_whenever_its_server_is_killed(
    engine: str, request: pytest.FixtureRequest
):
    url, chance = request.getfixturevalue(f"{engine}_url"), random.Random(5)
    async with server(url) as client:
        await client.call("agents_register", name="reader")
    sent, acknowledged = 0, list[int]()
    for _ in range(6):
        sent, answered = await committing(url, sent, chance)
        acknowledged += answered
    async with open_world(url) as world:
        messages = await read_all(world)
        whole = 0
        for number in range(sent):
            parts = await parts_of(world, number, messages)
            assert len(set(parts)) == 1, f"commit {number} is there in part: {parts}"
            whole += parts[0]
            assert parts[0] or number not in acknowledged, f"commit {number} was answered"
    assert 0 < len(acknowledged) <= whole < sent, "some landed, and some were cut off"


@asynccontextmanager
async def killed_again_and_again(url: str, count: int) -> AsyncGenerator[list[int]]:
    """Servers that work on what is approved, and are killed all the time."""
    kills, chances = list[int](), [random.Random(number) for number in range(count)]
    running = [asyncio.create_task(restarted(url, {"user": "tester"}, 25, chance)) for chance in chances]
    yield kills
    kills += await asyncio.gather(*running)


async def decide(url: str, approval_id: str, verb: str, user: str, chance: random.Random) -> bool:
    """Decide on the command line, or be killed at some moment of it; whether the command ended well."""
    command = (
        sys.executable,
        "-m",
        "mcp_server",
        "approvals",
        verb,
        approval_id,
        "--yes",
        "--database",
        url,
        "--user",
        user,
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    if chance.random() < 0.3:
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    return await process.wait() == 0


async def raced(url: str, approval_id: str, verbs: list[str], chance: random.Random) -> list[tuple[str, bool]]:
    """People decide at the same time: what each said, and whether it counted."""
    told = await asyncio.gather(
        *(decide(url, approval_id, verb, f"u{number}", chance) for number, verb in enumerate(verbs))
    )
    return list(zip(verbs, told, strict=True))


async def settled(client: RawClient, approval_id: str) -> str:
    """What became of a question, once what it waits for is over. An attempt that was killed holds its lease for a
    while."""
    for _ in range(int(LEASE_SECONDS) * 4):
        approval = (await client.call("approvals_find", approval_id=approval_id))["approval"]
        task = (await client.call("tasks_find", task_id=approval["task_id"]))["task"]
        if approval["status"] == "pending" or task["status"] in ("completed", "cancelled", "failed"):
            return approval["status"]
        await asyncio.sleep(0.5)
    raise AssertionError(f"{approval_id} is not settled: {approval} {task}")


async def test_of_racing_deciders_one_counts_and_its_calls_run_once_whatever_is_killed(sqlite_url: str):
    chance = random.Random(3)
    async with server(sqlite_url, user="tester") as client:
        asked = [
            await client.call(
                "approvals_request",
                title=f"Change {number}",
                approvers=[],
                calls=[{"tool": "state_set", "arguments": {"namespace": "n", "key": f"k{number}", "value": number}}],
            )
            for number in range(6)
        ]
    ids = [one["approval"]["id"] for one in asked]
    async with killed_again_and_again(sqlite_url, 2) as kills:
        outcomes = {ids[0]: await raced(sqlite_url, ids[0], ["approve", "reject"] * 10, chance)}
        for id_ in ids[1:4]:
            outcomes[id_] = await raced(sqlite_url, id_, ["approve", "reject"] * 2, chance)
        for id_, verb in zip(ids[4:], ("approve", "reject"), strict=True):  # whoever won those races
            outcomes[id_] = await raced(sqlite_url, id_, [verb] * 4, chance)
    async with server(sqlite_url, user="tester") as client:
        statuses = {id_: await settled(client, id_) for id_ in ids}
    assert sum(kills) >= 5
    async with open_world(sqlite_url) as world:
        for number, id_ in enumerate(ids):
            counted = [verb for verb, ok in outcomes[id_] if ok]
            assert len(counted) <= 1, "two answers counted"
            try:
                versions = (await world.read("n", f"k{number}")).version
            except NotFound:
                versions = 0
            assert versions == (1 if statuses[id_] == "approved" else 0), (id_, statuses[id_], outcomes[id_])
            assert not counted or statuses[id_] == {"approve": "approved", "reject": "rejected"}[counted[0]]
    assert {"approved", "rejected"} <= set(statuses.values())
