"""The worker for system tasks: leases, retries and dead letters are the queue's own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from mcp_server.domain.errors import Busy
from mcp_server.domain.task_spec import ProgressSpec, RetrySpec, TaskSpec
from mcp_server.runtime import system_worker
from mcp_server.runtime.handlers import HandlerFailed, system_handlers
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.runtime.timers import run_retention
from mcp_server.services.retention import Keep
from tests.world import World

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def working(world: World, **handlers) -> AsyncGenerator[SystemWorker]:
    worker = SystemWorker(world.desk, {f"system.{name}": handler for name, handler in handlers.items()})
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(world: World, task_id: str, *statuses: str):
    while (task := await world.desk.tasks.get(world.call, task_id)).status not in statuses:
        await asyncio.sleep(0.005)
    return task


async def create(world: World, kind: str, **more):
    return await world.desk.system.create(TaskSpec(title="t", kind=f"system.{kind}", **more))


async def test_a_system_task_is_done_at_once_by_the_process_that_created_it(world: World):
    async def double(task, report):
        await report(ProgressSpec(percent=50))
        return {"doubled": task.input * 2}

    async with working(world, double=double):
        task = await create(world, "double", input=21)
        done = await until(world, task.id, "completed")
    assert (done.result, done.progress) == ({"doubled": 42}, {"percent": 50.0})


async def test_what_a_handler_says_of_its_failure_decides_on_the_retry(world: World):
    async def refuse(task, report):
        raise HandlerFailed("no such mailbox", code="rejected", retryable=False)

    async def stumble(task, report):
        raise HandlerFailed("try later", code="temporary")

    async def break_(task, report):
        raise ZeroDivisionError

    async def store_fails(task, report):
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

    async def slow(task, report):
        began.set()
        await asyncio.sleep(3600)

    async def fast(task, report):
        return "done"

    async with working(world, job=slow):
        task = await create(world, "job")
        await began.wait()
    assert (await until(world, task.id, "queued")).attempt == 1
    async with working(world, job=fast):
        assert (await until(world, task.id, "completed")).result == "done"


async def test_a_lease_is_kept_while_a_handler_works_and_cancellation_stops_it(world: World, monkeypatch):
    monkeypatch.setattr(system_worker, "RENEW_EVERY_SECONDS", 0.01)
    stopped = asyncio.Event()

    async def slow(task, report):
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    async with working(world, job=slow):
        task = await create(world, "job")
        await until(world, task.id, "running")
        while "task.reported" not in await world.events(aggregate_id=task.id):
            await asyncio.sleep(0.005)
        await world.desk.tasks.control(world.call, [task.id], "cancel")
        await until(world, task.id, "cancelled")
    assert stopped.is_set()


async def test_a_handler_whose_lease_was_lost_is_stopped_and_its_result_refused(world: World, monkeypatch):
    monkeypatch.setattr(system_worker, "RENEW_EVERY_SECONDS", 0.01)
    began, stopped = asyncio.Event(), asyncio.Event()

    async def slow(task, report):
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    async with working(world, job=slow):
        await create(world, "job")
        await began.wait()
        world.clock.advance(3600)
        await asyncio.wait_for(stopped.wait(), 10)


async def test_a_worker_takes_no_more_than_it_has_room_for(world: World):
    running: list[int] = []
    most = 0
    release = asyncio.Event()

    async def job(task, report):
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await release.wait()
        running.pop()

    async with working(world, job=job) as worker:
        tasks = [await create(world, "job") for _ in range(10)]
        while len(running) < 4:
            await asyncio.sleep(0.005)
        assert await worker.look() == 0
        release.set()
        for task in tasks:
            await until(world, task.id, "completed")
    assert most == 4


async def test_the_retention_handler_archives_everything_that_is_due(world: World, monkeypatch):
    from mcp_server.services import retention

    monkeypatch.setattr(retention, "ARCHIVE_AT_ONCE", 3)
    agent = await world.agent()
    await world.tasks(*({} for _ in range(8)))
    for claimed in await world.claim(agent, max_tasks=8):
        await world.desk.tasks.finish(world.call, claimed.task.id, claimed.lease_token)
    world.clock.advance(40 * 86_400)
    await world.desk.retention.begin(Keep(30, 90))
    handlers = system_handlers(world.desk, Keep(30, 90))
    worker = SystemWorker(world.desk, handlers)
    assert await worker.look() == 1
    await worker.idle()
    (row,) = await world.database.fetch_all("archived_tasks_find_count")
    assert row["n"] == 8


async def test_the_retention_timer_asks_again_and_survives_a_store_that_is_busy(world: World, monkeypatch):
    from mcp_server.runtime import timers

    asked: list[Keep] = []

    class Retention:
        async def begin(self, keep: Keep) -> None:
            asked.append(keep)
            raise Busy("The store is busy.")

    monkeypatch.setattr(timers, "RETENTION_EVERY_SECONDS", 0.001)
    task = asyncio.create_task(run_retention(Retention(), Keep(7, 9)))  # type: ignore[arg-type]
    while len(asked) < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asked[:2] == [Keep(7, 9), Keep(7, 9)]
