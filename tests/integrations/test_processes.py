"""Processes behind their gate, their identity, and their logs."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_server.domain.processes.running import UNKNOWN, Command, Identity, Limits, NotStarted
from mcp_server.integrations.processes import looking, watching
from mcp_server.integrations.processes.logs import TAIL_BYTES_MAX, bound_log, open_log, read_tail
from mcp_server.integrations.processes.looking import identify, is_alive, resident_bytes
from mcp_server.integrations.processes.runner import LocalRunner

pytestmark = pytest.mark.anyio
PATH = {"PATH": os.environ["PATH"]}


def sh(text: str, **more: str) -> Command:
    return Command(("/bin/sh", "-c", text), PATH | more)


def python(text: str, **more: object) -> Command:
    return Command((sys.executable, "-I", "-S", "-c", text), PATH, **more)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "process.log"


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_command_does_nothing_until_it_is_told_to_go(log: Path):
    prepared = await LocalRunner().prepare(sh("echo ran"), log)
    assert is_alive(prepared.identity) and log.read_text() == ""
    held = await prepared.go()
    assert held.identity == prepared.identity
    assert (await held.wait()).text == "exit code 0" and log.read_text() == "ran\n"


async def test_one_that_is_dropped_never_runs_and_is_gone(log: Path):
    prepared = await LocalRunner().prepare(sh("echo ran"), log)
    prepared.drop()
    assert not is_alive(prepared.identity) and log.read_text() == ""


@pytest.mark.skipif(not looking.IS_LINUX, reason="elsewhere a first thread that ends takes the others with it")
async def test_one_whose_first_thread_has_ended_lives_as_long_as_another_does(log: Path):
    code = (
        "import ctypes, os, threading\n"
        "threading.Thread(target=os.read, args=(os.pipe()[0], 1)).start()\n"
        "print('begun', flush=True)\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    prepared = await LocalRunner().prepare(python(code), log)
    held, pid = await prepared.go(), prepared.identity.pid
    await until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert is_alive(prepared.identity)
    assert held.resident_bytes() > 1_000_000
    held.kill()
    await held.wait()
    assert not is_alive(prepared.identity)


async def test_one_whose_starter_dies_before_it_says_go_ends_by_itself(log: Path):
    code = (
        "import asyncio, os, pathlib\n"
        "from mcp_server.domain.processes.running import Command\n"
        "from mcp_server.integrations.processes.runner import LocalRunner\n"
        "async def main():\n"
        f"    made = await LocalRunner().prepare(Command(('/bin/sh', '-c', 'echo ran')), pathlib.Path({str(log)!r}))\n"
        "    print(made.identity.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await starter.communicate()
    await until(lambda: identify(int(told)) is None)
    assert log.read_text() == ""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Command(("no-such-program",), PATH), "no-such-program: No such file or directory"),
        (Command(("/bin/sh",), PATH, "/no/such/folder"), "/no/such/folder: No such file or directory"),
        (Command(("/etc/passwd",), PATH), "/etc/passwd: Permission denied"),
    ],
)
async def test_what_cannot_be_run_is_told(log: Path, command: Command, says: str):
    with pytest.raises(NotStarted) as refused:
        await (await LocalRunner().prepare(command, log)).go()
    assert str(refused.value) == says


async def test_a_log_that_cannot_be_written_starts_nothing(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(NotStarted, match="File exists|Not a directory"):
        await LocalRunner().prepare(sh("true"), tmp_path / "file" / "process.log")


async def test_it_has_its_own_session_and_environment_and_none_of_the_servers_files(log: Path):
    with Path(os.devnull).open() as secret:
        os.set_inheritable(secret.fileno(), True)
        text = (
            "import os, json, signal\n"
            "print(json.dumps([sorted(os.environ), os.getsid(0) == os.getpid(), os.listdir('/proc/self/fd'),"
            " signal.getsignal(signal.SIGTERM) is signal.SIG_DFL]))"
        )
        held = await (await LocalRunner().prepare(python(text), log)).go()
        await held.wait()
    names, leads, files, usual = eval(log.read_text().replace("true", "True").replace("false", "False"))
    assert set(names) <= {"PATH", "LC_CTYPE", "PWD"} and leads and usual
    assert set(files) <= {"0", "1", "2", "3"}, "the last is the folder that is being listed"


async def test_limits_hold_from_the_first_moment(log: Path):
    text = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[0], r.getrlimit(r.RLIMIT_CPU)[0])"
    limits = Limits(cpu_seconds=100, open_files=50)
    await (await (await LocalRunner().prepare(python(text, limits=limits), log)).go()).wait()
    assert log.read_text() == "50 100\n"
    over = Limits(open_files=2**40)
    text = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    await (await (await LocalRunner().prepare(python(text, limits=over), log)).go()).wait()
    assert int(log.read_text().split()[-1]) <= max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2**40)


async def test_a_large_order_arrives_whole(log: Path):
    command = sh('printf %s "$LONG" | wc -c', LONG="x" * 100_000)
    await (await (await LocalRunner().prepare(command, log)).go()).wait()
    assert log.read_text().strip() == "100000"


async def test_another_finds_it_by_pid_start_and_boot_and_cannot_know_how_it_ends(log: Path):
    runner = LocalRunner()
    held = await (await runner.prepare(sh("exec sleep 600"), log)).go()
    other = runner.adopt(held.identity)
    assert other is not None and other.resident_bytes() > 0
    other.ask_to_end("SIGTERM")
    assert await other.wait() == UNKNOWN
    assert (await held.wait()).text == "signal 15 (SIGTERM)"
    other.ask_to_end("SIGTERM")
    other.kill()
    assert runner.adopt(held.identity) is None


async def test_a_pid_that_was_given_out_again_is_another_process(log: Path):
    runner = LocalRunner()
    held = await (await runner.prepare(sh("exec sleep 600"), log)).go()
    pid, started, boot = held.identity
    for stranger in (Identity(pid, str(int(started) - 1), boot), Identity(pid, started, "another boot")):
        assert runner.adopt(stranger) is None and not is_alive(stranger)
    held.kill()
    assert (await held.wait()).signal == signal.SIGKILL


async def test_one_that_ended_and_waits_for_its_parent_is_not_alive(log: Path):
    prepared = await LocalRunner().prepare(sh("true"), log)
    os.kill(prepared.identity.pid, signal.SIGKILL)
    await until(lambda: not is_alive(prepared.identity))
    prepared.drop()


async def test_what_one_leaves_in_its_group_ends_with_it(log: Path):
    held = await (await LocalRunner().prepare(sh("sleep 600 & echo $!"), log)).go()
    assert (await held.wait()).code == 0
    await until(lambda: identify(int(log.read_text())) is None)


async def test_memory_is_that_of_a_process_and_all_below_it(log: Path):
    child = f"{sys.executable} -I -S -c \"x = b'1' * 60_000_000; print(1, flush=True); import time; time.sleep(600)\""
    held = await (await LocalRunner().prepare(sh(f"{child}; true"), log)).go()
    await until(lambda: log.read_text())
    assert held.resident_bytes() > 60_000_000
    held.kill()
    await held.wait()
    assert resident_bytes(held.identity.pid) == 0


@pytest.mark.skipif(not looking.IS_LINUX, reason="elsewhere `ps` tells of parents")
async def test_memory_counts_what_any_thread_has_started(log: Path):
    child = "x = b'1' * 60_000_000; print(1, flush=True); import time; time.sleep(600)"
    code = (
        "import os, sys, threading\n"
        f"argv = [sys.executable, '-I', '-S', '-c', {child!r}]\n"
        "start = lambda: os.waitpid(os.posix_spawn(sys.executable, argv, {}), 0)\n"
        "threading.Thread(target=start).start()\n"
    )
    held = await (await LocalRunner().prepare(python(code), log)).go()
    await until(lambda: log.read_text())
    assert held.resident_bytes() > 60_000_000
    held.kill()
    await held.wait()


async def test_one_that_is_no_longer_looked_at_goes_on(log: Path):
    runner = LocalRunner()
    held = await (await runner.prepare(sh("exec sleep 600"), log)).go()
    other = runner.adopt(held.identity)
    assert other is not None
    other.close()
    held.close()
    assert is_alive(held.identity)
    held.kill()
    assert (await held.wait()).signal == signal.SIGKILL, "a child is waited for all the same"


@pytest.fixture
def without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has neither /proc nor descriptors of processes."""
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(looking, "IS_LINUX", False)
    monkeypatch.setattr(looking, "boot", lambda: "boot")
    monkeypatch.setattr(watching, "LOOK_EVERY_SECONDS", 0.02)


@pytest.mark.usefixtures("without_descriptors")
async def test_where_processes_have_no_descriptors_ends_are_noticed_all_the_same(log: Path):
    runner = LocalRunner()
    held = await (await runner.prepare(sh("exec sleep 600"), log)).go()
    other = runner.adopt(held.identity)
    assert other is not None and other.resident_bytes() > 0
    assert runner.adopt(held.identity._replace(started="Mon Jan 1 00:00:00 2001")) is None
    other.ask_to_end("SIGTERM")
    assert (await held.wait()).text == "signal 15 (SIGTERM)"
    assert await other.wait() == UNKNOWN
    third = await (await runner.prepare(sh("exit 4"), log)).go()
    assert (await third.wait()).code == 4


def test_a_log_is_bounded_keeps_its_end_and_says_that_something_is_missing(tmp_path: Path):
    log = tmp_path / "it.log"
    assert read_tail(log) is None and not bound_log(log, 100)
    descriptor = open_log(log)
    for number in range(40):
        os.write(descriptor, f"line {number}\n".encode())
    tail = read_tail(log)
    assert tail is not None and (tail.cut, tail.rotated) == (False, False) and tail.text.startswith("line 0\n")
    assert bound_log(log, 100) and not bound_log(log, 100)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    tail = read_tail(log)
    assert tail is not None and (tail.cut, tail.rotated) == (True, True)
    assert tail.text.endswith("line 39\nafter\n") and all(
        line.startswith(("line", "after")) for line in tail.text.splitlines()
    )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 250
    assert oct(log.stat().st_mode & 0o777) == "0o600"


def test_the_end_of_a_long_log_begins_with_a_whole_line_and_is_always_text(tmp_path: Path):
    log = tmp_path / "it.log"
    log.write_bytes(b"\xff\x00line\n" * TAIL_BYTES_MAX)
    tail = read_tail(log)
    assert tail is not None and (tail.cut, tail.rotated) == (True, False)
    assert len(tail.text) <= TAIL_BYTES_MAX and tail.text.startswith("\ufffdline\n")


def test_a_log_is_not_followed_to_where_somebody_links_it(tmp_path: Path):
    log = tmp_path / "it.log"
    log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        open_log(log)
