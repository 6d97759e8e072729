"""The worker that runs a command for each task: real processes, their groups, their ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.tasks.commands import EndAttempt
from mcp_server.domain.tasks.spec import ProgressSpec
from mcp_server.runtime.command_run import OUTPUT_BYTES_MAX, CommandRun, kept, parse_output, parse_progress
from tests.processes import RawClient, server

pytestmark = pytest.mark.anyio

PROGRAM = """
import json, os, subprocess, sys, time
task = json.load(sys.stdin)
said = task.get("input") or {}
for line in said.get("progress", []):
    print(line if isinstance(line, str) else json.dumps(line), file=sys.stderr, flush=True)
if "child" in said:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(said["child"], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
time.sleep(said.get("sleep", 0))
print(said.get("print", json.dumps({"title": task["title"], "env": os.environ["DATAMCP_TASK_ID"]})))
sys.exit(said.get("exit", 0))
"""


async def start_worker(url: str, *options: str, command: tuple[str, ...] = (sys.executable, "-c", PROGRAM)):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "worker", "builder", "--database", url, *options, "--", *command),
        stderr=asyncio.subprocess.DEVNULL,
    )


async def create(client: RawClient, **task: Any) -> str:
    return (await client.call("tasks_create", tasks=[{"title": "job"} | task]))["tasks"][0]["id"]


async def wait(client: RawClient, task_id: str, until: str = "terminal") -> dict[str, Any]:
    answer = await client.call("tasks_wait", task_id=task_id, until=until, wait_seconds=30)
    assert answer["reached"], answer
    return answer["task"]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal was sent to a process that has not been told of it yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    told = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(told, 16) >> (number - 1) & 1)


async def gone(*pids: int) -> None:
    while any(map(is_alive, pids)):
        await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_command_gets_the_task_reports_progress_and_its_output_is_the_result(sqlite_url: str):
    async with server(sqlite_url) as client:
        worker = await start_worker(sqlite_url, "--concurrency", "2", "--capability", "build@2")
        task_id = await create(
            client, required_capabilities=["build@2"], input={"progress": [{"percent": 40}], "sleep": 1}
        )
        while "progress" not in (running := await wait(client, task_id, "any_change")):
            assert running["status"] in ("queued", "running")
        assert running["progress"] == {"percent": 40.0}
        done = await wait(client, task_id)
        assert (done["status"], done["result"]) == ("completed", {"title": "job", "env": task_id})
        text = await wait(client, await create(client, input={"print": "plain words"}))
        assert text["result"] == {"output": "plain words"}
        failed = await wait(client, await create(client, input={"exit": 3, "progress": ["it broke"]}))
        assert failed["error"]["code"] == "exit_3" and "it broke" in failed["error"]["message"]
        agent = (await client.call("agents_find", name="builder"))["agents"][0]
        assert (agent["kind"], agent["capacity"], agent["instances_alive"]) == ("worker", 2, 1)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancel", pytest.param("timeout", marks=pytest.mark.slow)])
async def test_cancellation_and_timeout_kill_everything_the_command_started(sqlite_url: str, tmp_path: Path, how: str):
    async with server(sqlite_url) as client:
        worker = await start_worker(sqlite_url)
        pids = tmp_path / "pids"
        limits = {"timeout_seconds": 2, "retry": {"max_attempts": 1}} if how == "timeout" else {}
        task_id = await create(client, input={"child": str(pids), "sleep": 600}, **limits)
        await wait(client, task_id, "running")
        while not (pids.exists() and len(pids.read_text().split()) == 2):
            await asyncio.sleep(0.01)
        if how == "cancel":
            await client.call("tasks_control", task_ids=[task_id], action="cancel")
        ended = await wait(client, task_id)
        assert ended["status"] == ("cancelled" if how == "cancel" else "timed_out")
        await asyncio.wait_for(gone(*map(int, pids.read_text().split())), 60)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0


@pytest.mark.slow
async def test_a_first_sigterm_drains_and_a_second_hands_back(sqlite_url: str):
    async with server(sqlite_url) as client:
        worker = await start_worker(sqlite_url)
        short = await create(client, input={"sleep": 1.5})
        await wait(client, short, "running")
        left = await create(client)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0
        assert (await wait(client, short))["status"] == "completed"
        assert (await client.call("tasks_find", task_id=left))["task"]["status"] == "queued"
        worker = await start_worker(sqlite_url)
        await wait(client, left)
        endless = await create(client, input={"sleep": 600})
        await wait(client, endless, "running")
        worker.send_signal(signal.SIGTERM)
        while is_pending(worker.pid, signal.SIGTERM):  # a second one would be the same
            await asyncio.sleep(0.01)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0
        task = (await client.call("tasks_find", task_id=endless))["task"]
        assert (task["status"], task["attempt"]) == ("queued", 1)


@pytest.mark.slow
async def test_a_command_that_cannot_be_started_fails_its_task_for_good(sqlite_url: str):
    async with server(sqlite_url) as client:
        worker = await start_worker(sqlite_url, command=("/no/such/program",))
        failed = await wait(client, await create(client, retry={"max_attempts": 5}))
        assert (failed["error"]["code"], failed["attempt"]) == ("not_started", 1)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0


@pytest.mark.slow
async def test_a_system_worker_alone_does_what_time_makes_due(sqlite_url: str):
    async with server(sqlite_url) as client:
        task_id = await create(client)
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "worker", "--system", "--database", sqlite_url),
        stderr=asyncio.subprocess.PIPE,
    )
    assert worker.stderr is not None
    assert b"working" in await asyncio.wait_for(worker.stderr.readline(), 60)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 60) == 0
    assert task_id


async def run(program: str, task: str = "{}", on_progress=lambda progress: None):
    command = await CommandRun.start((sys.executable, "-c", program), {})
    return await asyncio.wait_for(command.finish(task, on_progress), 60)


async def test_a_command_that_ignores_its_input_or_floods_its_output_ends_all_the_same():
    big = json.dumps("x" * 1_000_000)
    assert await run("print(1)", task=big) == (1, None)
    result, failure = await run(f"print('x' * {OUTPUT_BYTES_MAX + 10})")
    assert result is None and failure is not None and failure.code == "output_too_large"
    lines: list[ProgressSpec] = []
    result, failure = await run("import sys; sys.stderr.write('y' * 300_000 + '\\nlast\\n')", on_progress=lines.append)
    assert failure is None and lines[-1].message == "last"


async def test_a_command_ended_by_a_signal_says_which():
    _, failure = await run(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    assert failure is not None and failure.code == "signal_9"


async def test_a_command_that_ignores_sigterm_is_killed(monkeypatch):
    from mcp_server.runtime import command_run as commands

    monkeypatch.setattr(commands, "GRACE_SECONDS", 0.1)
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    command = await CommandRun.start((sys.executable, "-c", program), os.environ)
    assert command._process.stdout is not None
    await command._process.stdout.readline()
    await asyncio.wait_for(command.stop(), 60)
    command._process._transport.close()


def test_progress_lines_are_json_or_words():
    assert parse_progress('{"percent": 10, "step": "a"}') == ProgressSpec(percent=10, step="a")
    assert parse_progress('{"percent": 900}').message == '{"percent": 900}'
    assert parse_progress("{not json").message == "{not json"
    assert parse_progress("[1]").message == "[1]"


def test_output_is_json_or_words_or_nothing():
    assert parse_output(b" [1, 2]\n") == [1, 2]
    assert parse_output(b"\xff words \x00") == {"output": "� words"}
    assert parse_output(b"[" * 100_000) == {"output": "[" * 100_000}
    for text in ("1e999", '{"a": NaN}', "[-Infinity]", "[" * 100 + "]" * 100):  # Python's json takes these
        assert parse_output(text.encode()) == {"output": text}
    assert parse_output(b"\n") is None


ODD = [
    b'"\\ud800"',
    b'{"\\ud800": 1}',
    b'{"a": "\\u0000"}',
    b"1e999",
    b'"' * 200_000,
    b"[" * 70 + b"]" * 70,
    b"9" * 9000,
]


@given(st.binary() | st.sampled_from(ODD))
def test_whatever_a_command_prints_its_task_can_be_ended_with(output: bytes):
    result, failure = kept(output)
    outcome = "completed" if failure is None else "failed"
    ending = {"task_id": "task_aaaaaaaaaaaa", "lease_token": "token", "outcome": outcome}
    EndAttempt.model_validate(ending | {"result": result, "error": failure})
    assert failure is None or failure.code == "result_refused"


@pytest.mark.slow
async def test_several_tasks_are_claimed_at_once_and_end_each_for_itself(sqlite_url: str):
    async with server(sqlite_url) as client:
        made = await client.call("tasks_create", tasks=[{"title": "job", "input": {"exit": n % 2}} for n in range(6)])
        worker = await start_worker(sqlite_url, "--concurrency", "4")
        ended = [await wait(client, task["id"]) for task in made["tasks"]]
        assert [task["status"] for task in ended] == ["completed", "failed"] * 3
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0
        claims = (await client.call("events_read", type="task.claimed"))["events"]
        assert len(claims) == 6 and claims[0]["correlation_id"] == claims[3]["correlation_id"]
