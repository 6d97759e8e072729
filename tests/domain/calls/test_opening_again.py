"""A call that is asked for again under its idempotency key, on both engines: it is one, and asks nobody in twice."""

import asyncio
import contextlib
from typing import Any

import pytest

from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.calls.views import OpenedCall
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import IdempotencyConflict, LimitExceeded
from mcp_server.upkeep.replay import replay
from tests.domain.calls.desks import CallDesk, holding
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio
ANN = "ann@example.org"


async def opened(desk: CallDesk, call: Call | None = None, **said: Any) -> OpenedCall:
    """A call under the key `k`."""
    command = OpenCall.model_validate({"purpose": "Why", "idempotency_key": "k"} | said)
    return await desk.desk.calls.open(call or desk.call, command)


async def test_a_repeat_tells_the_same_call_and_its_link_again(world: World):
    async with holding(world) as desk:
        first = await opened(desk)
        assert first.call.replayed is None and first.call.join_url is not None
        await desk.do(first.call.id, "invite", participants=["user:local"])
        again = await opened(desk)
        assert (again.call.id, again.call.replayed) == (first.call.id, True)
        assert (again.call.join_url, again.call.task_id) == (first.call.join_url, first.call.task_id)
        await desk.join(again.call.join_url)
        await desk.until(first.call.id, "active")
        assert (await world.events(type="call.opened")) == ["call.opened"]
        assert replay(world.url).differences == ()


async def test_a_repeat_asks_nobody_in_a_second_time(world: World):
    scribe = await world.agent("scribe")
    async with holding(world, mails_leave=True) as desk:
        first = await opened(desk, participants=[ANN, "scribe"])
        again = await opened(desk, participants=["scribe", ANN, ANN])
        assert (again.call.id, again.call.replayed, again.call.join_url) == (first.call.id, True, None)
        assert await world.events(type="email.queued") == ["email.queued"]
        assert len((await desk.desk.messages.read(speaking(scribe), ReadMessages(unread_only=False))).messages) == 1
        assert again.call.participants == first.call.participants


async def opened_in_the_end(desk: CallDesk, **said: Any) -> OpenedCall:
    """Asked again, as the refusal says, for as long as the offer before waits for its answer."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(LimitExceeded):
                return await opened(desk, **said)
            await asyncio.sleep(0.01)


async def test_an_answer_that_is_lost_is_told_to_who_asks_again(world: World):
    async with holding(world, mails_leave=True) as desk:
        async with desk.desk.changes.listen("call") as listener, asyncio.timeout(60):
            asking = asyncio.create_task(opened(desk, participants=[ANN, "user:local"], offer="v=0"))
            while await world.events(type="call.opened") == []:
                await listener.wait(1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        again = await opened_in_the_end(desk, participants=[ANN, "user:local"], offer="another v=0")
        assert (again.call.replayed, again.answer) == (True, "answer to another v=0")
        assert [one.name for one in again.call.participants or ()] == [ANN, "local", "user:tester"]
        await desk.until(again.call.id, "active")
        assert await world.events(type="call.opened") == ["call.opened"]
        assert await world.events(type="email.queued") == ["email.queued"]


async def test_of_those_who_ask_under_one_key_at_the_same_time_all_are_told_of_one_call(world: World):
    async with holding(world) as desk:
        found = await asyncio.gather(*(opened(desk) for _ in range(5)))
        assert len({one.call.id for one in found}) == 1
        assert sorted(one.call.replayed is True for one in found) == [False, True, True, True, True]


async def test_a_key_that_was_used_for_another_call_is_refused(world: World):
    async with holding(world) as desk:
        first = await opened(desk, expires_in_seconds=60)
        assert (await opened(desk, expires_in_seconds=60.0)).call.id == first.call.id
        others: list[dict[str, Any]] = [{"purpose": "What"}, {"media": "audio"}, {"record": True}, {"offer": "v=0"}]
        for other in [*others, {"expires_in_seconds": 61}, {"participants": ["user:local"]}]:
            with pytest.raises(IdempotencyConflict, match=first.call.id):
                await opened(desk, None, **dict[str, Any](expires_in_seconds=60) | other)
        assert await world.events(type="call.opened") == ["call.opened"]


async def test_a_key_is_its_principals_whoever_speaks(world: World):
    scribe = await world.agent("scribe")
    async with holding(world) as desk:
        first = await opened(desk)
        assert (await opened(desk, speaking(scribe))).call.id == first.call.id
        other = await opened(desk, caller(Role.AGENT, id="another"))
        assert other.call.replayed is None and other.call.id != first.call.id


async def test_of_a_call_that_is_over_a_repeat_tells_how_it_ended_and_no_link(world: World):
    async with holding(world) as desk:
        offering: dict[str, Any] = {"offer": "v=0", "idempotency_key": "l"}
        for said in (dict[str, Any](), offering):
            first = await opened(desk, **said)
            await desk.do(first.call.id, "end", text="done")
            again = await opened(desk, **said)
            assert (again.call.id, again.call.replayed) == (first.call.id, True)
            assert (again.call.status, again.call.reason, again.answer) == ("ended", "done", None)
            assert again.call.join_url is None
