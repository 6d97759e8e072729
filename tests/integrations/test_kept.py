"""Commands that run once, whatever happens to who started them: with real processes."""

import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest

from mcp_server.integrations import keeper, kept
from mcp_server.integrations.kept import TEMPORARY, UNKNOWN, Command, Kept, run_once

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not kept.IS_POSSIBLE, reason="needs process groups")]


def python(code: str, *, stdin: str = "", seconds_max: float = 30.0) -> Command:
    env = {"PATH": os.environ["PATH"]}
    return Command((sys.executable, "-I", "-S", "-c", code), None, env, stdin, seconds_max)


async def begun(one: Kept) -> int:
    """Wait until a keeper has begun; its pid."""
    while not (one.folder / "started").exists() or not (one.folder / "started").read_text():
        await asyncio.sleep(0.01)
    return int((one.folder / "started").read_text())


async def test_a_command_gets_its_input_and_its_end_is_kept(tmp_path: Path):
    one = Kept(tmp_path / "run")
    ended = await one.run(python("import sys; print(sys.stdin.read()); sys.exit(3)", stdin="told"))
    assert (ended.exit_code, ended.stdout.strip(), ended.error) == (3, "told", None)
    again = await Kept(tmp_path / "run").run(python("print('never')"))
    assert (again.exit_code, again.stdout.strip()) == (3, "told"), "it runs once"


async def test_who_comes_later_waits_for_what_runs_and_does_not_run_it_twice(tmp_path: Path):
    code = f"open({str(tmp_path / 'ran')!r}, 'a').write('x'); open({str(tmp_path / 'gate')!r}).read()"
    os.mkfifo(tmp_path / "gate")
    first = asyncio.create_task(Kept(tmp_path / "run").run(python(code)))
    await begun(Kept(tmp_path / "run"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert Kept(tmp_path / "run").state() == "running", "being cancelled does not end it"
    second = asyncio.create_task(Kept(tmp_path / "run").run(python(code)))
    await asyncio.to_thread((tmp_path / "gate").write_text, "go")
    assert (await second).exit_code == 0 and (tmp_path / "ran").read_text() == "x"


async def test_of_many_who_start_it_at_once_one_does(tmp_path: Path):
    code = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"
    ended = await asyncio.gather(*(Kept(tmp_path / "run").run(python(code)) for _ in range(6)))
    assert {one.exit_code for one in ended} == {0} and (tmp_path / "ran").read_text() == "x"


async def test_after_kill_9_of_keeper_and_command_nobody_pretends_to_know(tmp_path: Path):
    one = Kept(tmp_path / "run")
    os.mkfifo(tmp_path / "gate")
    code = f"import os; print(os.getpid(), flush=True); open({str(tmp_path / 'gate')!r}).read()"
    running = asyncio.create_task(one.run(python(code)))
    keeper_pid = await begun(one)
    while not (one.folder / "stdout").exists() or not (one.folder / "stdout").read_text():
        await asyncio.sleep(0.01)
    os.kill(keeper_pid, signal.SIGKILL)
    await asyncio.sleep(0.3)
    assert one.state() == "running", "the command itself still holds the lock"
    os.kill(int((one.folder / "stdout").read_text()), signal.SIGKILL)
    ended = await running
    assert (ended.exit_code, ended.error) == (None, UNKNOWN)


async def test_what_was_written_until_kill_9_tells_no_secret(tmp_path: Path):
    one = Kept(tmp_path / "run")
    command = python("import os, time; print(os.getpid(), os.environ['KEY'], flush=True); time.sleep(60)")
    env = {"KEY": "hunter2"}
    running = asyncio.create_task(one.run(Command(command.argv, None, env, "", 60.0, env)))
    keeper_pid = await begun(one)
    while not (one.folder / "stdout").exists() or not (one.folder / "stdout").read_text():
        await asyncio.sleep(0.01)
    os.kill(keeper_pid, signal.SIGKILL)
    os.kill(int((one.folder / "stdout").read_text().split()[0]), signal.SIGKILL)
    ended = await running
    assert ended.error == UNKNOWN and ended.stdout.endswith(" [KEY]\n")
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_what_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path):
    ended = await Kept(tmp_path / "run").run(python("import time; time.sleep(60)", seconds_max=0.2))
    assert ended.exit_code is None and "longer than 0.2 seconds" in (ended.error or "")
    ended = await run_once(python("import time; time.sleep(60)", seconds_max=0.2))
    assert ended.exit_code is None and "longer than 0.2 seconds" in (ended.error or "")


async def test_what_is_told_to_stop_stops(tmp_path: Path):
    one = Kept(tmp_path / "run")
    running = asyncio.create_task(one.run(python("import time; time.sleep(60)")))
    await begun(one)
    await one.stop()
    assert (await running).error == "it was told to stop" and one.state() == "done"
    await one.stop()


async def test_a_command_that_cannot_be_started_says_so_and_secrets_stand_on_no_disk(tmp_path: Path):
    command = Command(("/no/such/program",), None, {"KEY": "hunter2"}, "", 5.0)
    ended = await Kept(tmp_path / "run").run(command)
    assert ended.exit_code is None and "/no/such/program cannot be started" in (ended.error or "")
    command = python("import os; print(os.environ['KEY'] == 'hunter2', sorted(os.environ))")
    ended = await Kept(tmp_path / "other").run(Command(command.argv, None, {"KEY": "hunter2"}, "", 5.0))
    assert ended.stdout.startswith("True ['KEY'"), "and nothing is inherited"
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_log_that_grows_without_end_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeper, "OUTPUT_BYTES_MAX", 10)
    (tmp_path / "out").write_text("x" * 50)
    keeper.bound(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "[50 bytes before this were dropped]\n"


async def test_a_command_that_does_not_read_what_it_is_told_is_no_failure():
    for _ in range(20):
        ended = await run_once(python("print('done')", stdin="x" * 100_000))
        assert (ended.exit_code, ended.stdout) == (0, "done\n")


async def test_what_may_be_run_again_is_while_its_first_keeper_still_ends(tmp_path: Path):
    one = Kept(tmp_path / "run")
    assert (await one.run(python("raise SystemExit(75)"))).exit_code == TEMPORARY
    one.forget()
    with (one.folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = asyncio.create_task(one.run(python("print('again')")))
        await asyncio.sleep(0.5)
    ended = await again
    assert (ended.exit_code, ended.error, ended.stdout.endswith("again\n")) == (0, None, True)
