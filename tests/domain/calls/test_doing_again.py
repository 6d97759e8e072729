"""What is done in a call again under its idempotency key, on both engines: it was done once."""

import asyncio
import base64
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals
from mcp_server.domain.calls.orders import Play
from mcp_server.domain.calls.retention import CallRetention
from mcp_server.domain.calls.wav import wav_file
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import IdempotencyConflict, InvalidTransition, PermissionDenied
from mcp_server.upkeep.replay import replay
from tests.domain.calls.desks import CallDesk, holding
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio
ANN = "ann@example.org"
SOUND = base64.b64encode(wav_file(b"\x01\x00" * 8000)).decode()


async def twice(desk: CallDesk, call_id: str, action: str, **said: Any) -> tuple[Any, Any]:
    """What is told at first and again, under one key."""
    first = await desk.do(call_id, action, idempotency_key="k", **said)
    again = await desk.do(call_id, action, idempotency_key="k", **said)
    assert (first.call.replayed, again.call.replayed) == (None, True)
    return first, again


async def test_what_is_said_and_played_again_is_said_and_played_once(world: World):
    async with holding(world) as desk:
        opened = await desk.open(media="audio")
        await desk.join(opened.join_url, audio=True)
        await desk.until(opened.id, "active")
        await twice(desk, opened.id, "say", text="Good morning")
        for key in ("l", "l", "m"):
            await desk.do(opened.id, "play", wav=SOUND, idempotency_key=key)
        told = [text for _, kind, text in await desk.lines(opened.id) if kind in ("said", "played")]
        assert told == ["Good morning", "sound (0.5 s)", "sound (0.5 s)"]
        media = desk.media.calls[opened.id]
        await media.until(lambda: sum(isinstance(order, Play) for order in media.orders) == 2)
        assert replay(world.url).differences == ()


async def test_who_is_asked_in_again_has_one_link_and_one_mail(world: World):
    async with holding(world, mails_leave=True) as desk:
        opened = await desk.open()
        first, again = await twice(desk, opened.id, "invite", participants=[ANN, "user:bob"])
        assert first.call.join_url is not None and again.call.join_url == first.call.join_url
        assert [one.name for one in again.call.participants or ()] == ["guest", ANN, "bob"]
        assert await world.events(type="email.queued") == ["email.queued"]
        await desk.do(opened.id, "invite", participants=["user:carl"], idempotency_key="l")
        again = await desk.do(opened.id, "invite", participants=["user:bob", ANN, ANN], idempotency_key="k")
        assert again.call.join_url == first.call.join_url and len(again.call.participants or ()) == 4


async def test_a_call_that_is_full_tells_who_was_asked_in_to_who_asks_again(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        names = [f"user:u{number}" for number in range(7)]
        first, again = await twice(desk, opened.id, "invite", participants=names)
        links = [one.join_url for one in first.call.participants or () if one.join_url]
        assert len(links) == 7 and links == [one.join_url for one in again.call.participants or () if one.join_url]


async def test_a_question_is_put_once_however_often_it_is_asked(world: World):
    async with holding(world, mails_leave=True) as desk:
        opened = await desk.open(participants=[ANN])
        first, again = await twice(desk, opened.id, "ask", text="Shall v7 go out?")
        assert first.approval_id and first.approval_task_id
        assert (again.approval_id, again.approval_task_id) == (first.approval_id, first.approval_task_id)
        assert [kind for _, kind, _ in await desk.lines(opened.id)] == ["question"]
        found = await desk.desk.approvals.find(desk.call, FindApprovals())
        assert len(found.items) == 1


async def test_of_those_who_say_one_thing_at_the_same_time_one_is_heard(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        saying = [desk.do(opened.id, "say", text="Hello", idempotency_key="k") for _ in range(5)]
        told = await asyncio.gather(*saying)
        assert sorted(one.call.replayed is True for one in told) == [False, True, True, True, True]
        assert len(await desk.lines(opened.id)) == 1


async def test_a_key_that_was_used_for_something_else_in_the_call_is_refused(world: World):
    async with holding(world) as desk:
        opened, other = await desk.open(), await desk.open()
        await desk.do(opened.id, "say", text="Hello", idempotency_key="k")
        others: list[tuple[str, dict[str, Any]]] = [
            ("say", {"text": "Hello!"}),
            ("ask", {"text": "Hello"}),
            ("invite", {"participants": ["user:bob"]}),
        ]
        for action, said in others:
            with pytest.raises(IdempotencyConflict, match=opened.id):
                await desk.do(opened.id, action, idempotency_key="k", **said)
        assert (await desk.do(opened.id, "mute", idempotency_key="k")).call.replayed is None
        assert (await desk.do(other.id, "say", text="Hello", idempotency_key="k")).call.replayed is None


async def test_a_key_is_its_principals_and_shows_nobody_else_the_links(world: World):
    scribe = await world.agent("scribe")
    async with holding(world) as desk:
        opened = await desk.open(participants=["scribe"])
        await desk.do(opened.id, "invite", participants=["user:bob"], idempotency_key="k")
        through = await desk.do(opened.id, "invite", speaking(scribe), participants=["user:bob"], idempotency_key="k")
        assert through.call.replayed and through.call.join_url
        as_scribe = speaking(scribe, id="another")
        with pytest.raises(PermissionDenied):
            await desk.do(opened.id, "invite", as_scribe, participants=["user:bob"], idempotency_key="k")
        as_other = caller(Role.OPERATOR, id="op")
        said = await desk.do(opened.id, "say", as_other, text="Hello", idempotency_key="k")
        assert said.call.replayed is None


async def test_what_was_done_in_a_call_that_is_over_is_told_without_links_until_it_is_forgotten(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        said: dict[str, Any] = {"participants": ["user:bob"], "idempotency_key": "k"}
        await desk.do(opened.id, "invite", **said)
        await desk.do(opened.id, "end", text="done")
        again = await desk.do(opened.id, "invite", **said)
        assert (again.call.status, again.call.replayed, again.call.join_url) == ("ended", True, None)
        world.clock.advance(31 * 86_400)
        assert await desk.desk.get(CallRetention).forget_some() == 1
        with pytest.raises(InvalidTransition):
            await desk.do(opened.id, "invite", **said)
