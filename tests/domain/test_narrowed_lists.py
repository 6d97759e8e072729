"""Lists that several things narrow: whichever they are read by, what is found is the same, and nothing else is."""

import itertools
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import Vote
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.timers import archive
from mcp_server.kernel import fewest
from mcp_server.kernel.times import SECOND
from tests.domain.approvals.test_service import decide, find, request
from tests.world import World, caller

pytestmark = pytest.mark.anyio
READINESS = {"status", "ready", "blocked"}
"""Of these, no two go together but where they say the same."""
COUNTS = ((1_000, 30_000), (2, 4), (0, 0))
"""How far it is counted: far enough to tell which are the fewest, a little, and not at all."""


async def worked(world: World) -> str:
    """Tasks that stand in every way, some of them archived; an agent that did some, does one, and is named by one."""
    agent = await world.agent()
    (parent,) = await world.tasks({"title": "parent", "kind": "whole"})
    kinds = itertools.cycle(("build", "test", "build"))
    specs = [{"title": f"t{n}", "kind": next(kinds), "tags": ["red"][: n % 2]} for n in range(6)]
    *_, last = await world.tasks(*[{**spec, "parent_id": parent.id} for spec in specs])
    held = await world.claim(agent, max_tasks=5)
    for number, one in enumerate(held[:4]):
        await world.finish(one, **({"error": {"message": "it broke", "retryable": False}} if number % 2 else {}))
    world.clock.advance(86_400 * 40)
    origin = world.desk.context.origin(world.call)
    assert await world.database.write(archive, origin, world.clock.now - SECOND, 2) == 2
    more = [{"kind": "build", "agent_id": agent.id, "tags": ["red"]}, {"kind": "test", "depends_on": [last.id]}]
    made = await world.tasks(*more, {"kind": "test", "schedule": {"cron": "0 3 * * *"}}, {"kind": "build"})
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(made[-1].id,), action="pause"))
    return f"{agent.id} {parent.id}"


async def found(world: World, **narrowed: Any) -> list[str]:
    """The ids of a list, read page by page."""
    ids: list[str] = []
    cursor = None
    while True:
        page = await world.desk.tasks.find(world.call, FindTasks(**narrowed, limit=2, cursor=cursor))
        ids += [task.id for task in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ids


@pytest.mark.parametrize("counted_to", COUNTS)
async def test_tasks_narrowed_by_several_things_are_those_that_each_of_them_finds(
    world: World, monkeypatch: pytest.MonkeyPatch, counted_to: tuple[int, ...]
):
    agent_id, parent_id = (await worked(world)).split()
    monkeypatch.setattr(fewest, "COUNTED_TO", counted_to)
    statuses = [{"status": status} for status in ("pending", "queued", "running", "paused", "completed", "failed")]
    ways: list[dict[str, Any]] = [
        *(*statuses, {"ready": True}, {"ready": False}, {"blocked": True}, {"schedules": True}),
        *({"parent_id": parent_id}, {"kind": "build"}, {"kind": "test"}, {"tag": "red"}, {"agent_id": agent_id}),
    ]
    every = await found(world)
    each = [set(await found(world, **way)) for way in ways]
    assert all(each) and len(every) == 11
    for (one, these), (other, those) in itertools.combinations(zip(ways, each, strict=True), 2):
        if len({*one, *other} & READINESS) < 2 and {*one} != {*other}:
            expected = [task_id for task_id in every if task_id in these & those]
            assert await found(world, **one, **other) == expected, (one, other)


async def test_questions_put_to_somebody_are_narrowed_by_how_they_stand(world: World):
    asked = [await request(world, "ann@x.org", *["bob@x.org"][: number % 2]) for number in range(4)]
    asked += [await request(world, "ann@x.org", choices=["now", "later"]), await request(world, "bob@x.org")]
    choose = Vote(approve=True, choice="now")
    await decide(world, "ann@x.org", asked[0].id)
    await decide(world, "ann@x.org", asked[1].id)
    await decide(world, "ann@x.org", asked[2].id, granted=False)
    await _vote(world, "ann@x.org", asked[4].id, choose)
    by_status = {
        status: [one.id for one in (await find(world, status=status)).items]
        for status in ("pending", "approved", "answered", "rejected", "expired")
    }
    assert [len(ids) for ids in by_status.values()] == [2, 3, 1, 1, 0]
    for approver, status in itertools.product(("ann@x.org", "user:bob@x.org", "nobody"), by_status):
        put_to = {one.id for one in (await find(world, approver=approver)).items}
        expected = [id_ for id_ in by_status[status] if id_ in put_to]
        assert [one.id for one in (await find(world, approver=approver, status=status)).items] == expected
        page = await find(world, approver=approver, status=status, limit=1)
        rest = await find(world, approver=approver, status=status, cursor=page.next_cursor)
        assert [one.id for one in (page.items + (rest.items if page.next_cursor else []))] == expected


async def _vote(world: World, who: str, id_: str, vote: Vote) -> None:
    shown = await world.desk.approvals.shown(world.call, id_)
    await world.desk.approvals.decide(caller(id=who), Voter(who, "command line", "session"), id_, vote, shown.seen)


@pytest.mark.parametrize("counted_to", COUNTS)
async def test_events_of_a_type_by_an_actor_are_found_by_whichever_is_rarer(
    world: World, monkeypatch: pytest.MonkeyPatch, counted_to: tuple[int, ...]
):
    agent_id, _ = (await worked(world)).split()
    monkeypatch.setattr(fewest, "COUNTED_TO", counted_to)
    for type_, actor in itertools.product(("task.*", "task.failed", "agent.registered"), (world.call.label, agent_id)):
        both = {*await told(world, type=type_)} & {*await told(world, actor=actor)}
        assert await told(world, type=type_, actor=actor) == sorted(both), (type_, actor)
        assert await told(world, type=type_, actor=actor, newest_first=True) == sorted(both, reverse=True)


async def told(world: World, **narrowed: Any) -> list[int]:
    events, _ = await world.desk.events.read(world.call, ReadEvents(**narrowed, limit=100))
    return [event.seq for event in events]
