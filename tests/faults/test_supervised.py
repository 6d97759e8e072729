"""Instances under real servers: kills, stops and take-overs at any moment leave no process over and none twice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_held import stop_in_its_turn
from tests.patience import Stopwatch
from tests.processes import RawClient, server
from tests.runtime.supervised import is_gone

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


class Fleet:
    """One agent with a launcher, servers that may supervise it, and its processes as the system knows them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.config = folder / "desk.toml"
        self.seen: set[int] = set()

    def declare(self, script: str, grace_seconds: int = 10) -> None:
        """The launcher runs a Python script, which each instance's environment marks as one of this fleet's."""
        program = self.folder / "program.py"
        program.write_text(script)
        lines = [
            "[supervisor]",
            f'folder = "{self.folder / "logs"}"',
            "[launchers.it]",
            f'argv = ["{sys.executable}", "-u", "{program}", "{{instance}}"]',
            "share_database = true",
            f"grace_seconds = {grace_seconds}",
            "[launchers.it.env]",
            f'PYTHONPATH = "{ROOT}"',
        ]
        self.config.write_text("\n".join(lines))

    def server(self) -> Any:
        return server(self.url, "--config", str(self.config))

    def alive(self) -> list[str]:
        """The instances of every living process of this fleet, from the system itself."""
        found: list[str] = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                pid = int(path.parent.name)
                if str(self.folder / "program.py").encode() in words and not is_gone(pid):
                    self.seen.add(pid)
                    found.append(words[3].decode())
        return sorted(found)

    def waiting(self) -> list[int]:
        """Processes that wait before a program of this fleet: what they write to is one of its logs."""
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/fd/1"):
            with suppress(OSError):
                is_ours = path.readlink().is_relative_to(self.folder / "logs")
                if is_ours and b"gate.py" in (path.parent.parent / "cmdline").read_bytes():
                    found.append(int(path.parent.parent.name))
        return found

    async def until(self, *instances: str, seconds: float = 60) -> None:
        """Until exactly these are alive."""
        await eventually(lambda: self.alive() == sorted(instances), seconds, self.alive)

    def end(self) -> None:
        self.alive()
        for pid in self.seen:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


async def eventually(
    is_so: Callable[[], object], seconds: float = 60, what: Callable[[], object] = lambda: None
) -> float:
    """Wait until it is so; how long that took."""
    watch = Stopwatch()
    while not is_so():
        assert watch.seconds < seconds, what()
        await asyncio.sleep(0.02)
    return watch.seconds


SLEEP = "import time\nprint('here', flush=True)\ntime.sleep(600)\n"


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Fleet(tmp_path, request.getfixturevalue(f"{request.param}_url"))
    made.declare(SLEEP)
    yield made
    made.end()


async def begin(client: RawClient, instances: int, **more: Any) -> dict[str, Any]:
    registered = await client.call("agents_register", name="fleet", launcher={"name": "it"}, **more)
    assert "agent" in registered, registered
    return await client.call("agents_scale", agent_id="fleet", desired_instances=instances)


async def instances(client: RawClient) -> list[dict[str, Any]]:
    return (await client.call("agents_find", agent_id="fleet"))["agent"]["instances"]


def names(number: int) -> list[str]:
    return [f"supervised-{slot}" for slot in range(number)]


async def kill(client: RawClient) -> None:
    client.process.kill()
    await client.process.wait()


async def test_after_kill_dash_nine_of_the_supervisor_at_any_moment_no_instance_is_over_and_none_is_twice(fleet: Fleet):
    async with server(fleet.url) as bystander:
        for delay in (0.0, 0.03, 0.06, 0.1, 0.3):
            async with fleet.server() as doomed:
                await begin(doomed, 1)
                await fleet.until(*names(1))
                await bystander.call("agents_scale", agent_id="fleet", desired_instances=5)
                await asyncio.sleep(delay)
                await kill(doomed)
            alive = fleet.alive()
            assert len(alive) == len(set(alive))
            async with fleet.server():
                await fleet.until(*names(5))
                await bystander.call("agents_scale", agent_id="fleet", desired_instances=0)
                await fleet.until()
                await eventually(lambda: not fleet.waiting())


async def test_after_kill_dash_nine_while_instances_are_being_ended_all_of_them_end(fleet: Fleet):
    fleet.declare("import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\n" + SLEEP, grace_seconds=1)
    async with server(fleet.url) as bystander:
        for delay in (0.02, 0.5, 1.02):
            async with fleet.server() as doomed:
                await begin(doomed, 3)
                await fleet.until(*names(3))
                await bystander.call("agents_scale", agent_id="fleet", desired_instances=0)
                await asyncio.sleep(delay)
                await kill(doomed)
            async with fleet.server():
                await fleet.until()


async def test_killing_whoever_supervises_again_and_again_keeps_every_instance(fleet: Fleet):
    async with fleet.server() as watching:
        await begin(watching, 3)
        await fleet.until(*names(3))
        pids = {one["pid"] for one in await instances(watching)}
    for _ in range(3):
        async with fleet.server() as client:
            await fleet.until(*names(3))
            await kill(client)
        assert fleet.alive() == names(3)
    async with fleet.server() as last:
        await eventually(lambda: fleet.alive() == names(3))
        assert {one["pid"] for one in await instances(last)} == pids, "what runs was adopted, not started anew"
        await last.call("agents_scale", agent_id="fleet", desired_instances=1)
        await fleet.until(*names(1))


@asynccontextmanager
async def two(fleet: Fleet) -> AsyncGenerator[tuple[RawClient, RawClient]]:
    """The one that supervises, and one that could."""
    async with fleet.server() as first:
        await begin(first, 2)
        await fleet.until(*names(2))
        async with fleet.server() as second:
            yield first, second


async def test_a_supervisor_stopped_past_its_lease_is_replaced_in_five_seconds_and_does_nothing_when_it_wakes(
    fleet: Fleet,
):
    async with two(fleet) as (first, second):
        first.process.send_signal(signal.SIGSTOP)
        stopped = Stopwatch()
        victim = (await instances(second))[0]
        while not all(one["process"].get("adopted") for one in await instances(second)):
            assert stopped.seconds < 5
            await asyncio.sleep(0.05)
        os.kill(victim["pid"], signal.SIGKILL)
        await eventually(lambda: fleet.alive() == names(2))
        await second.call("agents_scale", agent_id="fleet", desired_instances=3)
        await fleet.until(*names(3))
        cursor = (await second.call("events_read", newest_first=True, limit=1))["cursor"]
        first.process.send_signal(signal.SIGCONT)
        await first.call("events_read", limit=1)
        await asyncio.sleep(2.5)
        assert fleet.alive() == names(3)
        events = await second.call("events_read", after=cursor, type="process.*")
        assert events["events"] == []


@pytest.mark.parametrize("fleet", ["sqlite"], indirect=True)
async def test_a_supervisor_stopped_in_the_midst_of_a_commit_holds_up_take_over_for_as_long_as_it_is_stopped(
    fleet: Fleet,
):
    async with two(fleet) as (first, second):
        victim = (await instances(second))[0]
        await stop_in_its_turn(first, fleet.url)
        os.kill(victim["pid"], signal.SIGKILL)
        await asyncio.sleep(6)
        assert len(fleet.alive()) == 1, "nobody can write, so nobody takes over"
        refused = await second.call("state_set", namespace="n", key="k", value=1)
        assert refused["error"]["code"] == "busy" and str(first.process.pid) in refused["error"]["message"]
        await kill(first)
        killed = Stopwatch()
        await fleet.until(*names(2))
        assert killed.seconds < 5


async def test_take_over_after_kill_dash_nine_takes_less_than_five_seconds(fleet: Fleet):
    async with two(fleet) as (first, second):
        await kill(first)
        killed = Stopwatch()
        os.kill((await instances(second))[0]["pid"], signal.SIGKILL)
        await eventually(lambda: len(fleet.alive()) == 1)
        await fleet.until(*names(2))
        assert killed.seconds < 5


CLAIMS_AND_SLEEPS = """
import sys
from mcp_server.__main__ import main
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
sys.argv = ["x", "worker", "fleet", "--lease-seconds", "600", "--", *sleep]
main()
"""


async def test_what_a_killed_instance_had_leased_is_back_at_once_and_that_attempt_counts(fleet: Fleet):
    fleet.declare(CLAIMS_AND_SLEEPS)
    async with fleet.server() as client:
        await client.call("tasks_create", tasks=[{"title": "t"}])
        await begin(client, 1)
        task: dict[str, Any] = {}

        async def running(attempt: int) -> dict[str, Any]:
            while True:
                found = (await client.call("tasks_find", limit=1))["tasks"][0]
                if found["status"] == "running" and found.get("attempt", 1) == attempt:
                    return found
                await asyncio.sleep(0.05)

        async with asyncio.timeout(60):
            task = await running(1)
        (one,) = await instances(client)
        os.kill(one["pid"], signal.SIGKILL)
        async with asyncio.timeout(60):
            again = await running(2)
        assert again["id"] == task["id"]


async def test_a_worker_that_is_no_longer_wanted_finishes_its_task_before_it_ends(fleet: Fleet):
    slow = "import time; time.sleep(3); print(7)"
    fleet.declare(CLAIMS_AND_SLEEPS.replace("import time; time.sleep(600)", slow))
    async with fleet.server() as client:
        (task,) = (await client.call("tasks_create", tasks=[{"title": "t"}]))["tasks"]
        await begin(client, 1)
        await client.call("tasks_wait", task_id=task["id"], until="running", wait_seconds=30)
        await client.call("agents_scale", agent_id="fleet", desired_instances=0)
        done = await client.call("tasks_wait", task_id=task["id"], wait_seconds=30)
        assert (done["task"]["status"], done["task"]["result"]) == ("completed", 7)
        await fleet.until()
        async with asyncio.timeout(60):
            while (process := (await instances(client))[0]["process"])["status"] != "stopped":
                await asyncio.sleep(0.05)
        assert process["last_exit"] == "exit code 0"


async def test_a_server_that_ends_in_order_leaves_its_instances_to_the_next(fleet: Fleet):
    async with fleet.server() as client:
        await begin(client, 2)
        await fleet.until(*names(2))
    assert fleet.alive() == names(2)
    async with fleet.server() as client:
        await client.call("agents_scale", agent_id="fleet", desired_instances=0)
        await fleet.until()


async def test_the_example_runs_a_plain_worker_on_the_tasks_of_the_desk(sqlite_url: str, tmp_path: Path):
    config = tmp_path / "launchers.toml"
    program = Path(sys.executable).parent / "data-mcp-server-agent"
    text = (EXAMPLES / "launchers.toml").read_text()
    for old, new in (
        ('"data-mcp-server-agent"', f'"{program}"'),
        ('"python3"', f'"{sys.executable}"'),
        ("examples/word_count.py", str(EXAMPLES / "word_count.py")),
        ('PYTHONUNBUFFERED = "1"', f'PYTHONPATH = "{ROOT}"'),
    ):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    async with server(sqlite_url, "--config", str(config)) as client:
        await client.call("agents_register", name="counter", launcher={"name": "python-worker"})
        policy = {"min": 0, "max": 2, "up_delay_seconds": 0, "down_delay_seconds": 2}
        await client.call("agents_scale", agent_id="counter", scaling=policy)
        spec = {"title": "t", "kind": "count", "input": {"text": "to be or not to be"}}
        (task,) = (await client.call("tasks_create", tasks=[spec]))["tasks"]
        done = await client.call("tasks_wait", task_id=task["id"], wait_seconds=40)
        assert done["task"]["result"]["words"] == 6, done
        async with asyncio.timeout(60):
            while (await client.call("agents_find", agent_id="counter"))["agent"].get("desired_instances"):
                await asyncio.sleep(0.1)
            while (await client.call("agents_find", agent_id="counter"))["agent"]["instances"][0]["process"][
                "status"
            ] != "stopped":
                await asyncio.sleep(0.1)
