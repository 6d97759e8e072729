"""The timers and the worker's watch go on after a failure."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mcp_server.kernel.errors import Busy
from mcp_server.kernel.loops import Loops
from mcp_server.runtime import timers
from mcp_server.runtime.command_worker import CommandWorker, WorkerOptions
from mcp_server.runtime.timers import run_chores, run_timer

pytestmark = pytest.mark.anyio


async def until(done: Callable[[], bool], running: Any) -> None:
    """Run until it is done, then cancel."""
    task = asyncio.create_task(running)
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Rests:
    def __init__(self) -> None:
        self.slept: list[float] = []
        self.loops = Loops(sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_the_chores_are_tried_again_after_a_rest_and_not_only_at_its_next_hour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timers, "CHORES_EVERY_SECONDS", 0)
    asked: list[int] = []

    class Chores:
        async def begin_chores(self) -> None:
            asked.append(1)
            monkeypatch.setattr(timers, "CHORES_EVERY_SECONDS", 600)
            if len(asked) < 3:
                raise Busy("The store is busy.")

    rests = Rests()
    await until(lambda: len(asked) == 3, run_chores(Chores(), rests.loops))  # type: ignore[arg-type]
    assert rests.slept == [0.05, 0.1]


async def test_the_timer_looks_again_after_a_failure_and_after_a_bug():
    failures = [ZeroDivisionError(), Busy("The store is busy.")]
    looked: list[int] = []

    class Housekeeping:
        async def keep_time(self) -> None:
            pass

        async def next_due(self) -> None:
            if failures:
                raise failures.pop()
            looked.append(1)

    class Feed:
        commits = 0

        async def rest(self, *_: object) -> None:
            await asyncio.sleep(600)

    rests = Rests()
    await until(lambda: bool(looked), run_timer(Housekeeping(), Feed(), rests.loops))  # type: ignore[arg-type]
    assert rests.slept == [0.05, 0.1]
    assert [(entry["name"], entry["restarts"]) for entry in rests.loops.report()] == [("timer", 2)]


async def test_a_worker_that_could_not_watch_watches_again_and_looks_at_what_runs():
    failures = [Busy("The store is busy.")]
    poked: list[str] = []

    class Tasks:
        async def changes(self) -> AsyncGenerator[tuple[str, str]]:
            if failures:
                raise failures.pop()
            yield "task_a", "task.reported"
            yield "task_a", "task.cancel_requested"
            await asyncio.Event().wait()

        async def claim(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    loops = Rests().loops
    desk: Any = SimpleNamespace(tasks=Tasks(), loops=loops)
    worker = CommandWorker(desk, SimpleNamespace(), WorkerOptions("agent", None, ("true",)))  # type: ignore[arg-type]
    worker._attempts["task_a"] = SimpleNamespace(poke=lambda: poked.append("poke"))  # type: ignore[assignment]
    await until(lambda: len(poked) == 3, worker.run())  # at the start, again, and at the wish to cancel
    assert [(entry["name"], entry["restarts"]) for entry in loops.report()] == [("worker-watch", 1)]
