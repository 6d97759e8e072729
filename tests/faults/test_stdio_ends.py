"""How a server on stdio ends: with every answer to what it took in, and whatever its client reads."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.patience import within
from tests.world import open_world

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
BIG = "x" * 60_000
WAIT = 1_000_000


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0"} | members).encode() + b"\n"


def call(number: int | str, tool: str, era: str = "legacy", **arguments: Any) -> bytes:
    more = {"_meta": META} if era == "auto" else {}
    return line(id=number, method="tools/call", params={"name": tool, "arguments": arguments} | more)


HELLO = line(id="hello", method="initialize", params=INITIALIZE) + line(method="notifications/initialized")


@contextmanager
def server(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A server process; one that is still there at the end is a failure."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server", "--database", f"sqlite:///{folder / 'x.db'}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process
    finally:
        was_there = process.poll() is None
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert not was_there


def piped(folder: Path, text: bytes) -> dict[Any, dict[str, Any]]:
    """Every answer to what is piped in at once, by id."""
    with server(folder) as process:
        told, _ = process.communicate(text, timeout=60)
        assert process.returncode == 0
    answers = [json.loads(answer) for answer in told.splitlines()]
    return {answer.get("id"): answer for answer in answers if "method" not in answer}


def writes(count: int, era: str) -> bytes:
    """Writes, and in their midst a wait for what never comes."""
    lines = [call(n, "state_set", era, namespace="n", key=f"k{n}", value=n) for n in range(count)]
    lines.insert(count // 2, call(WAIT, "events_read", era, wait_seconds=50, types=["call.ended"]))
    return (HELLO if era == "legacy" else b"") + b"".join(lines)


@pytest.mark.parametrize("era", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
def test_a_script_that_pipes_its_lines_and_closes_stdin_sees_every_answer(tmp_path: Path, era: str):
    answers = piped(tmp_path, writes(200, era))
    for number in range(200):
        assert answers[number]["result"]["structuredContent"]["document"]["version"] == 1
    assert "result" in answers[WAIT]


@pytest.mark.slow
def test_requests_that_all_bear_the_same_id_are_answered_one_by_one(tmp_path: Path):
    same = b"".join(call(1, "state_set", namespace="n", key=f"k{n}", value=n) for n in range(50))
    with server(tmp_path) as process:
        told, _ = process.communicate(HELLO + same, timeout=60)
    assert sum(json.loads(answer).get("id") == 1 for answer in told.splitlines()) == 50


@pytest.mark.slow
def test_a_subscription_ends_with_its_answer_when_stdin_does(tmp_path: Path):
    wanted = {"notifications": {"resourceSubscriptions": ["ops://tasks"]}, "_meta": META}
    answers = piped(tmp_path, b"".join(line(id=n, method="subscriptions/listen", params=wanted) for n in range(5)))
    assert all(answers[n]["result"]["resultType"] == "complete" for n in range(5))


@pytest.mark.slow
def test_what_is_no_message_costs_its_answer_and_nothing_else(tmp_path: Path):
    odd = [b"\xff", b"[" * 50_000, b"[]", b"", b" \r", b"7", b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}']
    odd += [b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', b'{"jsonrpc":"2.0","id":null,"method":"ping"}']
    odd += [line(method="notifications/cancelled", params={"requestId": given})[:-1] for given in ([], {}, True, 1.5)]
    answers = piped(tmp_path, HELLO + b"\n".join(odd) + b"\n\xef\xbb\xbf" + line(id=9, method="ping")[:-1] + b"\r\n")
    assert answers[9]["result"] == {} and "error" in answers[None]


@pytest.mark.slow
@pytest.mark.parametrize("era", ["auto", "legacy"])
@pytest.mark.parametrize(("count", "times"), [(0, 5), (1, 5), (20, 5), (200, 20), (3000, 2)])
def test_none_of_any_number_of_lines_stays_without_an_answer(count: int, times: int, era: str):
    hello = {"hello"} if era == "legacy" else set[str]()
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            answers = piped(Path(folder), writes(count, era))
            assert answers.keys() == {*hello, WAIT, *range(count)}


@pytest.mark.slow
def test_what_waits_when_stdin_ends_is_answered_with_what_there_is(tmp_path: Path):
    register = HELLO + call(1, "agents_register", name="a")
    with server(tmp_path) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(register)
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == ["hello", 1]
        process.stdin.write(call(2, "tasks_claim", agent_id="a", wait_seconds=50))
        process.stdin.flush()
        time.sleep(0.5)
        process.stdin.close()
        with within(5):
            answer = json.loads(process.stdout.readline())
            assert process.wait(60) == 0
    assert answer["id"] == 2 and answer["result"]["structuredContent"]["claims"] == []


@pytest.mark.slow
@pytest.mark.parametrize("era", ["auto", "legacy"])
def test_a_request_is_settled_by_its_end_however_its_cancel_writes_its_id(tmp_path: Path, era: str):
    named = {1001: "1001", "1002": 1002, 1003: 1003, 1004: " 1004", 5: "05", "six": "six", "07": 7}
    waits = {"wait_seconds": 50, "types": ["call.ended"]}
    asked = b"".join(call(one, "events_read", era, **waits) for one in named)
    cancels = b"".join(line(method="notifications/cancelled", params={"requestId": two}) for two in named.values())
    with server(tmp_path) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write((HELLO if era == "legacy" else b"") + asked + call(0, "agents_find", era))
        process.stdin.flush()
        while json.loads(process.stdout.readline()).get("id") != 0:
            pass
        process.stdin.write(cancels)
        process.stdin.close()
        with within(5):  # two seconds on an idle machine
            assert process.wait(60) == 0
        assert not {json.loads(answer).get("id") for answer in process.stdout} & named.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "ends", [os.pipe, pytest.param(lambda: tuple(one.detach() for one in socket.socketpair()), marks=pytest.mark.slow)]
)
@pytest.mark.skipif(sys.platform == "win32", reason="there only a write tells of a reader that went")
def test_a_server_whose_answers_nobody_reads_takes_nothing_more_and_ends(tmp_path: Path, ends: Any):
    reads, writes = ends()
    arguments = ["--database", f"sqlite:///{tmp_path / 'x.db'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server", *arguments],
        stdin=subprocess.PIPE,
        stdout=writes,
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    assert process.stdin is not None
    try:
        waits = [
            call(n, tool, agent_id="a", wait_seconds=50) for n, tool in enumerate(("tasks_claim", "messages_read"))
        ]
        process.stdin.write(HELLO + call(6, "agents_register", name="a") + b"".join(waits) + call(7, "agents_find"))
        process.stdin.flush()
        told = b""
        while b'"id":7' not in told:
            told += os.read(reads, 1 << 16)
        os.close(reads)
        piped(
            tmp_path,
            HELLO + call(1, "tasks_create", tasks=[{"title": "t"}]) + call(2, "messages_send", to="a", body="b"),
        )
        with within(5):  # two seconds on an idle machine; its stdin is open all the while
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
    found = piped(tmp_path, HELLO + call(1, "tasks_find") + call(2, "messages_read", agent_id="a"))
    assert found[1]["result"]["structuredContent"]["tasks"][0]["status"] == "queued"
    assert len(found[2]["result"]["structuredContent"]["messages"]) == 1


BREAKS_UNNOTICED = """
import os, sys
from mcp_server.protocol import stdout
stdout.Output._look = lambda self: self._loop.remove_reader(self._descriptor)
from mcp_server.__main__ import main
main()
"""
"""A server that finds out by its write alone that nobody reads, as in the moment before the system tells it."""


@pytest.mark.parametrize("size", [1, 6000], ids=["written at once", "written by the thread"])
@pytest.mark.skipif(sys.platform == "win32", reason="pipes of its own")
def test_what_an_answer_that_cannot_be_written_tells_of_is_given_back(tmp_path: Path, size: int):
    spec = {"title": "t", "input": {"text": "x" * size}}
    piped(tmp_path, HELLO + call(1, "agents_register", name="a") + call(2, "tasks_create", tasks=[spec]))
    reads, writes = os.pipe()
    script = [sys.executable, "-c", BREAKS_UNNOTICED, "--database", f"sqlite:///{tmp_path / 'x.db'}"]
    process = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=writes, stderr=subprocess.DEVNULL)
    os.close(writes)
    assert process.stdin is not None
    try:
        process.stdin.write(HELLO)
        process.stdin.flush()
        assert b'"id":"hello"' in os.read(reads, 1 << 16)
        os.close(reads)
        process.stdin.write(call(2, "tasks_claim", agent_id="a"))
        process.stdin.flush()
        with within(10):
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
    found = piped(tmp_path, HELLO + call(1, "tasks_find") + call(2, "events_read"))
    assert found[1]["result"]["structuredContent"]["tasks"][0]["status"] == "queued"
    told = [event["type"] for event in found[2]["result"]["structuredContent"]["events"]]
    assert "task.claimed" in told  # else nothing would be proved


def unread(process: subprocess.Popen[bytes], count: int) -> None:
    """A client that has said hello, asks much and reads nothing any more: the pipe to the server fills up, too."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(HELLO + call(1, "state_set", namespace="n", key="k", value=BIG))
    process.stdin.flush()
    assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == ["hello", 1]  # from here on it serves
    data = b"".join(call(n, "state_get", namespace="n", key="k") for n in range(2, count))
    os.set_blocking(process.stdin.fileno(), False)
    ends = time.monotonic() + 4
    while data and time.monotonic() < ends:
        try:
            data = data[os.write(process.stdin.fileno(), data) :]
        except BlockingIOError:
            time.sleep(0.05)


def memory_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(part for part in status.splitlines() if part.startswith("VmRSS")).split()[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_client_that_does_not_read_is_slowed_down_instead_of_buffered(tmp_path: Path):
    with server(tmp_path) as process:
        unread(process, 40_000)
        assert memory_mib(process) < 200
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        with within(2):
            assert process.wait(60) == 0


@pytest.mark.parametrize("how", ["SIGTERM", *(pytest.param(how, marks=pytest.mark.slow) for how in ("SIGINT", "EOF"))])
def test_a_server_whose_client_reads_nothing_ends_within_two_seconds(tmp_path: Path, how: str):
    with server(tmp_path) as process:
        unread(process, 2_000)
        if how == "EOF":
            assert process.stdin is not None
            process.stdin.close()
        else:
            process.send_signal(getattr(signal, how))
        with within(5):  # two seconds on an idle machine
            assert process.wait(60) == 0


@pytest.mark.slow
def test_refusals_that_nobody_reads_hold_no_server_up(tmp_path: Path):
    with server(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(HELLO + b"nonsense\n" * 30_000)
        process.stdin.close()
        with within(5):
            assert process.wait(60) == 0


@pytest.mark.slow
def test_a_line_that_is_too_long_is_answered_with_the_limit_and_the_next_one_works(tmp_path: Path):
    long = call(7, "state_set", namespace="n", key="k", value="x" * (17 << 20))
    answers = piped(tmp_path, HELLO + long + line(id=8, method="ping"))
    assert "4,194,304 bytes" in answers[7]["error"]["message"]
    assert answers[8]["result"] == {}


@pytest.mark.anyio
async def test_a_wait_ends_when_waits_are_over_and_takes_nothing_more(tmp_path: Path):
    async with open_world(f"sqlite:///{tmp_path / 'x.db'}") as world:
        agent = await world.agent()
        waiting = asyncio.create_task(world.claim(agent, wait_seconds=50))
        await asyncio.sleep(0.05)
        world.desk.end_waits()
        assert await asyncio.wait_for(waiting, 40) == []
        assert await asyncio.wait_for(world.claim(agent, wait_seconds=50), 40) == []
