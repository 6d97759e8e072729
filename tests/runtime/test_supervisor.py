"""The supervisor keeps what is wanted alive, on both engines, with real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.processes import transactions
from mcp_server.domain.processes.model import Started
from mcp_server.domain.processes.running import UNKNOWN, Identity, Limits, Logs, Stop
from mcp_server.domain.processes.service import ProcessService
from mcp_server.domain.processes.transactions import Supervisor
from mcp_server.integrations.processes.logs import read_tail
from mcp_server.integrations.processes.runner import LocalRunner
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import NotFound, PermissionDenied
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import SECOND
from mcp_server.runtime import supervisor
from tests.runtime.supervised import SLEEPS, Yard, is_gone, sh, yard_of
from tests.world import World, caller

pytestmark = pytest.mark.anyio


@pytest.fixture
async def yard(world: World, tmp_path: Path) -> AsyncGenerator[Yard]:
    async with yard_of(world, tmp_path / "logs") as made:
        yield made


async def test_what_is_wanted_runs_with_its_own_environment_and_what_is_not_wanted_ends(yard: Yard):
    async with yard.supervisor():
        await yard.want(sh("echo I am $MARK; exec sleep 600"))
        process = await yard.running()
        assert process.pid is not None and not is_gone(process.pid)
        assert await yard.written() == "I am process_a\n"
        await yard.unwant()
        stopped = await yard.stopped()
    assert (stopped.exit, stopped.reason, stopped.pid) == ("signal 15 (SIGTERM)", "enough", None)
    assert is_gone(process.pid)
    wanted = ["wanted", "started", "unwanted", "stopping", "exited"]
    assert await yard.events() == [f"process.{what}" for what in wanted]


async def test_what_crashes_is_back_at_once_and_told_how_it_ended(yard: Yard):
    async with yard.supervisor():
        await yard.want(SLEEPS)
        process = await yard.running()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSEGV)
        again = await yard.running(starts=2)
    assert again.pid != process.pid
    assert (again.exit, again.failures) == ("signal 11 (SIGSEGV)", 1)


@pytest.mark.slow
async def test_what_fails_again_and_again_rests_longer_and_says_that_it_is_in_a_crash_loop(yard: Yard):
    async with yard.supervisor():
        await yard.want(sh("exit 3"))
        looping = await yard.until(lambda one: one.status == "crash_loop")
        assert (looping.reason, looping.starts, looping.pid) == ("it ended: exit code 3", 5, None)
        assert looping.retry_at is not None and looping.retry_at - looping.updated_at == 60_000_000
        await yard.want(SLEEPS)
        assert (await yard.running(starts=6)).failures == 0


async def test_a_program_that_cannot_be_run_is_told_by_name(yard: Yard):
    async with yard.supervisor():
        await yard.want(("no-such-program",))
        process = await yard.until(lambda one: one.status == "backoff")
        assert process.reason == "no-such-program: No such file or directory"


async def test_what_does_not_end_in_its_time_of_grace_is_killed_with_its_group(yard: Yard):
    yard.stop = Stop(grace_seconds=0.2)
    async with yard.supervisor():
        await yard.want(sh("trap '' TERM; sleep 600 & echo $!; wait; wait"))
        await yard.running()
        child = int(await yard.written())
        await yard.unwant()
        stopped = await yard.stopped()
    assert stopped.exit == "signal 9 (SIGKILL)"
    assert is_gone(child)


async def test_another_supervisor_adopts_what_runs_and_cannot_know_how_it_ends(yard: Yard):
    async with yard.supervisor():
        await yard.want(SLEEPS)
        process = await yard.running()
    async with yard.supervisor("two"):
        adopted = await yard.until(lambda one: one.adopted == 1)
        assert (adopted.pid, adopted.starts) == (process.pid, 1)
        await yard.unwant()
        assert (await yard.stopped()).exit == "unknown (adopted)"


async def test_what_ended_while_nobody_supervised_is_started_again(yard: Yard):
    async with yard.supervisor():
        await yard.want(SLEEPS)
        process = await yard.running()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    async with yard.supervisor("two"):
        again = await yard.running(starts=2)
        assert (again.exit, again.adopted) == ("unknown (adopted)", 0)


async def test_of_two_supervisors_one_runs_each_process_once(yard: Yard):
    async with yard.supervisor("one"), yard.supervisor("two"):
        for number in range(5):
            await yard.want(sh("echo started; exec sleep 600"), f"process_{number}", number)
        for number in range(5):
            process = await yard.running(f"process_{number}")
            assert process.starts == 1
        assert {await yard.written(f"process_{number}") for number in range(5)} == {"started\n"}


async def test_what_holds_too_much_memory_is_killed_and_says_so(yard: Yard, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervisor, "WATCH_EVERY_SECONDS", 0.05)
    yard.limits = Limits(memory_bytes=64 * 2**20)
    async with yard.supervisor():
        await yard.want(("python3", "-c", "x = b'1' * 200_000_000\nimport time; time.sleep(600)"))
        process = await yard.until(lambda one: one.exit is not None)
    assert process.exit == "signal 9 (SIGKILL)"
    events, _ = await yard.desk.events.read(caller(), ReadEvents(aggregate_id="process_a", limit=100))
    reasons = [event.data["reason"] for event in events if event.type == "process.exited"]
    assert "MiB of memory, and may hold 64" in reasons[0], "whatever was started again meanwhile"


async def test_a_log_that_is_filled_stays_bounded_and_its_tail_says_that_something_is_missing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor, "WATCH_EVERY_SECONDS", 0.05)
    async with yard.supervisor(log_bytes_max=10_000):
        await yard.want(sh("yes 'a line that is written again and again' | head -c 3000000; echo last; exec sleep 600"))
        await yard.running()
        log = yard.folder / "process_a.log"
        async with asyncio.timeout(60):
            while not ((tail := read_tail(log)) and tail.rotated and tail.text.endswith("last\n")):
                await asyncio.sleep(0.05)
        assert tail.cut
        assert sum(path.stat().st_size for path in yard.folder.iterdir()) < 30_000


async def test_the_tail_of_a_log_is_read_where_it_lies_and_nowhere_else(yard: Yard):
    logs = Logs(lambda: LocalRunner().host, read_tail)
    here, elsewhere = ProcessService(Services(yard.desk.context, logs)), ProcessService(Services(yard.desk.context))
    async with yard.supervisor():
        await yard.want(sh("echo hello; exec sleep 600"))
        await yard.running()
        await yard.written()
        told = await here.log(caller(), "process_a")
        assert (told.log, told.status, told.missing) == ("hello\n", "running", None)
        assert (await elsewhere.log(caller(), "process_a")).missing == [f"The log lies on the host {told.host}."]
        with pytest.raises(NotFound):
            await here.log(caller(), "process_none")
        with pytest.raises(PermissionDenied):
            await here.log(caller(Role.VIEWER), "process_a")


async def test_a_process_that_a_supervisor_was_about_to_end_when_it_died_is_ended_by_the_next(yard: Yard):
    async with yard.supervisor() as first:
        await yard.want(SLEEPS)
        process = await yard.running()
        fence = first._fences["test"]
        await first._store.asked_to_end(fence, process.id, process.identity, "it was written down", at_once=False)
    async with yard.supervisor("two"):
        again = await yard.running(starts=2)
    assert again.reason is None and again.exit == "unknown (adopted)"
    assert process.pid is not None and is_gone(process.pid)


async def test_what_another_host_has_taken_over_meanwhile_is_ended_here(yard: Yard):
    async with yard.supervisor():
        await yard.want(SLEEPS)
        process = await yard.running()
        elsewhere = Supervisor("elsewhere", "two")
        await yard.write(ends_the_lease_of_this_host)
        fence = (await yard.write(transactions.hold, elsewhere, ["test"]))["test"]
        await yard.write(transactions.abandon, fence, "another boot")
        place = Started("elsewhere", Identity(1, "1", "another boot"), Stop(), "/logs/process_a.log")
        await yard.write(transactions.begun, fence, process.id, place)
        assert process.pid is not None
        async with asyncio.timeout(60):
            while not is_gone(process.pid):
                await asyncio.sleep(0.01)
        assert (await yard.process()).host == "elsewhere"
        await yard.write(transactions.unwant, process.id, "over")
        await yard.write(transactions.ended, fence, process.id, place.identity, UNKNOWN, None)


def ends_the_lease_of_this_host(tx: Any, origin: Any) -> None:
    """As if nobody had been heard of there for long."""
    tx.run("supervisor_leaves", host=LocalRunner().host, holder="one", now=origin.at - 100 * SECOND)


async def test_one_step_that_fails_for_whatever_reason_ends_the_supervision_of_no_other(yard: Yard):
    real = yard.resolve

    async def resolve(process: Any) -> Any:
        if process.id == "process_bad":
            raise RuntimeError("a bug")
        return await real(process)

    yard.resolve = resolve
    async with yard.supervisor():
        await yard.want(SLEEPS, "process_bad", 1)
        await yard.want(SLEEPS)
        await yard.running()
        assert (await yard.process("process_bad")).status == "starting"
