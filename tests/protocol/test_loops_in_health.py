"""What rests after a failure shows to whoever asks how the server is, and in its metrics."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from mcp_server.kernel.errors import Busy, Unavailable
from mcp_server.kernel.loops import Loops
from mcp_server.observability.metrics import NoMetrics, PrometheusMetrics
from mcp_server.protocol.status import health as health_page
from resources import health as system
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


class Failing:
    """A loop that failed once, and rests until it is let on."""

    def __init__(self) -> None:
        self.loops = Loops(sleep=self._sleep)
        self._resting, self._on = asyncio.Event(), asyncio.Event()
        self._failures = [Busy("The store is busy.")]

    async def _sleep(self, _: float) -> None:
        self._resting.set()
        await self._on.wait()

    async def _body(self) -> None:
        if self._failures:
            raise self._failures.pop()

    @asynccontextmanager
    async def resting(self) -> AsyncGenerator[None]:
        """On leaving, the loop runs again and ends."""
        task = asyncio.create_task(self.loops.keep("event-feed", self._body))
        await self._resting.wait()
        try:
            yield
        finally:
            self._on.set()
            await task


def desk_with(world: World, loops: Loops, **others: Any) -> Any:
    desk = world.desk
    told = {
        "tasks": desk.tasks,
        "amiss": desk.amiss,
        "version": "1",
        "engine": desk.engine,
        "is_read_only": False,
        "loops": loops,
    }
    return SimpleNamespace(**told | {"housekeeping": desk.housekeeping, "log_held_back": desk.log_held_back} | others)


async def get_health(desk: Any) -> tuple[int, Any]:
    app = Starlette(routes=[Route("/health", health_page(desk, tuple, keys=False))])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
        answer = await http.get("/health")
        return answer.status_code, answer.json()


async def test_the_health_resource_tells_of_a_loop_that_rests_and_of_its_recovery(world: World):
    failing = Failing()
    desk = desk_with(world, failing.loops)
    health = await system._health(desk, world.call, {})
    assert health["ok"] is True and "loops" not in health
    async with failing.resting():
        health = await system._health(desk, world.call, {})
        (entry,) = health["loops"]
        assert health["ok"] is False
        assert (entry["name"], entry["state"], entry["last_error"]) == (
            "event-feed",
            "restarting",
            "The store is busy.",
        )
    health = await system._health(desk, world.call, {})
    assert health["ok"] is True
    assert [(entry["state"], entry["restarts"]) for entry in health["loops"]] == [("running", 1)]


async def test_the_health_page_answers_503_while_a_loop_rests(world: World):
    failing = Failing()
    desk = desk_with(world, failing.loops)
    well = (200, {"ok": True, "version": "1", "loops": []})
    assert await get_health(desk) == well
    async with failing.resting():
        assert await get_health(desk) == (503, {"ok": False, "version": "1", "loops": ["event-feed"]})
    assert await get_health(desk) == well


async def test_the_health_page_names_the_stores_problem_too(world: World):
    class Tasks:
        async def counts(self, _: Any) -> None:
            raise Unavailable("The database is gone.")

    status, answer = await get_health(desk_with(world, Loops(), tasks=Tasks()))
    problem = {"problem": "unavailable", "database": "The database is gone."}
    assert (status, answer) == (503, {"ok": False, "version": "1", "loops": []} | problem)


async def test_health_names_a_database_whose_files_are_not_what_they_were(absent_sqlite_url: str):
    path = Path(absent_sqlite_url.removeprefix("sqlite:///"))
    async with open_world(absent_sqlite_url) as world:
        await world.write("a", "b", "x" * 10_000)
        desk = desk_with(world, Loops())
        assert (await get_health(desk))[1].keys() == {"ok", "version", "loops"}
        os.truncate(f"{path}-wal", 100)
        told = "cut off or overwritten by another program"
        status, answer = await get_health(desk)
        assert (status, answer["problem"], told in answer["database"]) == (503, "unavailable", True)
        health = await system._health(desk, world.call, {})
        assert health["ok"] is False and told in health["database"]


async def test_restarts_and_failing_loops_are_metrics():
    failing, metrics = Failing(), PrometheusMetrics()
    metrics.watch(failing.loops)
    NoMetrics().watch(Loops())
    async with failing.resting():
        assert b"datamcp_loops_failing 1.0" in metrics.text()
    assert b"datamcp_loops_failing 0.0" in metrics.text()
    assert b'datamcp_loop_restarts_total{loop="event-feed"} 1.0' in metrics.text()
