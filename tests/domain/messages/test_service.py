"""The promises of messages between agents, on both engines."""

import asyncio

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import STAY_UNREAD, InboxView, MessageView, SentMessage
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import (
    InvalidTransition,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.kernel.times import SECOND, iso
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import KEEP, thin_out
from tests.world import World, caller
from tools import TOOLS

pytestmark = pytest.mark.anyio


async def sent(world: World, *to: str, call: Call | None = None, **spec: object) -> SentMessage:
    command = SendMessage.model_validate({"body": "hello", "to": to} | spec)
    return await world.desk.messages.send(call or world.call, command)


async def send(world: World, *to: str, **spec: object) -> MessageView:
    return (await sent(world, *to, **spec)).message


async def inbox(world: World, agent_id: str, call: Call | None = None, **options: object) -> InboxView:
    command = ReadMessages.model_validate({"agent_id": agent_id} | options)
    return await world.desk.messages.read(call or world.call, command)


async def read(world: World, agent_id: str, **options: object) -> list[MessageView]:
    return (await inbox(world, agent_id, **options)).messages


async def test_a_message_is_in_each_recipients_inbox_once_and_in_the_order_sent(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    first = await send(world, ann.id, bob.id, ann.id, subject="plan", importance="high")
    second = await send(world, ann.id, thread_id=first.thread_id)
    assert (first.thread_id, second.thread_id, first.sender) == (first.id, first.id, "user:tester")
    got = await read(world, ann.id)
    assert [(m.id, m.body, m.subject, m.importance) for m in got] == [
        (first.id, "hello", "plan", "high"),
        (second.id, "hello", None, "normal"),
    ]
    assert await read(world, ann.id) == []
    assert [m.id for m in await read(world, bob.id)] == [first.id]


async def test_any_message_of_a_thread_stands_for_the_thread(world: World):
    ann = await world.agent("ann")
    first = await send(world, ann.id)
    second = await send(world, ann.id, thread_id=first.thread_id)
    third = await send(world, thread_id=second.id)
    assert third.thread_id == first.thread_id
    assert [m.id for m in await read(world, ann.id, thread_id=third.id)] == [first.id, second.id, third.id]


async def test_what_was_read_is_found_again_from_a_cursor(world: World):
    ann = await world.agent("ann")
    messages = [await send(world, ann.id) for _ in range(5)]
    await read(world, ann.id, limit=3)
    shown = await inbox(world, ann.id, unread_only=False, limit=4)
    assert ([m.id for m in shown.messages], shown.unread) == ([m.id for m in messages[:4]], 2)
    rest = await inbox(world, ann.id, unread_only=False, after=shown.cursor, limit=4)
    assert [m.id for m in rest.messages] == [messages[4].id]
    end = await inbox(world, ann.id, unread_only=False, after=rest.cursor, limit=4)
    assert end == InboxView(messages=[], unread=2, cursor=rest.cursor)
    with pytest.raises(ValidationFailed, match="not a cursor"):
        await read(world, ann.id, unread_only=False, after="made up")


async def test_unread_messages_are_counted_where_agents_are_found(world: World):
    ann = await world.agent("ann")
    await send(world, ann.id)
    await send(world, ann.id)
    assert (await world.desk.agents.get(world.call, ann.id)).unread == 2
    await read(world, ann.id, limit=1)
    assert (await world.desk.agents.get(world.call, ann.id)).unread == 1
    await read(world, ann.id)
    assert (await world.desk.agents.get(world.call, ann.id)).unread is None


async def test_a_capability_reaches_whoever_has_it_now_and_nobody_else(world: World):
    able = await world.agent("able", skills=("python",))
    await world.agent("other", skills=("pythonic",))
    gone = await world.agent("gone", skills=("python",))
    await world.desk.agents.control(world.call, ControlAgent(agent_id=gone.id, action="terminate"))
    assert (await sent(world, "capability:python", body="who can?")).recipients == [able.id]
    with pytest.raises(NotFound, match='No agent has the capability "rust"'):
        await send(world, "capability:rust")
    with pytest.raises(NotFound, match='Write to "capability:python"'):
        await send(world, "python")
    with pytest.raises(InvalidTransition, match=gone.id):
        await send(world, gone.id)


async def test_there_is_no_broadcast(world: World):
    with pytest.raises(ValidationFailed, match="no recipient"):
        await send(world)
    for number in range(51):
        await world.agent(f"a{number}", skills=("all",))
    with pytest.raises(LimitExceeded, match="More than 50"):
        await send(world, "capability:all")
    assert await world.events(type="message.*") == []


async def test_unknown_recipients_threads_and_messages_are_refused_and_nothing_is_sent(world: World):
    ann = await world.agent("ann")
    for refused in (
        send(world, ann.id, "agent_aaaaaaaaaaaa"),
        send(world, ann.id, thread_id="message_none"),
        read(world, "agent_aaaaaaaaaaaa"),
        read(world, ann.id, acknowledge=["message_none"]),
    ):
        with pytest.raises(NotFound):
            await refused
    assert await world.events(type="message.*") == []
    assert await read(world, ann.id) == []


async def test_a_sender_is_who_calls_and_an_agent_reads_only_its_own_inbox(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    as_ann = caller(Role.AGENT, "agent", ann.id)
    assert (await sent(world, bob.id, call=as_ann)).message.sender == f"agent:{ann.id}"
    with pytest.raises(PermissionDenied, match="cannot speak as bob"):
        await inbox(world, bob.id, call=as_ann, limit=1)
    with pytest.raises(PermissionDenied, match="messages:send"):
        await sent(world, bob.id, call=caller(Role.VIEWER))


async def test_an_acknowledgement_that_does_not_come_is_an_event_and_a_late_one_still_counts(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    message = await send(world, ann.id, bob.id, ack_within_seconds=60)
    assert message.ack_due_at is not None
    assert (await inbox(world, ann.id, acknowledge=[message.id, message.id])).acknowledged == 1
    await read(world, ann.id, acknowledge=[message.id])
    world.clock.advance(61)
    assert await world.desk.housekeeping.next_due() == world.clock.now - 1_000_000
    await world.settle()
    await world.settle()
    events, _ = await world.desk.events.read(world.call, ReadEvents(type="message.*", limit=20))
    assert [(event.type, event.data.get("party")) for event in events if event.type != "message.read"] == [
        ("message.sent", None),
        ("message.acknowledged", ann.id),
        ("message.ack_missed", bob.id),
    ]
    await read(world, bob.id, acknowledge=[message.id])
    assert (await world.events(type="message.acknowledged")) == ["message.acknowledged"] * 2


async def test_a_reader_that_waits_is_woken_by_a_message_of_its_thread(world: World):
    ann = await world.agent("ann")
    first = await send(world, ann.id)
    await read(world, ann.id)
    options = {"thread_id": first.thread_id, "wait_seconds": 30}
    waiting = asyncio.create_task(read(world, ann.id, unread_only=True, **options))
    await asyncio.sleep(0)
    await send(world, ann.id)
    second = await send(world, ann.id, thread_id=first.thread_id)
    assert [message.id for message in await waiting] == [second.id]
    assert len(await read(world, ann.id)) == 1
    waiting = asyncio.create_task(read(world, ann.id, **options))
    await asyncio.sleep(0)
    third = await send(world, ann.id, thread_id=first.thread_id)
    assert [message.id for message in await waiting] == [first.id, second.id, third.id]


async def test_many_senders_at_once_lose_nothing_and_give_every_message_a_place_of_its_own(world: World):
    ann = await world.agent("ann")
    messages = await asyncio.gather(*(send(world, ann.id, body=str(number)) for number in range(60)))
    got = await read(world, ann.id, limit=100)
    assert sorted(m.id for m in got) == sorted(m.id for m in messages)
    assert replay(world.url).differences == ()


async def test_messages_are_rebuilt_from_their_events_and_from_snapshots(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    message = await send(world, ann.id, bob.id, ack_within_seconds=60, subject="é")
    await read(world, ann.id, acknowledge=[message.id])
    world.clock.advance(61)
    await world.settle()
    assert replay(world.url).differences == ()
    world.clock.advance(91 * 86_400)
    await read(world, bob.id)
    assert await thin_out(world, KEEP) > 0
    assert await world.events(type="message.*") == ["message.read", "message.snapshot"]
    assert replay(world.url).differences == ()


async def test_who_writes_to_agents_is_told_of_which_no_instance_lives_and_since_when(world: World):
    here, _ = await world.instance("here")
    await world.instance("gone")
    seen_at = iso(world.clock.now)
    await world.agent("never")
    world.clock.advance(INSTANCE_ALIVE_FOR / SECOND + 1)
    await world.instance("here", "two")
    told = await sent(world, here.id, "gone", "never", "user:bob")
    assert [(one.agent, one.last_seen_at) for one in told.away or ()] == [("gone", seen_at)]
    assert (await sent(world, here.id, "user:bob")).away is None
    (tool,) = (one for one in TOOLS if one.name == "messages_send")
    said = tool.say(await sent(world, "gone", "never"))
    assert f"No instance lives of gone (last seen {seen_at}): messages_read(sent=true) shows" in said
    assert "No instance lives" not in tool.say(await sent(world, "never"))


async def test_who_looks_at_its_inbox_is_told_that_it_stays_unread_and_how_it_is_taken(world: World):
    await send(world, world.call.party)
    looked = await inbox(world, world.call.party, unread_only=False)
    assert (looked.hint, looked.unread) == (STAY_UNREAD, 1)
    assert (await inbox(world, world.call.party)).hint is None
    assert (await inbox(world, world.call.party, unread_only=False)).hint is None
