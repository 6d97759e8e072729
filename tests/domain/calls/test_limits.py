"""What bounds calls: how many go on, how often one is joined, how much is said in one. On both engines."""

import asyncio

import pytest

from mcp_server.domain.calls import joins, model
from mcp_server.domain.calls.opening import OPEN_MAX
from mcp_server.domain.calls.orders import Away, Join
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import LimitExceeded, OpsError
from tests.domain.calls.desks import CallDesk, Noted, NotedCall, Postbox, holding, on_desk
from tests.world import World, caller

pytestmark = pytest.mark.anyio


class Silent(Noted):
    """Media that answer no offer."""

    async def open(self, call_id: str, *, audio: bool, record: bool) -> NotedCall:
        call = await super().open(call_id, audio=audio, record=record)
        call.answers = False
        return call


async def asked(desk: CallDesk, call_id: str) -> None:
    """Wait until an offer for a call has reached its media."""
    async with desk.desk.changes.listen("call") as listener, asyncio.timeout(60):
        while await desk.world.database.fetch_one("call_join_waits", call_id=call_id, peer=1) is None:
            await listener.wait(1)


async def test_of_those_who_join_at_once_no_more_are_let_in_than_calls_may_go_on(world: World):
    async with holding(world, at_once=2) as desk:
        opened = [await desk.open() for _ in range(8)]
        joined = await asyncio.gather(*(desk.join(one.join_url) for one in opened), return_exceptions=True)
        refused = [one for one in joined if isinstance(one, BaseException)]
        assert len(refused) == 6 and all(isinstance(one, LimitExceeded) and "2 calls" in str(one) for one in refused)
        assert len(desk.media.calls) == 2


async def test_a_call_that_is_being_joined_counts_before_its_offer_is_answered(world: World):
    silent = Silent()
    async with holding(world, at_once=1, media=silent) as desk:
        first, second = await desk.open(), await desk.open()
        joining = asyncio.create_task(desk.join(first.join_url))
        await asked(desk, first.id)
        with pytest.raises(LimitExceeded, match="at once"):
            await desk.join(second.join_url)
        assert set(silent.calls) <= {first.id}
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        answering = asyncio.create_task(desk.join(second.join_url))
        await asked(desk, second.id)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def test_one_who_joins_has_one_offer_under_way(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        joined = await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        media.told.put_nowait(Away("1"))
        media.answers = False
        again = asyncio.create_task(desk.join(opened.join_url, resume=joined.resume))
        await asked(desk, opened.id)
        for _ in range(20):
            with pytest.raises(LimitExceeded, match="waits for its answer"):
                await desk.join(opened.join_url, resume=joined.resume)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        assert sum(isinstance(order, Join) for order in media.orders) <= 2


async def test_nobody_joins_again_without_end(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(joins, "JOINS_MAX", 3)
    async with holding(world) as desk:
        opened = await desk.open()
        joined = await desk.join(opened.join_url)
        for _ in range(2):
            await desk.join(opened.join_url, resume=joined.resume)
        with pytest.raises(LimitExceeded, match="joined 3 times"):
            await desk.join(opened.join_url, resume=joined.resume)


async def test_as_many_calls_are_open_as_may_be_and_no_more(world: World):
    desk = CallDesk(world, Noted(), Postbox(), on_desk(world))  # nobody holds them: they wait
    ann, bob, carl = (caller(Role.AGENT, id=name) for name in ("ann", "bob", "carl"))
    ids = [(await desk.open(call=(ann, bob)[number % 2])).id for number in range(OPEN_MAX)]
    with pytest.raises(LimitExceeded, match=f"{OPEN_MAX} calls"):
        await desk.open(call=carl)
    await desk.do(ids[0], "end", ann)
    assert (await desk.open(call=carl)).status == "pending"


async def test_a_call_has_so_many_participants_and_questions_and_lines_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    async with holding(world) as desk:
        opened = await desk.open(participants=[f"user:u{number}" for number in range(7)])
        with pytest.raises(LimitExceeded, match="8 participants"):
            await desk.do(opened.id, "invite", participants=["user:a", "user:b"])
        assert len((await desk.see(opened.id)).participants or ()) == 7
        monkeypatch.setattr("mcp_server.domain.calls.rows.LINES_MAX", 2)
        monkeypatch.setattr("mcp_server.domain.calls.owning.LINES_MAX", 2)
        for _ in range(2):
            await desk.do(opened.id, "say", text="Hello")
        with pytest.raises(LimitExceeded, match="2 lines"):
            await desk.do(opened.id, "say", text="Hello")
        assert model.LINES_MAX == 10_000
        assert (await desk.do(opened.id, "end")).call.status == "ended"


async def test_people_who_are_asked_in_count_as_mails_and_one_too_many_opens_no_call(world: World):
    async with holding(world, mails_leave=True, mail=EmailPolicy("smtp", "desk@example.org", per_hour=3)) as desk:
        opened = await desk.open(participants=["a@example.org", "b@example.org"])
        with pytest.raises(OpsError, match="last hour"):
            await desk.do(opened.id, "invite", participants=["c@example.org", "d@example.org"])
        with pytest.raises(OpsError, match="last hour"):
            await desk.open(participants=["c@example.org", "d@example.org"])
        assert len((await desk.see(opened.id)).participants or ()) == 2
        assert await world.events(type="call.opened") == ["call.opened"]
        assert await world.events(type="email.queued") == ["email.queued"] * 2
