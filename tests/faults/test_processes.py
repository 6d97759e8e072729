"""Real processes: several on one database, killed in the middle, ended politely."""

import asyncio
import json
import signal

import pytest

from tests.patience import within
from tests.processes import INITIALIZE, server, start
from tests.world import open_world

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL in turn, in the slow suite."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.mark.slow
async def test_two_server_processes_on_one_database_see_each_others_writes(url: str):
    async with server(url) as one, server(url) as two:
        await one.call("state_set", namespace="n", key="k", value={"from": "one"})
        assert (await two.call("state_get", namespace="n", key="k"))["document"]["value"] == {"from": "one"}
        await two.call("state_set", namespace="n", key="k", value={"from": "two"}, expected_version=1)
        error = (await one.call("state_set", namespace="n", key="k", value=1, expected_version=1))["error"]
        assert (error["code"], error["details"]["current_value"]) == ("conflict", {"from": "two"})
        agent = (await one.call("agents_register", name="a"))["agent"]["id"]
        waiting = asyncio.create_task(two.call("tasks_claim", agent_id=agent, wait_seconds=20))
        task = (await one.call("tasks_create", tasks=[{"title": "t"}]))["tasks"][0]
        (claim,) = (await waiting)["claims"]
        assert claim["task"]["id"] == task["id"]


async def test_every_acknowledged_write_survives_kill_dash_nine(url: str):
    """The client sends 1,000 writes without waiting; the process is killed while answers still come."""
    client = await start(url)
    await client.initialize()
    for number in range(1000):
        arguments = {"namespace": "n", "key": f"k{number}", "value": number}
        await client.send(id=10_000 + number, method="tools/call", params={"name": "state_set", "arguments": arguments})
    acknowledged: list[int] = []
    while len(acknowledged) < 300:
        answer = await client.receive()
        if answer.get("id", 0) >= 10_000 and not answer["result"].get("isError"):
            acknowledged.append(answer["id"] - 10_000)
    client.process.kill()
    try:
        while True:
            answer = await client.receive()
            acknowledged.append(answer["id"] - 10_000)
    except (EOFError, json.JSONDecodeError):
        pass
    assert await client.process.wait() == -signal.SIGKILL
    async with open_world(url) as world:
        for number in acknowledged:
            document = await world.read("n", f"k{number}")
            assert document.value == number
        await world.write("n", "after", 1)
    client.process._transport.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
async def test_a_signal_ends_a_stdio_server_within_two_seconds_and_nothing_is_lost(sqlite_url: str, number: int):
    client = await start(sqlite_url)
    await client.initialize()
    await client.call("state_set", namespace="n", key="k", value=1)
    await client.send(
        id=99, method="tools/call", params={"name": "events_read", "arguments": {"after": "1", "wait_seconds": 40}}
    )
    with within(2):
        client.process.send_signal(number)
        assert await asyncio.wait_for(client.process.wait(), 60) == 0
    client.process._transport.close()
    async with open_world(sqlite_url) as world:
        assert (await world.read("n", "k")).value == 1


@pytest.mark.slow
async def test_the_end_of_stdin_ends_the_server_and_answers_under_way_are_still_sent(sqlite_url: str):
    client = await start(sqlite_url)
    assert client.process.stdin is not None and client.process.stdout is not None
    await client.send(id=0, method="initialize", params=INITIALIZE)
    await client.send(method="notifications/initialized")
    for number in range(1, 51):
        arguments = {"namespace": "n", "key": f"k{number}", "value": number}
        await client.send(id=number, method="tools/call", params={"name": "state_set", "arguments": arguments})
    client.process.stdin.close()
    lines = (await asyncio.wait_for(client.process.stdout.read(), 60)).splitlines()
    with within(2):
        assert await asyncio.wait_for(client.process.wait(), 60) == 0
    assert sorted(json.loads(line)["id"] for line in lines) == list(range(51))


@pytest.mark.slow
async def test_garbage_on_stdin_is_answered_or_skipped_and_the_server_goes_on(sqlite_url: str):
    async with server(sqlite_url) as client:
        stdin = client.process.stdin
        assert stdin is not None
        for garbage in (b"not json\n", b"\xff\xfe\n", b"[]\n", b"\n\n", b'{"jsonrpc":"2.0"}\n', b"[" * 100_000 + b"\n"):
            stdin.write(garbage)
        await stdin.drain()
        stored = await client.call("state_set", namespace="n", key="big", value="x" * 200_000)
        assert stored["document"]["version"] == 1
        assert len((await client.call("state_get", namespace="n", key="big"))["document"]["value"]) == 200_000


@pytest.mark.slow
async def test_lone_surrogates_on_the_wire_are_refused_and_nothing_is_stored(sqlite_url: str):
    async with server(sqlite_url) as client:
        stdin = client.process.stdin
        assert stdin is not None
        stdin.write(
            b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"state_set",'
            b'"arguments":{"namespace":"n","key":"k","value":"\\ud800"}}}\n'
        )
        answer = await client.receive()
        assert (answer["id"], answer["error"]["code"]) == (7, -32700)
        assert "U+D800" in answer["error"]["message"]
        assert (await client.call("events_read"))["events"] == []


@pytest.mark.slow
async def test_an_expired_lease_is_handed_on_within_two_seconds_while_any_server_runs(url: str):
    async with server(url) as one, server(url) as two:
        agent = (await one.call("agents_register", name="a", max_concurrent_tasks=5))["agent"]["id"]
        await one.call("tasks_create", tasks=[{"title": "t", "retry": {"max_attempts": 3, "delay_seconds": 0}}])
        first = (await one.call("tasks_claim", agent_id=agent, lease_seconds=1))["claims"][0]
        with within(3):
            second = (await two.call("tasks_claim", agent_id=agent, wait_seconds=50))["claims"][0]
        assert (second["task"]["id"], second["attempt"]) == (first["task"]["id"], 2)
        late = {"task_id": first["task"]["id"], "lease_token": first["lease_token"], "outcome": "completed"}
        error = (await one.call("tasks_finish", **late))["error"]
        assert error["code"] == "lease_lost"


@pytest.mark.slow
async def test_eight_processes_hammering_one_file_lose_nothing_and_claim_nothing_twice(sqlite_url: str):
    from benchmarks.contention import hammer

    outcome = await hammer(sqlite_url, processes=8, seconds=10)
    assert outcome.errors == [] and outcome.claimed_twice == 0 and outcome.missing_writes == 0
    assert outcome.acknowledged > 100
