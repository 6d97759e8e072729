"""Streams through failures: what was not told is told when telling goes on, and a client that has gone ends quietly."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.errors import Busy, NotFound
from mcp_server.kernel.limits import Limits
from mcp_server.kernel.loops import Loops
from mcp_server.protocol import subscriptions
from mcp_server.protocol.changes import ChangeHub, Stream
from mcp_server.protocol.subscriptions import Subscriptions

pytestmark = pytest.mark.anyio


def event(number: int) -> dict[str, Any]:
    return {"aggregate_type": "document", "aggregate_id": f"n/{number}", "type": "state.set"}


class Feed:
    """A feed that the test speaks through."""

    waits_are_over = False

    def __init__(self) -> None:
        self.events: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def listen(self, *types: str) -> AsyncGenerator[Any]:
        if self.failures:
            raise self.failures.pop()
        yield self

    async def wait(self, seconds: float) -> list[dict[str, Any]]:
        return await self.events.get()

    def take_overflow(self) -> bool:
        return False


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


async def told(stream: Stream) -> list[str]:
    async with asyncio.timeout(60):
        return (await stream.wait())[0]


async def test_after_a_failure_every_stream_is_told_of_everything(monkeypatch: pytest.MonkeyPatch):
    feed, loops = Feed(), Loops(sleep=at_once)
    hub = ChangeHub(feed, AREAS, loops)
    real, failures = hub._tell, [ZeroDivisionError("a bug")]

    def flaky(events: Any) -> None:
        if failures:
            raise failures.pop()
        real(events)

    monkeypatch.setattr(hub, "_tell", flaky)
    async with hub.stream() as one, hub.stream() as other:
        hub.watch(one, "ops://state/n/1", ())
        hub.watch(other, "ops://state/n/2", ())
        feed.events.put_nowait([event(1)])
        assert await told(one) == ["ops://state/n/1"]
        assert await told(other) == ["ops://state/n/2"]
        feed.events.put_nowait([event(1)])
        assert await told(one) == ["ops://state/n/1"]
        assert not other.uris
    (entry,) = loops.report()
    assert (entry["name"], entry["restarts"]) == ("changes", 1)


async def test_a_stream_that_cannot_begin_to_listen_is_told_so():
    feed = Feed()
    feed.failures.append(Busy("The store is busy."))
    hub = ChangeHub(feed, AREAS, Loops())
    with pytest.raises(Busy):
        async with hub.stream():
            pass
    async with hub.stream() as stream:
        hub.watch(stream, "ops://state/n/1", ())
        feed.events.put_nowait([event(1)])
        assert await told(stream) == ["ops://state/n/1"]


class Connection:
    """A client's connection that fails as told, and otherwise keeps what it was sent."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sent: asyncio.Queue[str] = asyncio.Queue()

    async def notify(self, method: str, params: Any) -> None:
        if self.failures:
            raise self.failures.pop()
        self.sent.put_nowait(params["uri"])

    async def send_notification(self, notification: Any, related_request_id: Any) -> None:
        await self.notify(notification.method, {"uri": getattr(notification.params, "uri", notification.method)})


def subscriptions_on(loops: Loops, handles: Any = None) -> Subscriptions:
    none: Any = None
    context = SimpleNamespace(clock=lambda: 0)
    desk: Any = SimpleNamespace(changes=Feed(), areas=AREAS, loops=loops, context=context, get=lambda _: none)
    seam: Any = SimpleNamespace(limits=Limits(), actor_of=lambda _: SYSTEM.model_copy(update={"is_local": True}))
    return Subscriptions(desk, seam, none, handles)


async def test_an_earlier_client_is_told_again_what_failed_to_be_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subscriptions, "COALESCE_SECONDS", 0)
    loops, connection, stream = Loops(sleep=at_once), Connection(ZeroDivisionError()), Stream()
    served = subscriptions_on(loops)
    served._legacy[connection] = stream  # type: ignore[index]
    stream.tell(["ops://tasks"])
    pump = asyncio.create_task(loops.keep("legacy-subscriptions", lambda: served._pump(connection, stream)))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        assert await connection.sent.get() == "ops://tasks"
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    assert [entry["restarts"] for entry in loops.report()] == [1]


@pytest.mark.parametrize("error", [anyio.BrokenResourceError(), anyio.ClosedResourceError(), ConnectionResetError()])
async def test_the_pump_of_a_client_that_has_gone_ends_and_is_no_failure(error: Exception):
    loops, connection, stream = Loops(), Connection(error), Stream()
    served = subscriptions_on(loops)
    served._legacy[connection] = stream  # type: ignore[index]
    stream.tell(["ops://tasks"])
    async with asyncio.timeout(60):
        await loops.keep("legacy-subscriptions", lambda: served._pump(connection, stream))  # type: ignore[arg-type]
        del served._legacy[connection]  # type: ignore[arg-type]
        await served._pump(connection, stream)  # type: ignore[arg-type]
    assert loops.report() == []


class Handles:
    """A task that can be shown after so many failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def shown(self, ctx: Any, task_id: str) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop()
        return {"taskId": task_id}


async def test_a_stream_goes_on_after_a_read_that_failed_and_ends_by_what_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(subscriptions, "COALESCE_SECONDS", 0)
    loops, connection, stream = Loops(sleep=at_once), Connection(), Stream()
    handles = Handles(Busy("The store is busy."))
    served = subscriptions_on(loops, handles)
    ctx: Any = SimpleNamespace(session=connection, request_id=1)
    stream.tell(task_ids=["task_a"])
    serving = asyncio.create_task(served._serve(ctx, stream, {}))
    async with asyncio.timeout(60):
        assert await connection.sent.get() == "notifications/tasks"
        assert [(entry["name"], entry["restarts"]) for entry in loops.report()] == [("subscriptions", 1)]
        handles.failures.append(NotFound("There is no such task."))
        stream.tell(task_ids=["task_a"])
        with pytest.raises(NotFound):
            await serving
    assert [entry["restarts"] for entry in loops.report()] == [1]


async def test_the_event_log_tells_a_stream_only_of_the_kinds_of_things_that_its_caller_sees():
    hub, stream = ChangeHub(Feed(), AREAS, Loops(sleep=at_once)), Stream()
    hub.watch(stream, "ops://events", {"document"})
    hub._tell([{"aggregate_type": "task", "aggregate_id": "task_x"}])
    assert not stream.uris
    hub._tell([event(1)])
    assert stream.uris == {"ops://events"}
    stream.uris.clear()
    hub.unwatch(stream, "ops://events")
    hub._tell([event(1)])
    assert not stream.uris
