"""The worker for system tasks: leases, retries and dead letters are the queue's own."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks import archive, system
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.area import SystemKind
from mcp_server.kernel.errors import Busy
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.runtime import system_worker
from mcp_server.runtime.system_worker import SystemWorker
from tests.world import World

pytestmark = pytest.mark.anyio


def kind(name: str, handler: Handler, at_once: int = 4, seconds_max: float = 600) -> SystemKind:
    return SystemKind(f"system.{name}", lambda services: handler, at_once, seconds_max)


@asynccontextmanager
async def working(world: World, *kinds: SystemKind, **handlers: Handler) -> AsyncGenerator[SystemWorker]:
    worker = SystemWorker(world.desk, [*kinds, *(kind(name, handler) for name, handler in handlers.items())])
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(world: World, task_id: str, *statuses: str) -> TaskView:
    while (task := await world.desk.tasks.get(world.call, task_id)).status not in statuses:
        await asyncio.sleep(0.005)
    return task


async def create(world: World, kind: str, **more: Any) -> TaskView:
    return await world.desk.system.create(TaskSpec(title="t", kind=f"system.{kind}", **more))


async def test_a_system_task_is_done_at_once_by_the_process_that_created_it(world: World):
    reported: list[Any] = []

    async def double(job: Job):
        await job.report("half of it")
        reported.append((await world.desk.tasks.get(world.call, job.task_id)).progress)
        return {"doubled": job.input * 2}

    async with working(world, double=double):
        task = await create(world, "double", input=21)
        done = await until(world, task.id, "completed")
    assert (done.result, reported) == ({"doubled": 42}, [{"message": "half of it"}])


async def test_what_a_handler_says_of_its_failure_decides_on_the_retry(world: World):
    async def refuse(job: Job):
        raise HandlerFailed("no such mailbox", code="rejected", retryable=False)

    async def stumble(job: Job):
        raise HandlerFailed("try later", code="temporary")

    async def break_(job: Job):
        raise ZeroDivisionError

    async def store_fails(job: Job):
        raise Busy("The store is busy.")

    retry = RetrySpec(max_attempts=2, delay_seconds=60)
    async with working(world, refuse=refuse, stumble=stumble, bug=break_, busy=store_fails):
        tasks = {kind: await create(world, kind, retry=retry) for kind in ("refuse", "stumble", "bug", "busy")}
        refused = await until(world, tasks["refuse"].id, "failed")
        assert refused.error is not None and refused.error["code"] == "rejected"
        for kind, code in (("stumble", "temporary"), ("bug", "bug"), ("busy", "busy")):
            waiting = await until(world, tasks[kind].id, "pending")
            assert waiting.error is not None and waiting.error["code"] == code
            assert "ZeroDivisionError" not in str(waiting.error)


async def test_a_worker_that_is_stopped_hands_its_task_back_and_another_does_it(world: World):
    began = asyncio.Event()

    async def slow(job: Job):
        began.set()
        await asyncio.sleep(3600)

    async def fast(job: Job):
        return "done"

    async with working(world, job=slow):
        task = await create(world, "job")
        await began.wait()
    assert (await until(world, task.id, "queued")).attempt == 1
    async with working(world, job=fast):
        assert (await until(world, task.id, "completed")).result == "done"


async def test_what_was_claimed_is_handed_back_where_its_worker_stops_before_it_begins(world: World):
    began: list[str] = []

    async def begin(job: Job):
        began.append(job.task_id)

    worker = SystemWorker(world.desk, [kind("begin", begin)])
    task = await create(world, "begin")
    await worker.look()
    next(one for one in asyncio.all_tasks() if one.get_name() == task.id).cancel()
    await worker.idle()
    assert (await until(world, task.id, "queued")).attempt == 1 and began == []


async def test_a_claim_that_is_committed_while_its_worker_stops_is_handed_back(world: World, monkeypatch):
    began, go_on = threading.Event(), threading.Event()
    real = system.claim_system

    def slow_claim(*args: Any) -> Any:
        began.set()
        outcome = real(*args)
        go_on.wait(60)
        return outcome

    async def never(job: Job):
        raise AssertionError(job)

    monkeypatch.setattr(system, "claim_system", slow_claim)
    worker = SystemWorker(world.desk, [kind("never", never)])
    task = await create(world, "never")
    looking = asyncio.create_task(worker.look())
    while not began.is_set():
        await asyncio.sleep(0.001)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    go_on.set()
    while (found := await until(world, task.id, "queued")).attempt != 1:
        await asyncio.sleep(0.005)
    assert found.lease is None


async def test_a_lease_is_kept_while_a_handler_works_and_cancellation_stops_it(world: World, monkeypatch):
    monkeypatch.setattr(system_worker, "RENEW_EVERY_SECONDS", 0.01)
    stopped = asyncio.Event()

    async def slow(job: Job):
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    async with working(world, job=slow):
        task = await create(world, "job")
        await until(world, task.id, "running")
        while "task.reported" not in await world.events(aggregate_id=task.id):
            await asyncio.sleep(0.005)
        await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action="cancel"))
        await until(world, task.id, "cancelled")
    assert stopped.is_set()


async def test_a_handler_whose_lease_was_lost_is_stopped_and_its_result_refused(world: World, monkeypatch):
    monkeypatch.setattr(system_worker, "RENEW_EVERY_SECONDS", 0.01)
    began, stopped = asyncio.Event(), asyncio.Event()

    async def slow(job: Job):
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    async with working(world, job=slow):
        await create(world, "job")
        await began.wait()
        world.clock.advance(3600)
        await asyncio.wait_for(stopped.wait(), 60)


async def test_a_worker_takes_no_more_than_it_has_room_for(world: World):
    running: list[int] = []
    most = 0
    release = asyncio.Event()

    async def occupy(job: Job):
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await release.wait()
        running.pop()

    async with working(world, job=occupy) as worker:
        tasks = [await create(world, "job") for _ in range(10)]
        while len(running) < 4:
            await asyncio.sleep(0.005)
        assert await worker.look() == 0
        release.set()
        for task in tasks:
            await until(world, task.id, "completed")
    assert most == 4


async def test_a_kind_whose_slots_are_all_busy_never_delays_another_kind(world: World):
    running, release = Counter[str](), asyncio.Event()

    async def slow(job: Job):
        running["slow"] += 1
        await release.wait()

    async def quick(job: Job):
        return "done"

    async with working(world, kind("slow", slow, at_once=2), kind("quick", quick, at_once=1)):
        slow_ones = [await create(world, "slow") for _ in range(5)]
        while running["slow"] < 2:
            await asyncio.sleep(0.005)
        for task in [await create(world, "quick") for _ in range(5)]:
            assert (await until(world, task.id, "completed")).result == "done"
        statuses = Counter([await world.status(task) for task in slow_ones])
        assert (statuses, running["slow"]) == ({"running": 2, "queued": 3}, 2)
        release.set()
        for task in slow_ones:
            await until(world, task.id, "completed")


async def test_no_kind_ever_has_more_at_once_than_it_may_however_many_are_queued(world: World):
    limits = {"one": 1, "two": 2, "three": 3}
    running, most, release = Counter[str](), Counter[str](), asyncio.Event()

    def occupying(name: str) -> SystemKind:
        async def occupy(job: Job):
            running[name] += 1
            most[name] = max(most[name], running[name])
            await release.wait()
            await job.report("nearly done")
            running[name] -= 1

        return kind(name, occupy, at_once=limits[name])

    tasks = [await create(world, name) for _ in range(8) for name in limits]
    async with working(world, *map(occupying, limits)) as worker:
        while running != limits:
            await asyncio.sleep(0.005)
        assert await worker.look() == 0
        release.set()
        for task in tasks:
            await until(world, task.id, "completed")
    assert (most, running.total()) == (limits, 0)


async def test_an_attempt_that_takes_longer_than_its_kind_may_is_cancelled_and_retried(world: World, monkeypatch):
    monkeypatch.setattr("mcp_server.persistence.feed.BREATH_SECONDS", 0.01)
    never, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck_at_first(job: Job):
        if cancelled.is_set():
            return "done"
        try:
            await never.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    # Long enough for the second attempt, which does not wait, on a busy machine too.
    async with working(world, kind("job", stuck_at_first, seconds_max=0.25)):
        task = await create(world, "job", retry=RetrySpec(max_attempts=2, delay_seconds=60))
        failed = await until(world, task.id, "pending")
        assert cancelled.is_set()
        assert failed.error is not None and (failed.error["code"], failed.error["attempt"]) == ("timed_out", 1)
        assert "longer than the 0.25 seconds" in failed.error["message"]
        world.clock.advance(100)
        await world.settle()
        done = await until(world, task.id, "completed")
    assert (done.result, done.attempt) == ("done", 2)


async def test_the_archive_handler_moves_everything_that_is_due(world: World, monkeypatch):
    monkeypatch.setattr(archive, "ARCHIVE_AT_ONCE", 3)
    agent = await world.agent()
    await world.tasks(*({} for _ in range(8)))
    for claimed in await world.claim(agent, max_tasks=8):
        await world.finish(claimed)
    world.clock.advance(40 * 86_400)
    await world.desk.housekeeping.begin_chores()
    worker = SystemWorker(world.desk, AREAS.kinds)
    assert await worker.look() == 1
    await worker.idle()
    (row,) = await world.database.fetch_all("archived_tasks_find_count", counted=100)
    assert row["n"] == 8


async def test_a_handlers_own_time_out_is_not_taken_for_its_kinds_limit(world: World):
    async def socket(job: Job):
        raise TimeoutError("the socket, not the kind")

    async with working(world, socket=socket):
        task = await create(world, "socket", retry=RetrySpec(max_attempts=1))
        failed = await until(world, task.id, "failed")
    assert failed.error is not None and failed.error["code"] == "bug"


async def test_what_a_failure_says_is_kept_even_where_it_holds_what_cannot_be_stored(world: World):
    async def refuse(job: Job):
        raise HandlerFailed("550 \x00 no \ud800" + "n" * 30_000, code="rejected", retryable=False)

    async with working(world, refuse=refuse):
        task = await create(world, "refuse", retry=RetrySpec(max_attempts=5))
        failed = await until(world, task.id, "failed")
    assert failed.error is not None and failed.error["code"] == "rejected"
    assert failed.error["message"].startswith("550  no ?n")
