"""Who may send to whom and read what: names, people, threads, what was sent and is owed, keys, handing over."""

import asyncio
from dataclasses import replace

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import RECIPIENTS_MAX, ReadMessages
from mcp_server.domain.messages.views import InboxView, MessageView
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import (
    Conflict,
    IdempotencyConflict,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.kernel.times import iso
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import KEEP, thin_out
from tests.domain.messages.test_service import inbox, sent
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio
USER = caller(Role.AGENT)
OTHER = caller(Role.AGENT, id="other")


async def read(world: World, call: Call, **options: object) -> InboxView:
    return await world.desk.messages.read(call, ReadMessages.model_validate(options))


async def reply(world: World, call: Call, message: MessageView, body: str = "re") -> MessageView:
    return (await sent(world, call=call, thread_id=message.thread_id, body=body)).message


def bodies(found: InboxView) -> list[str]:
    return [message.body for message in found.messages]


async def test_recipients_are_agents_by_name_id_or_label_people_and_capabilities(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob", skills=("python",))
    to = ("ann", ann.id, "agent:ann via user:tester", "user:local", "capability:python")
    done = await sent(world, *to)
    assert done.message.to == ["ann", "bob", "user:local"]
    assert sorted(done.recipients) == sorted([ann.id, bob.id, "user:local"])
    assert (await inbox(world, "ann")).messages[0].to == ["ann", "bob", "user:local"]


@pytest.mark.parametrize("word", ["all", "Everyone", "*"])
async def test_a_word_for_all_reaches_every_other_agent_that_has_not_left(world: World, word: str):
    ann = await world.agent("ann")
    with pytest.raises(NotFound, match="means every other agent, and there is none"):
        await sent(world, word, call=speaking(ann))
    bob, left, eve = [await world.agent(name) for name in ("bob", "left", "eve")]
    await world.desk.agents.control(world.call, ControlAgent(agent_id=left.id, action="terminate"))
    done = await sent(world, word, call=speaking(ann))
    assert done.recipients == sorted([bob.id, eve.id]) and done.message.to == ["bob", "eve"]


async def test_an_agent_that_is_called_so_is_meant_and_too_many_are_refused(world: World):
    for number in range(RECIPIENTS_MAX + 1):
        await world.agent(f"worker-{number}")
    with pytest.raises(LimitExceeded, match="More than 50"):
        await sent(world, "all", call=USER)
    team = await world.agent("team")
    assert (await sent(world, "team", call=USER)).recipients == [team.id]


@pytest.mark.parametrize(
    ("to", "error", "says"),
    [
        ("Anm", NotFound, "Did you mean 'ann'"),
        ("agent:nobody", NotFound, "There is no agent agent:nobody"),
        ("user:", ValidationFailed, "names no person"),
        ("user:a b", ValidationFailed, "names no person"),
        ("user:a:b", ValidationFailed, "names no person"),
    ],
)
async def test_a_recipient_that_there_is_not_is_refused_and_names_that_look_alike_are_told(
    world: World, to: str, error: type[Exception], says: str
):
    await world.agent("ann")
    with pytest.raises(error, match=says):
        await sent(world, "ann", to)
    assert await world.events(type="message.*") == []


@pytest.mark.parametrize("word", ["user", "User", "human", "tester"])
async def test_a_word_for_the_user_here_is_refused_with_the_users_name(world: World, word: str):
    agent = await world.agent("ann")
    with pytest.raises(NotFound, match='Write to "user:tester"'):
        await sent(world, word, call=speaking(agent))
    await world.agent("user")
    assert (await sent(world, "user", call=USER)).recipients != ["user:tester"], "an agent that is called so gets it"


async def test_a_sender_sees_in_a_thread_who_has_read_and_acknowledged_what_it_sent(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    first = (await sent(world, "ann", "bob", call=USER, ack_within_seconds=60)).message
    await read(world, speaking(ann), acknowledge=[first.id])
    await reply(world, speaking(ann), first, "done")
    mine, theirs = (await read(world, USER, thread_id=first.thread_id)).messages
    states = {state.recipient: state for state in mine.states or ()}
    assert states["ann"].acknowledged_at and states["bob"].acknowledged_at is None
    assert mine.states == (await read(world, USER, sent=True)).messages[0].states
    assert theirs.states is None, "who else has read it is for its sender"
    assert (await read(world, speaking(bob), thread_id=first.thread_id)).messages[0].states is None


async def test_where_no_acknowledgement_is_outstanding_that_is_said(world: World):
    ann = await world.agent("ann")
    nothing = await read(world, speaking(ann), unacknowledged=True)
    assert nothing.messages == [] and "No acknowledgement is outstanding" in (nothing.hint or "")
    await sent(world, "ann", call=USER, ack_within_seconds=60)
    assert (await read(world, speaking(ann), unacknowledged=True)).hint is None


async def test_an_answer_reaches_everyone_in_the_thread_but_its_sender(world: World):
    ann, bob, eve = [await world.agent(name) for name in ("ann", "bob", "eve")]
    first = (await sent(world, "bob", "user:local", call=speaking(ann))).message
    assert first.sender == "agent:ann via user:tester"
    done = await sent(world, call=speaking(bob), thread_id=first.thread_id, body="yes")
    assert (sorted(done.recipients), done.skipped) == (sorted([ann.id, "user:local"]), None)
    added = await sent(world, "eve", call=speaking(bob), thread_id=first.thread_id, body="look")
    assert added.recipients == [eve.id]
    await world.desk.agents.control(world.call, ControlAgent(agent_id="bob", action="terminate", to_agent="eve"))
    last = await sent(world, call=caller(Role.AGENT, id="local"), thread_id=first.thread_id, body="thanks")
    assert (last.message.to, last.skipped) == (["ann", "eve"], ["bob"])
    alone = (await sent(world, "ann", call=speaking(ann))).message
    with pytest.raises(NotFound, match="Nobody but ann, who speaks here, takes part"):
        await reply(world, speaking(ann), alone)


async def test_only_who_takes_part_in_a_thread_or_has_control_writes_into_it_or_reads_it(world: World):
    ann, eve = await world.agent("ann"), await world.agent("eve")
    first = (await sent(world, "ann", call=USER)).message
    for refused in (
        read(world, speaking(eve), thread_id=first.thread_id),
        reply(world, speaking(eve), first),
        sent(world, "ann", call=OTHER, thread_id=first.thread_id),
    ):
        with pytest.raises(PermissionDenied, match="takes no part in the thread"):
            await refused
    with pytest.raises(NotFound, match="There is no thread"):
        await read(world, speaking(eve), thread_id="message_none")
    await reply(world, caller(id="operator"), first, "watch it")
    assert bodies(await read(world, caller(id="operator"), thread_id=first.thread_id)) == ["hello", "watch it"]
    assert (await read(world, speaking(ann))).messages[0].read_at is not None


async def test_a_thread_is_read_whole_in_order_and_what_it_shows_counts_as_read(world: World):
    ann = await world.agent("ann")
    first = (await sent(world, "ann", call=USER, body="1")).message
    await reply(world, speaking(ann), first, "2")
    await reply(world, USER, first, "3")
    assert (await read(world, speaking(ann), sent=True)).unread == 2
    whole = await read(world, speaking(ann), thread_id=first.thread_id, limit=2)
    assert (bodies(whole), whole.unread) == (["1", "2"], 1)
    rest = await read(world, speaking(ann), thread_id=first.thread_id, after=whole.cursor)
    assert (bodies(rest), rest.unread) == (["3"], 0)
    again = await read(world, USER, thread_id=first.thread_id)
    assert [(m.sender, m.to) for m in again.messages] == [
        ("user:tester", ["ann"]),
        ("agent:ann via user:tester", ["user:tester"]),
        ("user:tester", ["ann"]),
    ]
    waiting = asyncio.create_task(read(world, USER, thread_id=first.thread_id, after=again.cursor, wait_seconds=30))
    await asyncio.sleep(0)
    await reply(world, speaking(ann), first, "4")
    assert bodies(await waiting) == ["4"]
    assert replay(world.url).differences == ()


async def test_a_list_that_is_cut_says_so_and_goes_on_from_its_cursor(world: World):
    ann = await world.agent("ann")
    thread = (await sent(world, "ann", call=USER, body="0", ack_within_seconds=60)).message.thread_id
    for number in (1, 2):
        await sent(world, "ann", call=USER, thread_id=thread, body=str(number), ack_within_seconds=60)
    for call, asked in (
        (speaking(ann), {"thread_id": thread}),
        (speaking(ann), {"unread_only": False}),
        (USER, {"sent": True}),
        (USER, {"unacknowledged": True}),
    ):
        first = await read(world, call, **asked, limit=2)
        rest = await read(world, call, **asked, limit=2, after=first.cursor)
        assert (first.more, rest.more) == (True, None), asked
        assert sorted(bodies(first) + bodies(rest)) == ["0", "1", "2"], asked
        assert (await read(world, call, **asked, limit=3)).more is None


async def test_many_answers_at_once_each_have_a_place_of_their_own_in_the_thread(world: World):
    ann = await world.agent("ann")
    first = (await sent(world, "ann", call=USER)).message
    await asyncio.gather(*(reply(world, speaking(ann), first, str(number)) for number in range(20)))
    whole = bodies(await read(world, USER, thread_id=first.thread_id, limit=100))
    assert sorted(whole[1:]) == sorted(map(str, range(20)))
    assert replay(world.url).differences == ()


async def test_a_sender_sees_what_it_sent_newest_first_and_who_has_read_and_acknowledged_it(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    for body in ("1", "2", "3"):
        world.clock.advance(1)
        await sent(world, "ann", "bob", call=USER, body=body, ack_within_seconds=60)
    got = (await read(world, speaking(ann))).messages
    await read(world, speaking(ann), acknowledge=[got[2].id])
    page = await read(world, USER, sent=True, limit=2)
    assert bodies(page) == ["3", "2"]
    states = {state.recipient: state for state in page.messages[0].states or ()}
    assert states["ann"].acknowledged_at and states["ann"].read_at and states["bob"].read_at is None
    rest = await read(world, USER, sent=True, limit=2, after=page.cursor)
    assert (bodies(rest), [s.recipient for s in rest.messages[0].states or ()]) == (["1"], ["ann", "bob"])
    assert (await read(world, speaking(bob), sent=True)).messages == []


async def test_acknowledgements_that_are_outstanding_are_listed_for_both_sides(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    late = (await sent(world, "ann", "bob", call=USER, body="late", ack_within_seconds=90)).message
    soon = (await sent(world, "user:tester", call=speaking(bob), body="soon", ack_within_seconds=30)).message
    await sent(world, "ann", call=USER, body="none wanted")

    async def owed(call: Call, **options: object) -> list[tuple[str, list[str]]]:
        found = await read(world, call, unacknowledged=True, **options)
        return [(message.body, [s.recipient for s in message.states or ()]) for message in found.messages]

    assert await owed(USER) == [("soon", ["user:tester"]), ("late", ["ann", "bob"])]
    assert await owed(speaking(ann)) == [("late", ["ann"])]
    page = await read(world, USER, unacknowledged=True, limit=2)
    assert await owed(USER, after=page.cursor) == [("late", ["bob"])]
    await read(world, speaking(ann), acknowledge=[late.id])
    await read(world, USER, acknowledge=[soon.id])
    world.clock.advance(91)
    await world.settle()
    assert await owed(USER) == [("late", ["bob"])]
    assert await owed(speaking(bob)) == [("late", ["bob"])]


async def test_what_one_sent_that_is_not_acknowledged_is_a_list_also_of_one_thread(world: World):
    await world.agent("ann")
    bob = await world.agent("bob")
    first = (await sent(world, "ann", "bob", call=USER, body="first", ack_within_seconds=90)).message
    await sent(world, "ann", call=USER, body="second", ack_within_seconds=90)
    await sent(world, "user:tester", call=speaking(bob), body="theirs", ack_within_seconds=90)
    await sent(world, "ann", call=USER, body="none wanted")

    async def owed(call: Call, **options: object) -> list[str]:
        return bodies(await read(world, call, unacknowledged=True, **options))

    assert await owed(USER, sent=True) == ["first", "second"]
    assert await owed(USER, sent=True, thread_id=first.thread_id) == ["first"]
    assert await owed(USER, thread_id=first.thread_id) == ["first"]
    assert await owed(speaking(bob), sent=True) == ["theirs"]
    none = await read(world, speaking(await world.agent("cid")), unacknowledged=True, sent=True)
    assert none.hint == "Nothing that was sent from here waits for an acknowledgement."
    with pytest.raises(PermissionDenied):
        await owed(caller(Role.AGENT, id="eve"), sent=True, thread_id=first.thread_id)


async def test_a_user_has_an_inbox_which_no_other_takes_from(world: World):
    ann = await world.agent("ann")
    await sent(world, "user:tester", call=speaking(ann))
    with pytest.raises(PermissionDenied, match="messages:control"):
        await read(world, OTHER, agent_id="user:tester")
    for looking in (caller(id="operator"), speaking(ann, Role.ADMIN)):
        assert bodies(await read(world, looking, agent_id="user:tester")) == ["hello"]
    found = await read(world, USER)
    assert (bodies(found), found.unread) == (["hello"], 0)
    assert bodies(await read(world, USER, agent_id="user:tester", unread_only=False)) == ["hello"]


async def test_an_inbox_is_read_by_who_may_speak_as_its_agent_and_looked_at_by_control(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    message = (await sent(world, "ann", call=USER)).message
    with pytest.raises(PermissionDenied, match="cannot speak as ann"):
        await read(world, OTHER, agent_id="ann")
    with pytest.raises(PermissionDenied, match="cannot speak as ann"):
        await read(world, caller(Role.AGENT, "agent", bob.id), agent_id=ann.id)
    look = await read(world, caller(Role.ADMIN, "agent", bob.id), agent_id="ann")
    assert (bodies(look), look.unread) == (["hello"], 1)
    assert "These are another's" in (look.hint or "")
    assert (await read(world, speaking(bob), agent_id="ann")).unread == 1
    with pytest.raises(PermissionDenied, match=f"Only {ann.id} acknowledges"):
        await read(world, speaking(bob), agent_id="ann", acknowledge=[message.id])
    own = await read(world, USER, agent_id="ann")
    assert (own.unread, own.hint) == (0, None)
    told, _ = await world.desk.events.read(world.call, ReadEvents(type="message.read"))
    assert [event.actor for event in told] == ["agent:ann via user:tester"]


async def test_a_key_sends_once_and_compares_values_not_spelling(world: World):
    ann = await world.agent("ann")
    spec = {"idempotency_key": "k", "body": "b", "ack_within_seconds": 60}
    first = await sent(world, "ann", "user:local", **spec)
    again = await sent(world, "user:local", ann.id, **spec | {"ack_within_seconds": 60.0})
    assert (again.message.id, again.message.replayed, again.message.to) == (first.message.id, True, first.message.to)
    assert sorted(again.recipients) == sorted(first.recipients)
    assert first.message.replayed is None
    for other in ({"body": "c"}, {"ack_within_seconds": 61}, {"subject": "s"}, {"importance": "high"}):
        with pytest.raises(IdempotencyConflict, match=first.message.id):
            await sent(world, "ann", "user:local", **spec | other)
    with pytest.raises(IdempotencyConflict):
        await sent(world, "ann", **spec)
    assert await world.events(type="message.*") == ["message.sent"]


async def test_a_key_belongs_to_the_principal_whoever_speaks_for_it(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    first = await sent(world, "ann", idempotency_key="k", call=USER)
    through = await sent(world, "ann", idempotency_key="k", call=speaking(bob))
    assert (through.message.id, through.message.replayed) == (first.message.id, True)
    assert (await sent(world, "ann", idempotency_key="k", call=OTHER)).message.replayed is None
    await world.desk.agents.control(world.call, ControlAgent(agent_id=ann.id, action="terminate", to_agent="bob"))
    assert (await sent(world, "ann", idempotency_key="k", call=USER)).message.replayed


async def test_an_agent_that_leaves_names_its_unread_messages_and_hands_them_over(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    await sent(world, "ann", body="read")
    await read(world, speaking(ann))
    both = (await sent(world, "ann", "bob", body="both")).message
    moved = (await sent(world, "ann", body="moved", ack_within_seconds=60)).message
    await sent(world, "bob", body="own")
    with pytest.raises(Conflict, match="2 unread messages") as refused:
        await world.desk.agents.control(world.call, ControlAgent(agent_id="ann", action="terminate"))
    holds = refused.value.details["holds"]
    assert holds["unread_messages"] == {"total": 2, "which": [both.id, moved.id]}
    command = ControlAgent(agent_id="ann", action="terminate", to_agent="bob", reason="on leave")
    done = await world.desk.agents.control(world.call, command)
    assert (done.handed_over or {})["unread_messages"]["total"] == 2
    assert replay(world.url).differences == ()
    got = await read(world, speaking(bob))
    assert [(m.body, m.to, m.ack_due_at) for m in got.messages] == [
        ("both", ["ann", "bob"], None),
        ("own", ["bob"], None),
        ("moved", ["ann"], moved.ack_due_at),
    ]
    by = {"from": "ann", "by": "user:tester", "at": iso(world.clock.now), "reason": "on leave"}
    assert [m.handed_over for m in got.messages] == [None, None, by]
    (seen,) = (await read(world, speaking(bob), thread_id=moved.thread_id)).messages
    assert seen.handed_over == by, "also where it is read again"
    await read(world, speaking(bob), acknowledge=[moved.id])
    assert (await inbox(world, "ann", unread_only=False)).messages[0].body == "read"
    world.clock.advance(91 * 86_400)
    await sent(world, "bob")
    await thin_out(world, KEEP)
    assert replay(world.url).differences == ()


async def test_a_message_counts_only_while_the_lease_that_it_names_is_held(world: World):
    ann = await world.agent("ann")
    await world.task()
    claimed = await world.claim_one(ann, lease_seconds=10)
    under = replace(speaking(ann, Role.ADMIN), lease_token=claimed.lease_token)
    await sent(world, "user:local", call=under)
    await sent(world, "ann", call=USER)
    world.clock.advance(11)
    await world.settle()
    for refused in (sent(world, "user:local", call=under), read(world, under)):
        with pytest.raises(LeaseLost):
            await refused
    assert (await inbox(world, "ann")).messages[0].read_at is not None
