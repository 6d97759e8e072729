"""On PostgreSQL the time is the server's, whatever the clocks of the machines that use it say."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks, ReportTask
from mcp_server.kernel.clocks import ClockWatch
from mcp_server.kernel.times import SECOND, steady_clock, system_clock
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.postgres.clock import LOOK_AGAIN_AFTER, Answer, ServerClock
from tests.processes import INITIALIZE, RawClient
from tests.world import START, Clock, caller

pytestmark = pytest.mark.anyio
TEN_MINUTES = 600 * SECOND
AHEAD = f"""
import runpy, sys, time
real_ns = time.time_ns
time.time_ns = lambda: real_ns() + {TEN_MINUTES * 1000}
time.time = lambda: time.time_ns() / 1e9
sys.argv[0] = "data-mcp-server-agent"
runpy.run_module("mcp_server", run_name="__main__")
"""


def asked(machine: Clock, server: int, took: int = 10) -> Answer:
    """That it is now so late by the server, which answered within so long and read its clock half-way."""
    return Answer(server - took // 2, machine.steady() - took, machine.steady())


def clock_of(machine: Clock) -> ServerClock:
    return ServerClock(machine, machine.steady)


def test_the_time_is_the_servers_and_setting_the_machines_clock_changes_nothing():
    machine = Clock()
    clock = clock_of(machine)
    assert clock() == START
    clock.take([asked(machine, START - TEN_MINUTES)], 1)
    assert clock() == START - TEN_MINUTES and clock.off == TEN_MINUTES
    machine.set(3600)
    assert clock() == START - TEN_MINUTES
    machine.advance(7)
    assert clock() == START - TEN_MINUTES + 7 * SECOND


def test_the_answer_that_came_fastest_counts_and_one_that_says_nothing_new_changes_nothing():
    machine = Clock()
    clock = clock_of(machine)
    clock.take([asked(machine, START + 900_000, took=1_000_000), asked(machine, START)], 1)
    assert clock() == START
    clock.take([asked(machine, START + 400_000, took=1_000_000)], 1)
    assert clock() == START


def test_by_a_measurement_time_stands_still_instead_of_going_back():
    machine = Clock()
    clock = clock_of(machine)
    clock.take([asked(machine, START)], 1)
    before = clock()
    clock.take([asked(machine, START - 2 * SECOND)], 1)
    assert clock() == before
    machine.advance(1)
    assert clock() == before
    machine.advance(3)
    assert before < clock() < before + 3 * SECOND


def test_that_the_servers_own_clock_was_set_is_noticed_as_a_clock_that_was_set():
    machine = Clock()
    clock = clock_of(machine)
    clock.take([asked(machine, START)], 1)
    watch = ClockWatch(clock, machine.steady)
    for by in (3600, -7200):
        clock.take([asked(machine, clock() + by * SECOND)], 1)
        jump = watch.look()
        assert jump is not None and abs(jump.seconds - by) < 1


def test_the_server_is_asked_again_in_time_after_a_jump_and_after_a_new_connection():
    machine = Clock()
    clock = clock_of(machine)
    assert clock.is_due(1)
    clock.take([asked(machine, START)], 1)
    assert not clock.is_due(1) and clock.is_due(2)
    machine.set(60)
    assert clock.is_due(1)
    clock.take([asked(machine, START)], 1)
    machine.advance(LOOK_AGAIN_AFTER / SECOND)
    assert clock.is_due(1)


def test_a_machine_whose_clock_is_off_is_told_once_with_the_figure(caplog: pytest.LogCaptureFixture):
    machine = Clock()
    clock = clock_of(machine)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.take([asked(machine, START - TEN_MINUTES)], 1)
    assert caplog.messages == ["this machine's clock is 600.0 s ahead of the database server's, which counts"]


@asynccontextmanager
async def desk_of(url: str, off: int) -> AsyncGenerator[Desk]:
    """A desk on a machine whose clock is off."""
    backend = PostgresBackend(url, AREAS, ServerClock(lambda: system_clock() + off, steady_clock))
    await asyncio.to_thread(backend.prepare)
    await backend.open_readers()
    database = Database(backend)
    try:
        yield desk_on(database)
    finally:
        await database.close()


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES])
async def test_a_machine_that_is_off_takes_no_live_lease_and_grants_no_held_lock(postgres_url: str, off: int):
    call = caller()
    async with AsyncExitStack() as stack:
        right, wrong = [await stack.enter_async_context(desk_of(postgres_url, by)) for by in (0, off)]
        agent = (await right.agents.register(call, Register(name="worker", max_concurrent_tasks=5))).agent
        specs = [{"title": "now"}, {"title": "later", "run_at": "2099-01-01T00:00:00Z"}]
        await right.tasks.create(call, CreateTasks.model_validate({"tasks": specs}))
        (claimed,) = (await right.tasks.claim(call, ClaimTasks(agent_id=agent.id, lease_seconds=60))).claims
        lock = AcquireLock(name="deploy", owner="one", ttl_seconds=60)
        await right.locks.acquire(call, lock)
        await wrong.housekeeping.keep_time()
        await wrong.housekeeping.settle()
        assert not (await wrong.tasks.claim(call, ClaimTasks(agent_id=agent.id))).claims
        refused = await wrong.locks.acquire(call, lock.model_copy(update={"owner": "two"}))
        assert refused.lock is None
        report = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
        await right.tasks.report(call, report)
        assert wrong.housekeeping.clock_told() == {"off_by_seconds": off / SECOND}
        assert right.housekeeping.clock_told() == {}


@asynccontextmanager
async def process(url: str, *program: str) -> AsyncGenerator[RawClient]:
    """A server process; without a program, one whose clock is right."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, *(program or ("-m", "mcp_server")), "--database", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    client = RawClient(started)
    try:
        await client.request("initialize", INITIALIZE)
        await client.send(method="notifications/initialized")
        yield client
    finally:
        assert started.stdin is not None
        started.stdin.close()
        await started.wait()


@pytest.mark.slow
async def test_two_processes_whose_clocks_differ_go_by_the_servers(postgres_url: str):
    async with process(postgres_url) as right, process(postgres_url, "-c", AHEAD) as wrong:
        await right.call("agents_register", name="worker")
        made = await right.call("tasks_create", tasks=[{"title": "t"}])
        claimed = (await right.call("tasks_claim", agent_id="worker", lease_seconds=60))["claims"][0]
        await right.call("locks_acquire", name="deploy", owner="one", ttl_seconds=60)
        assert "held_by" in await wrong.call("locks_acquire", name="deploy", owner="two")
        await wrong.call("state_set", namespace="n", key="k", value=1)
        assert not (await wrong.call("tasks_claim", agent_id="worker")).get("claims")
        await right.call("tasks_report", task_id=made["tasks"][0]["id"], lease_token=claimed["lease_token"])
        events = (await right.call("events_read", newest_first=True, limit=20))["events"]
        written = next(event for event in events if event["aggregate_type"] == "document")
        held = next(event for event in events if event["type"] == "lock.acquired")
        assert written["at"][:13] == held["at"][:13] or written["at"] > held["at"]
        health = await wrong.request("resources/read", {"uri": "ops://health"})
        assert '"off_by_seconds":600.0' in health["result"]["contents"][0]["text"].replace(" ", "")
