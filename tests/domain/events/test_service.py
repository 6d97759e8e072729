"""The promises of the event log and of completions, on both engines."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.views import EventView
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.domain.tasks.spec import USUAL
from mcp_server.kernel import positions as event_log
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.errors import LimitExceeded, NotFound, ValidationFailed
from mcp_server.kernel.times import SECOND, iso
from mcp_server.kernel.understanding import understood
from mcp_server.protocol.completions import complete
from tests.world import World, speaking
from tools import TOOLS
from tools.events import read as events_read

pytestmark = pytest.mark.anyio


async def read(world: World, **narrowed: Any) -> tuple[list[EventView], str]:
    return await world.desk.events.read(world.call, ReadEvents.model_validate({"limit": 10} | narrowed))


async def test_events_are_read_in_order_from_a_cursor_on(world: World):
    await world.tasks({}, {}, {})
    first, cursor = await read(world, limit=2)
    rest, end = await read(world, after=cursor)
    assert [len(first), len(rest)] == [2, 1]
    assert await read(world, after=end) == ([], end)
    newest, back = await read(world, limit=1, newest_first=True)
    older, _ = await read(world, newest_first=True, after=back)
    assert [e.seq for e in newest + older] == sorted((e.seq for e in first + rest), reverse=True)


async def test_a_full_page_says_that_there_is_more_only_where_there_is(world: World):
    await world.tasks({}, {}, {})
    asked = {"type": "task.created"}
    for order in ({}, {"newest_first": True}, {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}):
        for limit, more in ((2, True), (3, None), (4, None)):
            page = await events_read(
                world.desk, world.call, ReadEvents.model_validate(asked | order | {"limit": limit})
            )
            assert (len(page.events), page.more) == (min(limit, 3), more)
            if order.get("newest_first"):
                assert (page.cursor is not None) is bool(more), "nothing comes behind the oldest"
        first = await events_read(world.desk, world.call, ReadEvents.model_validate(asked | order | {"limit": 2}))
        last = ReadEvents.model_validate(asked | order | {"limit": 1, "after": first.cursor})
        assert (await events_read(world.desk, world.call, last)).more is None


async def test_events_are_narrowed_by_type_aggregate_actor_and_correlation(world: World):
    agent = await world.agent()
    task = await world.task()
    await world.claim(agent)
    assert await world.events(type="task.created") == ["task.created"]
    assert await world.events(type="task.*") == ["task.created", "task.claimed"]
    assert await world.events(type=["agent.*", "task.claimed"]) == ["agent.registered", "task.claimed"]
    assert await world.events(type="task.claimed, task.created,task.*") == ["task.created", "task.claimed"]
    for glob in ("*.claimed", "t*.claimed", "task.claime?", "task.[c]laimed", "*.claimed*"):
        assert await world.events(type=glob) == ["task.claimed"], glob
    assert await world.events(aggregate_id=task.id) == ["task.created", "task.claimed"]
    assert len(await world.events(actor="user:tester")) == len(await world.events(correlation_id="correlation-1")) == 3
    assert await world.events(actor="user:other") == []


async def test_several_things_are_read_as_one_trail_page_by_page_in_either_order(world: World):
    one, other = await world.tasks({}, {})
    await world.write("ns", "k", 1)
    await world.tasks({})
    await world.write("ns", "k", 2)
    await world.write("ns", "other", 2)
    asked = {"aggregate_id": [other.id, "ns/k", one.id]}
    whole, _ = await read(world, **asked)
    told = [one.id, other.id, "ns/k", "ns/k"]
    assert [event.aggregate_id for event in whole] == told
    for order in ({}, {"newest_first": True}):
        seen: list[EventView] = []
        cursor: str | None = None
        while True:
            page = ReadEvents.model_validate(asked | order | {"limit": 3, "after": cursor})
            found = await world.desk.events.page(world.call, page)
            seen, cursor = seen + found.events, found.cursor
            if not found.more:
                break
        assert [event.seq for event in seen] == sorted((e.seq for e in whole), reverse=bool(order))
    assert [e.aggregate_id for e in (await read(world, aggregate_id=f"{one.id}, {other.id}"))[0]] == told[:2]
    for named in ("ns/k,ns/other", f"ns/other , {one.id}"):
        found = {e.aggregate_id for e in (await read(world, aggregate_id=named))[0]}
        assert found == {part.strip() for part in named.split(",")}, named


async def test_a_lock_whose_name_holds_commas_is_one_thing(world: World):
    for name in ("a,b", "a", "c"):
        await world.desk.locks.acquire(world.call, AcquireLock(name=name))
    found, _ = await read(world, aggregate_id="a,b", type="lock.acquired")
    assert [event.aggregate_id for event in found] == ["a,b", "a"]
    found, _ = await read(world, aggregate_id=["a,b"], type="lock.acquired")
    assert [event.aggregate_id for event in found] == ["a,b"]


async def test_a_thing_is_found_as_it_is_pasted_and_an_agent_by_its_name(world: World):
    agent = await world.agent(name="scribe")
    task = await world.task()
    await world.write("ns", "a/b", 1)
    for pasted in (f" '{task.id}' ", f"ops://tasks/{task.id}", f"`{task.id}`"):
        assert await world.events(aggregate_id=pasted) == ["task.created"], pasted
    for address in ("ns/a/b", " ns/a/b", "ops://state/ns/a/b"):
        assert await world.events(aggregate_id=address) == ["document.set"], address
    assert await world.events(namespace="ns", key="a/b") == ["document.set"]
    assert await world.events(aggregate_id="scribe") == await world.events(aggregate_id=agent.id)
    assert "agent.registered" in await world.events(aggregate_id="scribe")


async def test_too_many_things_at_once_are_refused(world: World):
    with pytest.raises(LimitExceeded, match="too many for one call"):
        await read(world, aggregate_id=",".join(f"ns/{number}" for number in range(51)))
    with pytest.raises(LimitExceeded, match="too many for one call"):
        await read(world, aggregate_id=[f"ns/{number}" for number in range(51)])


async def test_where_nothing_is_found_what_may_be_meant_is_named(world: World):
    await world.write("notes", "today", 1)
    user = world.call.actor.id
    for asked, hint in (
        ({"aggregate_id": "notes/tody"}, "Did you mean 'notes/today'?"),
        ({"aggregate_id": "notes/tody, no.lock"}, 'about "notes/tody, no.lock" or notes/tody or no.lock'),
        ({"actor": f"user:{user}x"}, f"Did you mean 'user:{user}'?"),
    ):
        found = await events_read(world.desk, world.call, ReadEvents.model_validate(asked))
        assert found.events == [] and hint in (found.hint or ""), found.hint


async def test_a_tasks_events_are_read_with_those_of_its_children_and_who_reads_its_own_is_told_so(world: World):
    parent = await world.task()
    assert (await events_read(world.desk, world.call, ReadEvents(aggregate_id=parent.id))).hint is None
    one, other = await world.tasks({"parent_id": parent.id}, {"parent_id": parent.id})
    hint = (await events_read(world.desk, world.call, ReadEvents(aggregate_id=parent.id))).hint or ""
    assert "children=true" in hint
    told = await events_read(world.desk, world.call, ReadEvents(aggregate_id=parent.id, children=True))
    assert ([event.aggregate_id for event in told.events], told.hint) == ([parent.id, one.id, other.id], None)
    alone = await events_read(world.desk, world.call, ReadEvents(aggregate_id=one.id, children=True))
    assert (len(alone.events), alone.hint) == (1, "It has no children.")
    for of in (None, f"{one.id},{other.id}"):
        with pytest.raises(ValueError, match="says of which"):
            ReadEvents(aggregate_id=of, children=True)


async def test_a_task_with_more_children_than_are_looked_up_is_read_with_the_newest_and_says_so(world: World):
    parent = await world.task(title="Parent")
    specs = [{"title": f"{number}", "parent_id": parent.id} for number in range(100)]
    ids = [one.id for one in await world.created(*specs)]
    read = understood("events_read", ReadEvents, {"aggregate_id": parent.id, "children": True, "limit": 100})
    told = await events_read(world.desk, world.call, read)
    about = {one.aggregate_id for one in told.events}
    assert parent.id in about and len(about & set(ids)) == 49
    assert "its 49 newest children; it has 51 more" in (told.hint or "")
    (cursor,) = re.findall(r"cursor='([^']+)'", told.hint or "")
    others = await world.desk.tasks.find(world.call, FindTasks(parent_id=parent.id, cursor=cursor, limit=100))
    assert {one.id for one in others.items} == set(ids) - about


async def test_types_by_other_words_are_read_and_said_as_what_they_are_called(world: World):
    await world.write("n", "k", 1)
    for asked, meant in (
        ("lock.forced", ("lock.released", "with forced_from were taken away by force")),
        ("documents.updated", ("document.updated: read as document.set, document.patched",)),
        ("task.finished,task.created", ("task.finished: read as task.completed",)),
    ):
        told = await events_read(world.desk, world.call, understood("events_read", ReadEvents, {"type": asked}))
        assert all(one in (told.hint or "") for one in meant), told.hint
        assert all(one.type.startswith(asked[:4]) for one in told.events)
    (written,) = (
        await events_read(world.desk, world.call, understood("events_read", ReadEvents, {"type": "state.modified"}))
    ).events
    assert written.type == "document.set"
    for strange in ("lock.frobbed", "updated", "process.finished"):
        with pytest.raises(ValidationFailed, match="no events of type"):
            await events_read(world.desk, world.call, ReadEvents(type=strange))


async def test_types_by_other_words_tell_nobody_what_it_may_not_see(world: World):
    blind = replace(world.call, toolsets=frozenset({"system", "tasks"}))
    with pytest.raises(ValidationFailed) as refused:
        await events_read(world.desk, blind, ReadEvents(type="lock.forced"))
    assert "lock.released" not in refused.value.message


async def test_the_call_that_a_page_of_the_newest_names_goes_on_with_the_older_ones(world: World):
    for _ in range(4):
        await world.task()
    (tool,) = (one for one in TOOLS if one.name == "events_read")
    page = await events_read(world.desk, world.call, ReadEvents(newest_first=True, limit=2))
    assert tool.say(page).endswith(f"Older ones are there: call again with after='{page.cursor}', newest_first=true.")
    older = ReadEvents(newest_first=True, limit=2, after=page.cursor)
    seqs = [one.seq for one in [*page.events, *(await events_read(world.desk, world.call, older)).events]]
    assert seqs == sorted(seqs, reverse=True) and len(set(seqs)) == 4


async def test_a_time_in_the_place_of_a_cursor_says_since_when(world: World):
    await world.task()
    world.clock.advance(3600)
    await world.write("ns", "k", 1)
    since = iso(world.clock.now - 60 * SECOND)
    assert await world.events(after=since) == await world.events(since=since) == ["document.set"]


async def test_a_reader_that_waits_is_woken_by_the_next_event(world: World):
    waiting = asyncio.create_task(read(world, wait_seconds=50, type="document.*"))
    await asyncio.sleep(0)
    await world.task()
    await world.write("ns", "k", 1)
    events, _ = await asyncio.wait_for(waiting, 40)
    assert [event.type for event in events] == ["document.set"]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1-", "1-2-3", "9" * 30, "¹"])
async def test_a_cursor_of_nobodys_is_refused(world: World, cursor: str):
    with pytest.raises(ValidationFailed, match="not an event cursor"):
        await read(world, after=cursor)


async def test_a_cursor_where_no_event_stands_is_refused_with_the_newest(world: World):
    for number in range(4):
        await world.write("ns", f"k{number}", number)
    events, newest = await read(world)
    assert await read(world, after=newest) == ([], newest)
    seq = events[1].seq
    others = [f"{10**15}", f"{10**15}-{seq}", f"5-{seq}" if "-" in newest else f"0-{10**9}", "3-99999"]
    if "-" in newest:
        others.append(str(seq))  # as SQLite has it
    for cursor in others:
        for backwards in (False, True):
            with pytest.raises(ValidationFailed, match="no cursor of this log") as refused:
                await read(world, after=cursor, newest_first=backwards, wait_seconds=0 if backwards else 50)
            assert f"events_read(after='{newest}')" in refused.value.message
    assert (await read(world, after="0"))[0] == events


def test_cursors_of_both_engines_survive_a_round_trip():
    for position in (event_log.Position(0, 7), event_log.Position(12, 7)):
        assert event_log.parse_cursor(position.cursor()) == position


async def test_a_row_is_the_fold_of_its_events(world: World):
    agent = await world.agent()
    task = await world.task(title="fold me", input={"a": None})
    claimed = await world.claim_one(agent)
    await world.finish(claimed, result=[1])
    rows = await world.database.fetch_all(
        "events_after", filters=("aggregate",), xid=0, seq=0, limit=9, aggregate=task.id
    )
    import json

    folded: dict = {}
    for row in rows:
        folded |= json.loads(row["data"])
    stored = dict(await world.database.fetch_one("task_by_id", id=task.id) or {})
    for name in ("input", "result", "required_capabilities", "depends_on", "tags"):
        stored[name] = json.loads(stored[name]) if stored[name] is not None else None
    folded = dict.fromkeys(stored) | folded | {"id": task.id, "version": 3}  # what an event leaves out is null
    assert stored == folded


async def test_completions_offer_what_begins_with_what_was_typed(world: World):
    agent = await world.agent()
    task = await world.task()
    await world.write("name_space", "key%1", 1)
    for argument, typed, known, offered in (
        ("agent_id", agent.id[:8], {}, [agent.id]),
        ("task_id", "task_", {}, [task.id]),
        ("namespace", "name_", {}, ["name_space"]),
        ("namespace", "nameX", {}, []),
        ("key", "key%", {"namespace": "name_space"}, ["key%1"]),
        ("key", "", {}, []),
        ("bogus", "", {}, []),
    ):
        assert await complete(world.desk, world.call, argument, typed, known) == offered, (argument, typed)


async def test_a_caller_sees_the_events_of_what_it_may_read_and_is_offered_page_by_page(world: World):
    for number in range(3):
        await world.task()
        await world.write("ns", f"k{number}", 1)
    narrow = replace(world.call, toolsets=frozenset(("state", "system")))
    keyed = replace(
        world.call,
        actor=Actor(kind="user", id="x", permissions=frozenset((Permission.EVENTS_READ, Permission.STATE_READ))),
    )
    for call in (narrow, keyed):
        seen, cursor = [], None
        while True:
            events, cursor = await world.desk.events.read(call, ReadEvents(after=cursor, limit=2))
            if not events:
                break
            seen += [event.type for event in events]
        assert seen == ["document.set"] * 3
        assert (await world.desk.events.read(call, ReadEvents(type="task.*")))[0] == []


async def test_what_led_to_an_event_that_one_may_not_see_is_not_told(world: World):
    await world.task()
    await world.write("ns", "k", 1)
    task, document = (await read(world))[0]
    narrow = replace(world.call, toolsets=frozenset(("state", "system")))
    assert [one.seq for one in await world.desk.events.led_to(narrow, document.seq, 9)] == [document.seq]
    with pytest.raises(NotFound, match="There is no event"):
        await world.desk.events.led_to(narrow, task.seq, 9)


async def test_events_are_told_in_public_names_and_units_and_lists_of_them_are_cut(world: World):
    said = {"kind": "code", "description": "d" * 500, "priority": "low", "run_at": "2030-01-01T00:00:00Z"}
    task = await world.task(**said)
    (listed,), _ = await read(world, type="task.created")
    (alone,), _ = await read(world, type="task.created", aggregate_id=task.id)
    assert alone.data["run_at"] == listed.data["run_at"] == "2030-01-01T00:00:00.000Z"
    assert alone.data["priority"] == "low" and alone.data["created_by"] == alone.actor
    assert not {"queue", "waits_on", "updated_at", "system"} & alone.data.keys()
    assert alone.data["description"] == "d" * 500 and listed.data["description"].endswith("d… (500 characters)")
    assert "created_at" not in listed.data and "created_at" in alone.data


async def test_lists_of_events_do_not_tell_what_is_as_usual_of_a_thing_that_begins(world: World):
    await world.tasks({"title": "a"}, {"title": "b", "on_parent_failure": "cancel", "retry": {"delay_seconds": 7}})
    usual, other = (await read(world, type="task.created"))[0]
    assert not USUAL.keys() & usual.data.keys()
    told = {"on_parent_failure": "cancel", "retry_delay_seconds": 7}
    assert {name: other.data[name] for name in USUAL if name in other.data} == told
    (alone,), _ = await read(world, aggregate_id=usual.aggregate_id)
    assert {name: alone.data[name] for name in USUAL} == USUAL


async def test_several_actors_stand_between_commas_or_in_a_list_alone_and_beside_what_else_narrows(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    task = await world.task(agent_id=bob.id)
    for agent in (ann, bob):
        spoken = speaking(agent)
        await world.desk.state.set(spoken, SetDocument(namespace="n", key=agent.name, value=1))
    both, _ = await read(world, actor="ann, bob")
    assert [event.actor for event in both] == ["agent:ann via user:tester", "agent:bob via user:tester"]
    assert (await read(world, actor=["ann", "bob"]))[0] == both
    assert (await read(world, actor="ann,bob", type="document.set"))[0] == both
    assert [event.aggregate_id for event in (await read(world, actor="ann,bob", aggregate_id="n/bob"))[0]] == ["n/bob"]
    assert (await read(world, actor="ann,bob", aggregate_id=task.id))[0] == []
    assert len((await read(world, actor="ann,user:tester", newest_first=True))[0]) == 5
    with pytest.raises(NotFound, match="no agent carl"):
        await read(world, actor="ann,carl")
