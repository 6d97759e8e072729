"""What is private stays so in every way to the event log and to mails; and the log narrowed by who did it and when."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.email.views import EmailState
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import MessageView
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.views import dumped
from mcp_server.persistence.database import Database
from mcp_server.protocol.completions import complete
from tests.world import START, World, caller, speaking

pytestmark = pytest.mark.anyio
USER = caller(Role.AGENT)
OTHER = caller(Role.AGENT, id="other")
VIEWER = caller(Role.VIEWER, id="tester2")


async def seen(world: World, call: Call, **narrowed: Any) -> list[str]:
    events, _ = await world.desk.events.read(call, ReadEvents.model_validate({"limit": 100} | narrowed))
    return [event.type for event in events]


async def say(world: World, call: Call, *to: str) -> MessageView:
    return (await world.desk.messages.send(call, SendMessage(to=to, body="secret"))).message


async def mail(world: World, call: Call) -> EmailState:
    spec = {"to": ["a@example.org"], "subject": "secret", "text": "secret"}
    return (await world.desk.emails.send(call, SendEmail.model_validate(spec))).email


async def agents(world: World) -> tuple[AgentView, AgentView, AgentView]:
    return await world.agent("ann"), await world.agent("bob"), await world.agent("eve")


async def test_events_of_a_message_are_seen_by_who_takes_part_and_by_control_alone(world: World):
    ann, bob, eve = await agents(world)
    message = await say(world, speaking(ann), "bob", "user:local")
    await world.desk.messages.read(speaking(bob), ReadMessages())
    both = ["message.sent", "message.read"]
    for call in (speaking(ann), speaking(bob), caller(Role.AGENT, id="local"), caller(id="operator")):
        assert await seen(world, call, aggregate_id=message.id) == both
        assert await seen(world, call, type="message.*", newest_first=True) == both[::-1]
    for call in (speaking(eve), OTHER, VIEWER, caller(Role.VIEWER, "agent", bob.id)):
        assert await seen(world, call, aggregate_id=message.id) == []
        assert not any(type_.startswith("message") for type_ in await seen(world, call))


async def test_what_led_to_a_private_event_is_told_to_who_takes_part_only(world: World):
    ann, _, eve = await agents(world)
    message = await say(world, speaking(ann), "bob")
    events, _ = await world.desk.events.read(speaking(ann), ReadEvents(aggregate_id=message.id))
    seq = events[-1].seq
    assert (await world.desk.events.led_to(speaking(ann), seq, 10))[-1].type == "message.sent"
    with pytest.raises(NotFound, match=f"no event {seq}"):
        await world.desk.events.led_to(speaking(eve), seq, 10)


async def test_pages_and_waits_go_past_what_is_hidden(world: World):
    ann, _, eve = await agents(world)
    await world.task()
    for _ in range(5):
        await say(world, speaking(ann), "bob")
    await world.task()
    page, cursor = await world.desk.events.read(speaking(eve), ReadEvents(limit=4))
    rest, end = await world.desk.events.read(speaking(eve), ReadEvents(limit=4, after=cursor))
    assert [e.type for e in page + rest] == ["agent.registered"] * 3 + ["task.created"] * 2
    command = ReadEvents(after=end, wait_seconds=20)
    waiting = asyncio.create_task(world.desk.events.read(speaking(eve), command))
    await asyncio.sleep(0)
    await say(world, speaking(ann), "bob")
    await world.task()
    assert [e.type for e in (await waiting)[0]] == ["task.created"]


async def test_a_mail_is_found_by_its_principal_whoever_spoke_and_by_control_alone(world: World):
    ann, bob, _ = await agents(world)
    email = await mail(world, speaking(ann))
    assert email.id is not None
    for call in (USER, speaking(bob), caller(id="operator")):
        assert [found.id for found in (await world.desk.emails.find(call, FindEmails())).items] == [email.id]
        assert (await world.desk.emails.get(call, email.id)).text == "secret"
        assert await complete(world.desk, call, "email_id", "email", {}) == [email.id]
        assert await seen(world, call, type="email.*") == ["email.queued"]
    # `x via user:tester` is no name that a principal can have, and a name that ends alike is another's.
    alike = (caller(Role.AGENT, id="ester"), caller(Role.AGENT, "agent", ann.id), caller(Role.AGENT, "agent", "tester"))
    for call in (OTHER, VIEWER, *alike):
        found = await world.desk.emails.find(call, FindEmails())
        assert (found.items, found.omitted) == ([], None)
        assert await complete(world.desk, call, "email_id", "email", {}) == []
        assert await seen(world, call, type="email.*") == []
        with pytest.raises(NotFound, match="There is no email"):
            await world.desk.emails.get(call, email.id)


async def test_mails_of_an_agent_with_a_key_of_its_own_are_its_own(world: World):
    ann, bob, _ = await agents(world)
    key = speaking(ann)
    as_ann = Call(caller(Role.AGENT, "agent", ann.id).actor, "c", speaker=key.speaker)
    email = await mail(world, as_ann)
    assert (await world.desk.emails.get(as_ann, email.id or "")).created_by == "agent:ann"
    assert [found.id for found in (await world.desk.emails.find(as_ann, FindEmails())).items] == [email.id]
    for call in (USER, caller(Role.AGENT, "agent", bob.id)):
        assert (await world.desk.emails.find(call, FindEmails())).items == []


def test_everything_that_is_private_names_a_permission_to_control_it():
    private = {one.type: one.private for one in AREAS.aggregates.values() if one.private is not None}
    assert {type_: one.control.value for type_, one in private.items()} == {
        "message": "messages:control",
        "email": "emails:control",
        "approval": "approvals:control",
        "call": "calls:control",
    }


async def test_a_question_about_a_mail_is_for_who_asked_and_who_is_asked_and_for_control(url: str):
    policy = EmailPolicy(provider="file", sender="desk@example.org", allow=("*@inside.org",), approvers=("Boss",))
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database, policy)
        spec = {"to": ["a@example.org"], "subject": "secret", "text": "secret"}
        sent = await desk.emails.send(USER, SendEmail.model_validate(spec))
        asked = await desk.approvals.request(USER, RequestApproval(title="open", action="a", approvers=("Boss",)))
        assert sent.task is not None
        about_mail = (sent.task.approval and f"approval_{sent.task.id[5:]}") or ""
        boss = caller(Role.AGENT, id="boss")
        for call in (USER, boss, caller(id="operator")):
            assert "secret" in str((await desk.approvals.get(call, about_mail)).details)
            found = (await desk.approvals.find(call, FindApprovals())).items
            assert {one.id for one in found} == {about_mail, asked.approval.id}
        for call in (OTHER, VIEWER, caller(Role.AGENT, "agent", "boss"), caller(Role.AGENT, id="oss")):
            assert [one.id for one in (await desk.approvals.find(call, FindApprovals())).items] == [asked.approval.id]
            assert await complete(desk, call, "approval_id", "approval", {}) == [asked.approval.id]
            for refused in (desk.approvals.get(call, about_mail), desk.approvals.shown(call, about_mail)):
                with pytest.raises(NotFound):
                    await refused
            events, _ = await desk.events.read(call, ReadEvents(limit=100))
            tasks = await desk.tasks.find(call, FindTasks(include_system=True))
            assert "secret" not in str([dumped(one) for one in (*events, *tasks.items)])
            assert {event.aggregate_id for event in events if event.aggregate_type == "approval"} == {asked.approval.id}
    finally:
        await database.close()


async def test_events_of_kinds_that_a_caller_may_not_see_at_all_are_left_out(world: World):
    await world.write("ns", "k", 1)
    await world.task()
    actor = USER.actor.model_copy(update={"permissions": Role.VIEWER.permissions - {AREAS.aggregates["task"].seen_by}})
    assert await seen(world, Call(actor, "c")) == ["document.set"]


async def test_an_actor_is_an_agent_by_name_or_id_a_user_or_one_whole_label(world: World):
    ann, bob, _ = await agents(world)
    await say(world, speaking(ann), "bob")
    await say(world, speaking(ann, id="other"), "bob")
    await say(world, speaking(bob), "ann")
    await say(world, OTHER, "ann")

    async def by(actor: str) -> list[str]:
        events, _ = await world.desk.events.read(world.call, ReadEvents(actor=actor, type="message.*"))
        return [event.actor for event in events]

    through = ["agent:ann via user:tester", "agent:ann via user:other"]
    for actor in ("ann", ann.id, "agent:ann", f"agent:{ann.id}"):
        assert await by(actor) == through
    assert await by(through[1]) == through[1:]
    assert await by("user:other") == [through[1], "user:other"]
    assert await by("user:tester") == [through[0], "agent:bob via user:tester"]
    assert await by("user:ester") == await by("agent:an") == await by("system:server") == []
    with pytest.raises(NotFound, match=r"There is no agent Ana\. Did you mean 'ann'"):
        await by("Ana")


async def test_events_are_narrowed_by_when_both_ends_counted(world: World):
    for key in ("1", "2", "3"):
        await world.write("ns", key, key)
        world.clock.advance(60)

    async def keys(**between: int) -> list[str]:
        times = {name: datetime.fromtimestamp(START / 1e6 + seconds, UTC) for name, seconds in between.items()}
        events, _ = await world.desk.events.read(world.call, ReadEvents.model_validate(times))
        return [event.aggregate_id for event in events]

    assert await keys(since=60) == ["ns/2", "ns/3"]
    assert await keys(until=60) == ["ns/1", "ns/2"]
    assert await keys(since=1, until=119) == ["ns/2"]
    assert await keys(since=121) == []


async def test_who_finds_nothing_since_some_time_goes_on_behind_what_came_before_it(world: World):
    for key in ("1", "2"):
        await world.write("ns", key, key)
        world.clock.advance(60)

    def at(seconds: int) -> datetime:
        return datetime.fromtimestamp(START / 1e6 + seconds, UTC)

    async def keys(**asked: object) -> tuple[list[str], str | None]:
        events, cursor = await world.desk.events.read(world.call, ReadEvents.model_validate(asked))
        return [event.aggregate_id for event in events], cursor

    found, cursor = await keys(since=at(119))
    _, until = await keys(since=at(10), until=at(20))
    assert found == []
    await world.write("ns", "3", "3")
    assert (await keys(after=cursor))[0] == ["ns/3"]
    assert (await keys(after=until))[0] == ["ns/2", "ns/3"]


async def test_a_reader_does_not_wait_for_events_of_a_time_that_is_over(world: World):
    until = datetime.fromtimestamp(START / 1e6 - 1, UTC)
    command = ReadEvents(until=until, wait_seconds=50)
    events, _ = await asyncio.wait_for(world.desk.events.read(world.call, command), 40)
    assert events == []


async def test_tasks_are_found_by_the_name_of_their_agent(world: World):
    ann, *_ = await agents(world)
    task = await world.task(agent_id=ann.id)
    await world.task()
    for reference in ("ann", ann.id):
        found = await world.desk.tasks.find(world.call, FindTasks(agent_id=reference))
        assert [one.id for one in found.items] == [task.id]
    with pytest.raises(NotFound, match="Did you mean 'ann'"):
        await world.desk.tasks.find(world.call, FindTasks(agent_id="anne"))
