"""A background loop never ends silently: it runs again after a rest, and what happened is told."""

import asyncio
import logging
import threading
from typing import Any

import pytest

from mcp_server.kernel.errors import Busy
from mcp_server.kernel.loops import ERROR_CHARS_MAX, Loops
from mcp_server.kernel.times import iso
from tests.world import Clock

pytestmark = pytest.mark.anyio


class Rests:
    """Loops whose rests take no time, and what was seen during each."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.slept: list[float] = []
        self.seen: list[tuple[list[str], list[dict[str, Any]]]] = []
        self.loops = Loops(clock=self.clock, sleep=self.sleep, wait=self.wait)

    async def sleep(self, seconds: float) -> None:
        self._rest(seconds)

    def wait(self, stopped: threading.Event, seconds: float) -> bool:
        self._rest(seconds)
        return stopped.is_set()

    def _rest(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seen.append((self.loops.failing(), self.loops.report()))


class Body:
    """Fails as often as told, then returns."""

    def __init__(self, *failures: Exception, before: Any = None) -> None:
        self._failures = list(failures)
        self._before = before
        self.runs = 0

    def run(self) -> None:
        self.runs += 1
        if self._before is not None:
            self._before(self.runs)
        if self._failures:
            raise self._failures.pop(0)

    async def run_async(self) -> None:
        self.run()


@pytest.fixture(params=["task", "thread"])
def keep(request: pytest.FixtureRequest) -> Any:
    """Runs a body to its end, as a task or in a thread."""

    async def in_task(loops: Loops, name: str, body: Body) -> None:
        await loops.keep(name, body.run_async)

    async def in_thread(loops: Loops, name: str, body: Body) -> None:
        await asyncio.to_thread(loops.keep_in_thread, name, body.run, threading.Event())

    return in_task if request.param == "task" else in_thread


async def test_a_loop_that_fails_runs_again_and_each_failure_doubles_its_rest(keep: Any):
    rests, body = Rests(), Body(*[Busy("The store is busy.")] * 9)
    await keep(rests.loops, "feed", body)
    assert body.runs == 10
    assert rests.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 1.5, 1.5, 1.5]


async def test_a_loop_that_ran_well_for_a_while_rests_shortly_again(keep: Any):
    rests = Rests()
    body = Body(*[Busy("no")] * 4, before=lambda run: rests.clock.advance(30 if run == 4 else 1))
    await keep(rests.loops, "feed", body)
    assert rests.slept == [0.05, 0.1, 0.2, 0.05]


async def test_a_loop_shows_as_restarting_while_it_rests_and_as_running_after_it(keep: Any):
    rests = Rests()
    assert rests.loops.report() == [] == rests.loops.failing()
    told: list[str] = []
    rests.loops.on_restart = told.append
    await keep(rests.loops, "feed", Body(Busy("The store\nis busy."), ZeroDivisionError("x" * 1000)))
    at = iso(rests.clock())
    first = {"name": "feed", "state": "restarting", "restarts": 0}
    assert rests.seen[0] == (["feed"], [first | {"last_error": "The store is busy.", "last_failed_at": at}])
    (last,) = rests.loops.report()
    assert (last["state"], last["restarts"], rests.loops.failing()) == ("running", 2, [])
    assert last["last_error"] == "bug: ZeroDivisionError"  # its text may hold what is nobody's business
    assert told == ["feed", "feed"]


async def test_loops_of_one_name_share_one_entry():
    rests = Rests()
    await asyncio.gather(*(rests.loops.keep("changes", Body(Busy("no")).run_async) for _ in range(20)))
    assert [(entry["name"], entry["restarts"]) for entry in rests.loops.report()] == [("changes", 20)]


async def test_a_refusal_is_logged_as_a_warning_and_a_bug_with_its_traceback(
    keep: Any, caplog: pytest.LogCaptureFixture
):
    await keep(Rests().loops, "feed", Body(Busy("no"), ZeroDivisionError()))
    assert [(record.levelno, bool(record.exc_info)) for record in caplog.records if record.name == "datamcp.loops"] == [
        (logging.WARNING, False),
        (logging.ERROR, True),
    ]


async def test_whoever_counts_restarts_does_not_end_the_loop(keep: Any):
    rests, body = Rests(), Body(Busy("no"))
    rests.loops.on_restart = lambda name: 1 / 0  # type: ignore[assignment, return-value]
    await keep(rests.loops, "feed", body)
    assert body.runs == 2


async def test_a_cancelled_loop_ends_and_no_longer_counts_as_failing():
    resting = asyncio.Event()

    async def sleep(_: float) -> None:
        resting.set()
        await asyncio.Event().wait()

    loops = Loops(sleep=sleep)
    task = asyncio.create_task(loops.keep("feed", Body(Busy("no")).run_async))
    await resting.wait()
    assert loops.failing() == ["feed"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert loops.failing() == []


async def test_a_loop_that_makes_something_else_of_its_cancellation_ends_all_the_same():
    began = asyncio.Event()

    async def body() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Busy("The store went away meanwhile.") from None

    task = asyncio.create_task(Loops().keep("feed", body))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_another(keep: Any):
    body = Body(asyncio.CancelledError())  # type: ignore[arg-type]
    rests = Rests()
    await keep(rests.loops, "feed", body)
    assert body.runs == 2


async def test_what_a_loop_failed_of_is_told_in_one_line():
    rests = Rests()
    await rests.loops.keep("feed", Body(Busy(f"no\n{'x' * 1000}")).run_async)
    (entry,) = rests.loops.report()
    assert entry["last_error"].startswith("no xxx") and len(entry["last_error"]) == ERROR_CHARS_MAX


async def test_a_thread_that_is_stopped_while_it_rests_ends():
    rests, stopped = Rests(), threading.Event()
    body = Body(*[Busy("no")] * 5, before=lambda run: stopped.set() if run == 2 else None)
    rests.loops.keep_in_thread("watcher", body.run, stopped)
    assert body.runs == 2 and rests.loops.failing() == []
