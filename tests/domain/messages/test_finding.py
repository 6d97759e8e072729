"""Messages are found by their text and narrowed to what is important, and nobody finds another's."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from mcp_server.domain.messages.views import InboxView
from mcp_server.domain.search import finding, transactions
from mcp_server.domain.search.transactions import index_some
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import KEEP, thin_out
from tests.domain.messages.test_parties import read
from tests.domain.messages.test_service import inbox, sent
from tests.world import World, caller, speaking
from tools.inbox import say_read

pytestmark = pytest.mark.anyio


def bodies(found: InboxView) -> list[str]:
    return [message.body for message in found.messages]


@pytest.fixture(params=["new", "indexed", "common"])
async def settled(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """What was sent is in the index, or not yet, or held by very many: it is found all the same."""
    if request.param == "common":
        monkeypatch.setattr(finding, "PROPOSED_MAX", -1)
        monkeypatch.setattr(finding, "KEPT_MAX", 3)
        monkeypatch.setattr(transactions, "SPAN", 2)

    async def settle() -> None:
        while request.param != "new" and await world.database.write(index_some):
            pass

    return settle


async def test_who_sent_or_got_a_message_finds_it_by_its_words_people_and_subject(world: World, settled: Any):
    ann, bob, eve = await world.agent("ann"), await world.agent("bob"), await world.agent("eve")
    first = (await sent(world, "bob", call=speaking(ann), subject="Kies", body="Two loads of Gravel")).message
    world.clock.advance(1)
    await sent(world, "ann", call=speaking(bob), body="Which gravel?", thread_id=first.thread_id)
    world.clock.advance(1)
    await sent(world, "ann", call=speaking(eve), body="Lunch?")
    await settled()
    for party in (ann, bob):
        assert bodies(await read(world, speaking(party), text="GRAVEL")) == ["Which gravel?", "Two loads of Gravel"]
    assert bodies(await read(world, speaking(eve), text="gravel")) == []
    for typed in ("kies", "agent:ann", "loads"):
        assert bodies(await read(world, speaking(bob), text=typed)) == ["Two loads of Gravel"], typed
    assert bodies(await read(world, speaking(ann), text="gravel", thread_id=first.id)) != []
    assert bodies(await read(world, speaking(ann), text="lunch", thread_id=first.id)) == []
    assert bodies(await read(world, speaking(ann), text="h?")) == ["Lunch?"]
    nothing = await read(world, speaking(ann), text="sand")
    assert (nothing.messages, "looked for as typed" in (nothing.hint or "")) == ([], True)


async def test_a_text_is_looked_for_in_what_one_sent_alone(world: World, settled: Any):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    for number in range(3):
        await sent(world, "bob", call=speaking(ann), body=f"gravel {number}")
        world.clock.advance(1)
        await sent(world, "ann", call=speaking(bob), body=f"your gravel {number}")
        world.clock.advance(1)
    await sent(world, "bob", call=speaking(ann), body="sand")
    await settled()
    found, after = list[str](), None
    while True:
        page = await read(world, speaking(ann), sent=True, text="GRAVEL", limit=2, after=after)
        assert all(one.states for one in page.messages), "who has read it is told"
        found, after = found + bodies(page), page.cursor
        if after is None:
            break
    assert found == ["gravel 2", "gravel 1", "gravel 0"]
    nothing = await read(world, speaking(bob), sent=True, text="sand")
    assert (nothing.messages, "looked for as typed" in (nothing.hint or "")) == ([], True)


async def test_what_is_found_counts_as_read_by_nobody_and_another_inbox_needs_the_right_to_it(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    await sent(world, "bob", call=speaking(ann), body="gravel")
    found = await read(world, speaking(bob), text="gravel")
    assert (found.unread, found.messages[0].read_at) == (1, None)
    with pytest.raises(PermissionDenied):
        await read(world, caller(Role.AGENT, id="other"), agent_id="bob", text="gravel")
    assert bodies(await read(world, caller(Role.ADMIN, id="other"), agent_id="bob", text="gravel")) == ["gravel"]


async def test_pages_of_what_is_found_are_the_list_of_all_that_holds_it(world: World, settled: Any):
    ann, chance = await world.agent("ann"), random.Random(4)
    expected: list[str] = []
    for number in range(23):
        body = f"{chance.choice(('old gravel', 'sand'))} {number}"
        await sent(world, "ann", body=body)
        expected = [body, *expected] if "gravel" in body else expected
        world.clock.advance(chance.choice((0, 1)) or 1)
        if number == 15:
            await settled()
    for limit in (1, 2, 5, 100):
        found: list[str] = []
        after = None
        while True:
            page = await read(world, speaking(ann), text="GRAVEL", limit=limit, after=after)
            found += bodies(page)
            after = page.cursor
            assert bool(page.more) == (after is not None)
            if after is None:
                break
        assert found == expected, limit


async def test_less_important_messages_are_left_out_of_every_list_and_stay_unread(world: World):
    ann = await world.agent("ann")
    for importance in ("low", "normal", "high", "urgent"):
        world.clock.advance(1)
        await sent(world, "ann", body=importance, importance=importance, ack_within_seconds=60)
    owner = world.call
    for asked in ({"sent": True}, {"unacknowledged": True}, {"text": "user"}):
        assert sorted(bodies(await read(world, owner, importance="high", **asked))) == ["high", "urgent"], asked
    assert bodies(await inbox(world, "ann", importance="high", wait_seconds=1)) == ["high", "urgent"]
    assert (await inbox(world, "ann", importance="high")).unread == 2
    assert bodies(await inbox(world, "ann", importance="normal", unread_only=False)) == ["normal", "high", "urgent"]
    thread = (await inbox(world, "ann", unread_only=False)).messages[-1].id
    assert bodies(await read(world, speaking(ann), thread_id=thread, importance="urgent")) == ["urgent"]
    assert bodies(await inbox(world, "ann")) == ["low", "normal"]


async def test_what_one_sent_in_a_thread_is_listed_and_what_one_finds_of_it_tells_who_has_read_it(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    first = await sent(world, "bob", call=speaking(ann), body="gravel", ack_within_seconds=60)
    thread = first.message.thread_id
    await sent(world, "bob", call=speaking(ann), body="gravel elsewhere")
    await sent(world, "ann", call=speaking(bob), thread_id=thread, body="gravel too")
    second = await sent(world, "bob", call=speaking(ann), thread_id=thread, body="and sand")
    await read(world, speaking(bob), limit=1)
    mine = await read(world, speaking(ann), sent=True, thread_id=second.message.id)
    assert bodies(mine) == ["and sand", "gravel"]
    assert [one.read_at is not None for message in mine.messages for one in message.states or ()] == [False, True]
    pages = await read(world, speaking(ann), sent=True, thread_id=thread, limit=1)
    rest = await read(world, speaking(ann), sent=True, thread_id=thread, after=pages.cursor)
    assert (pages.more, bodies(rest), rest.more) == (True, ["gravel"], None)
    for mail in (await read(world, speaking(ann), text="gravel")).messages:
        assert (mail.states is None) == (mail.sender.startswith("agent:bob"))
    found = say_read(await read(world, speaking(ann), text="gravel"))
    assert "To be acknowledged" not in found
    assert "To be acknowledged" in say_read(await read(world, speaking(bob), text="gravel"))
    await world.agent("eve")
    with pytest.raises(PermissionDenied, match="takes no part"):
        await read(world, speaking(await world.agent("eve")), sent=True, thread_id=thread)


async def test_a_text_and_a_list_of_its_own_are_not_asked_for_in_one_call(world: World):
    for beside in ({"unacknowledged": True}, {"unread_only": True}, {"sent": True, "unacknowledged": True}):
        with pytest.raises(ValueError, match="a list of its own"):
            await read(world, world.call, text="gravel", **beside)
    with pytest.raises(ValidationFailed, match="not a cursor"):
        await read(world, world.call, text="gravel", after="made up")


async def test_messages_that_are_rebuilt_are_found_as_before(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    await sent(world, "bob", call=speaking(ann), body="gravel")
    await read(world, speaking(bob))
    assert replay(world.url).differences == ()
    await thin_out(world, KEEP)
    assert replay(world.url).differences == ()
    message = (await read(world, speaking(bob), text="gravel")).messages[0]
    await world.database.write(lambda tx: tx.keep_text("message", message.id, "wrong", new=False))
    assert replay(world.url).differences == (f"texts message/{message.id} differs in folded",)
