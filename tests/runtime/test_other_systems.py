"""What Windows and macOS do otherwise, as far as it can be tried elsewhere: with what is theirs put in."""

import asyncio
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.commands.running import loop_options
from mcp_server.commands.worker import require_commands
from mcp_server.config import load_settings
from mcp_server.integrations.processes.looking import _resident_by_ps, _said, identify
from mcp_server.integrations.targets.workerd import WorkerdTarget
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.persistence.event_loops import loop_factory
from mcp_server.runtime.groups import OnUnix, OnWindows, ends
from mcp_server.runtime.signals import on_signals
from tests.processes import server

pytestmark = pytest.mark.anyio


class Msvcrt(ModuleType):
    """Locks of Windows on the first byte of a file, kept by whoever opened it."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.holders: dict[int, int] = {}
        self.tried = 0
        self.fails: OSError | None = None

    def locking(self, fd: int, how: int, size: int) -> None:
        """Lock or unlock; what is held by another is refused at once, as LK_NBLCK does."""
        assert (size, os.lseek(fd, 0, os.SEEK_CUR)) == (1, 0)
        file = os.fstat(fd).st_ino
        if how == self.LK_UNLCK:
            assert self.holders.pop(file) == fd
            return
        self.tried += 1
        if self.fails is not None:
            raise self.fails
        if self.holders.setdefault(file, fd) != fd:
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def windows_line(monkeypatch: pytest.MonkeyPatch) -> tuple[Msvcrt, Any]:
    """The turnstile's line as it is on Windows."""
    msvcrt = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.delitem(sys.modules, "mcp_server.persistence.sqlite.line_windows", raising=False)
    with monkeypatch.context() as there:
        there.setattr(sys, "platform", "win32")
        module = importlib.import_module("mcp_server.persistence.sqlite.line_windows")
    return msvcrt, module.Line


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_on_windows_the_turn_is_looked_for_every_few_milliseconds(windows_line: tuple[Msvcrt, Any], tmp_path: Path):
    msvcrt, line = windows_line
    one, two = line(opened(tmp_path / "lock")), line(opened(tmp_path / "lock"))
    assert one.wait(1) and not two.wait(0.05)
    assert msvcrt.tried > 4, "every 2 ms, or every 50 where the machine is busy; never once a second"
    came: list[bool] = []
    waiting = threading.Thread(target=lambda: came.append(two.wait(60)))
    waiting.start()
    one.leave()
    waiting.join()
    assert came == [True] and not one.wait(0)
    two.leave()
    one.close()
    two.close()


def test_on_windows_only_a_lock_that_is_held_is_waited_for(windows_line: tuple[Msvcrt, Any], tmp_path: Path):
    msvcrt, line = windows_line
    msvcrt.fails = OSError(errno.EINVAL, "Invalid argument")
    one = line(opened(tmp_path / "lock"))
    with pytest.raises(OSError, match="Invalid argument"):
        one.wait(60)
    one.close()


class WithoutSignals(asyncio.SelectorEventLoop):
    """The loop of Windows that waits for sockets."""

    def add_signal_handler(self, *_: Any) -> None:
        raise NotImplementedError


class OfCompletions(WithoutSignals):
    """The usual loop of Windows, which is woken by signals and watches no sockets for others."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        if callback.__name__ == "recv":
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)


@pytest.mark.parametrize("kind", [WithoutSignals, OfCompletions, asyncio.SelectorEventLoop])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_where_a_loop_knows_no_signals_they_stop_a_server_in_order_all_the_same(kind: Any, number: signal.Signals):
    before = signal.getsignal(number)

    async def main() -> None:
        stopped = asyncio.Event()
        with on_signals(stopped.set):
            asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
            async with asyncio.timeout(60):
                await stopped.wait()

    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(main())
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1


class Process:
    """A process that notes what is done to it."""

    def __init__(self, returncode: int | None = None, ends_by: str = "") -> None:
        self.pid, self.returncode, self.ends_by = 4711, returncode, ends_by
        self.done: list[Any] = []

    def send_signal(self, number: int) -> None:
        """As of asyncio."""
        if self.returncode is not None:
            raise ProcessLookupError
        self.done.append(number)

    def kill(self) -> None:
        """As of asyncio."""
        self.done.append("kill")
        self.returncode = 1


@pytest.mark.parametrize("fails", [False, True])
async def test_on_windows_a_command_is_ended_with_what_it_started(fails: bool):
    process: Any = Process()

    async def run(*command: str) -> None:
        process.done.append(command)
        if fails:
            raise FileNotFoundError
        process.returncode = 1

    how = OnWindows(run)
    assert how.begin() == {"creationflags": 0x200}
    await how.ask(process)
    await how.kill(process)
    await how.kill(process)
    await how.ask(process)
    assert process.done == [1, ("taskkill", "/T", "/F", "/PID", "4711"), *(["kill"] if fails else [])]
    assert isinstance(ends("win32"), OnWindows) and isinstance(ends("darwin"), OnUnix)


def test_on_windows_postgresql_gets_the_loop_that_psycopg_can_use_and_no_commands():
    postgres = load_settings(database="postgresql://me@host/desk")
    assert loop_options(postgres, "win32") == {"loop_factory": asyncio.SelectorEventLoop}
    assert loop_options(load_settings(database="sqlite:///x.db"), "win32") == {}
    assert loop_factory(postgres.database_url, "linux") is None
    with pytest.raises(ValidationFailed, match="On Windows.*WSL"):
        require_commands(postgres.database_url, "win32")
    require_commands("sqlite:///x.db", "win32")


def test_on_windows_a_worker_of_this_machine_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    async def nowhere() -> str:
        return ""

    monkeypatch.setattr("mcp_server.integrations.targets.workerd.IS_POSSIBLE", False)
    sources: Any = None
    with pytest.raises(ValidationFailed, match="on Linux and macOS only.*target cloudflare"):
        WorkerdTarget(tmp_path, sources, nowhere, bytes).check(sources)


def test_where_there_is_no_proc_the_memory_of_a_process_is_that_of_all_below_it():
    said = "    1     0   10\n   20     1  100\n   22    21    5\n   21    20   50\n   30     1 7000\n"
    assert _resident_by_ps(20, said) == 155 * 1024
    assert _resident_by_ps(99, said) == 0
    assert _resident_by_ps(os.getpid(), _said("ps", "-A", "-o", "pid=,ppid=,rss=")) > 1_000_000


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 10**9)), max_size=20))
def test_no_list_of_processes_keeps_the_look_at_memory_going_for_ever(rows: list[tuple[int, int, int]]):
    said = "\n".join(f"{one} {parent} {size}" for one, parent, size in rows)
    assert _resident_by_ps(1, said) == 1024 * sum(size for one, _, size in rows if one in below(rows))


def below(rows: list[tuple[int, int, int]]) -> set[int]:
    """The slow way: whoever has an ancestor, itself included, that is number 1."""
    found = {1}
    for _ in rows:
        found |= {one for one, parent, _ in rows if parent in found}
    return found


def test_which_process_it_is_does_not_depend_on_the_language_or_zone_of_who_asks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.integrations.processes.looking.IS_LINUX", False)
    monkeypatch.setattr("mcp_server.integrations.processes.looking.boot", lambda: "boot")
    found = set()
    for zone, language in (("UTC0", "C"), ("EST5EDT", "de_DE.UTF-8"), ("Asia/Tokyo", "C")):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        found.add(identify(os.getpid()))
    assert len(found) == 1 and None not in found


INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}


def on_windows(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """A command, run to its end where nothing is found that Windows lacks."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "tests.runtime.on_windows", *arguments]
    return subprocess.run(
        command, input=said, capture_output=True, encoding="utf-8", timeout=60, env=clean, cwd=Path(__file__).parents[2]
    )


@pytest.mark.slow
def test_with_nothing_that_windows_lacks_a_server_answers_over_stdio_and_commands_do_their_work(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/desk.db"
    call = {"name": "tasks_create", "arguments": {"tasks": [{"title": "one"}]}}
    asked = [
        {"id": 1, "method": "initialize", "params": INITIALIZE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    lines = "".join(json.dumps({"jsonrpc": "2.0"} | one) + "\n" for one in asked)
    served = on_windows("serve", "--database", url, said=lines)
    answers = {answer["id"]: answer for answer in map(json.loads, served.stdout.splitlines())}
    assert answers[2]["result"]["isError"] is False and served.returncode == 0, served.stderr
    looked = on_windows("doctor", "--database", url)
    assert looked.returncode == 0 and "everything is fine" in looked.stdout, looked.stdout
    assert on_windows("backup", str(tmp_path / "copy"), "--database", url).returncode == 0


@pytest.mark.slow
async def test_with_nothing_that_windows_lacks_a_worker_runs_commands_and_ends_in_order_when_asked(tmp_path: Path):
    database, work = ("--database", f"sqlite:///{tmp_path}/desk.db"), tmp_path / "ran"
    program = f"import pathlib; pathlib.Path({str(work)!r}).write_text('yes')"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.runtime.on_windows", "worker", "builder", *database, "--kind", "build"),
        *("--", sys.executable, "-c", program),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    async with server(database[1]) as client:
        created = await client.call("tasks_create", tasks=[{"title": "job", "kind": "build"}])
        answer = await client.call("tasks_wait", task_id=created["tasks"][0]["id"], until="terminal", wait_seconds=50)
        assert answer["task"]["status"] == "completed" and work.read_text() == "yes"
    worker.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, said = await worker.communicate()
    assert worker.returncode == 0 and b'"stopped"' in said
