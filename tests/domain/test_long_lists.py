"""Long lists: counted so far and no further, and said so; tags and kinds of archived work; who did what."""

import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.state.commands import FindDocuments, SetDocument
from mcp_server.domain.tasks import service
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.kernel import paging
from mcp_server.kernel.paging import floors
from tests.world import World

pytestmark = pytest.mark.anyio


async def tagged(world: World, tag: str, **more) -> list[str]:
    return [task.title for task in (await world.desk.tasks.find(world.call, FindTasks(tag=tag, **more))).items]


async def test_lists_and_counts_end_at_a_maximum_and_say_so(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.tasks(*[{} for _ in range(12)])
    exact = await world.desk.tasks.find(world.call, FindTasks(limit=2))
    assert (exact.omitted, floors(omitted=exact.omitted)) == (10, None)
    monkeypatch.setattr(paging, "COUNTED_MAX", 6)
    monkeypatch.setattr(service, "COUNTS_MAX", 5)
    page = await world.desk.tasks.find(world.call, FindTasks(limit=2))
    counts = await world.desk.tasks.counts(world.call)
    assert (page.omitted, counts) == (4, {"queued": 5})
    assert floors(omitted=page.omitted, counts=counts) == ["omitted", "counts.queued"]


async def test_tags_are_found_as_they_are_now_page_by_page_and_in_the_archive(world: World):
    agent = await world.agent()
    first, *_ = await world.tasks(*[{"title": f"t{number}", "tags": ["red", "sky"]} for number in range(5)])
    await world.finish((await world.claim(agent))[0])
    world.clock.advance(86_400 * 40)
    assert await world.database.write(_archive, world.desk.context.origin(world.call), world.clock.now) == 1
    await world.task(title="other", tags=["blue"])
    page = await world.desk.tasks.find(world.call, FindTasks(tag="red", limit=3))
    rest = await world.desk.tasks.find(world.call, FindTasks(tag="red", limit=3, cursor=page.next_cursor))
    assert {task.title for task in [*page.items, *rest.items]} == {"t0", "t1", "t2", "t3", "t4"}
    assert (page.omitted, rest.next_cursor) == (2, None)
    queued = (await world.desk.tasks.find(world.call, FindTasks(tag="red", status="queued"))).items[0]
    edit = ControlTasks.model_validate(
        {"task_ids": [queued.id], "action": "edit", "changes": {"tags": ["sky", "green"]}}
    )
    await world.desk.tasks.control(world.call, edit)
    assert (len(await tagged(world, "red")), len(await tagged(world, "sky"))) == (4, 5)
    assert await tagged(world, "green") == [queued.title]
    assert await tagged(world, "re") == []
    assert first.id


def _archive(tx, origin, before):
    from mcp_server.domain.tasks.timers import archive

    return archive(tx, origin, before, 100)


async def test_an_agents_tasks_are_each_told_once(world: World):
    agent = await world.agent("a")
    await world.tasks({"title": "named", "agent_id": agent.id}, {"title": "anybody's"}, {"title": "left"})
    for _ in range(2):
        await world.finish(await world.claim_one(agent))
    await world.claim_one(agent)
    found = await world.desk.tasks.find(world.call, FindTasks(agent_id=agent.id))
    assert sorted(task.title for task in found.items) == ["anybody's", "left", "named"]
    page = await world.desk.tasks.find(world.call, FindTasks(agent_id=agent.id, limit=1))
    assert page.omitted == 2


async def test_documents_are_found_by_what_their_keys_begin_with_and_by_tag_wherever_they_are(world: World):
    for namespace in ("b", "a"):
        for key in ("k1", "k2", "m"):
            await world.write(namespace, key, 1, tags=("red",) if key == "m" else ())

    async def keys(**narrowed):
        page = await world.desk.state.find(world.call, FindDocuments(**narrowed))
        return [f"{one.namespace}/{one.key}" for one in page.items], page.next_cursor

    first, cursor = await keys(prefix="k", limit=3)
    rest, _ = await keys(prefix="k", limit=3, cursor=cursor)
    assert first + rest == ["a/k1", "b/k1", "a/k2", "b/k2"]
    first, cursor = await keys(tag="red", limit=1)
    assert first + (await keys(tag="red", limit=1, cursor=cursor))[0] == ["a/m", "b/m"]
    assert await keys(tag="red", namespace="b") == (["b/m"], None)
    assert await keys(tag="red", prefix="k") == ([], None)
    command = SetDocument.model_validate({"namespace": "a", "key": "k1", "delete": True})
    await world.desk.state.set(world.call, command)
    assert await keys(deleted=True) == (["a/k1"], None)


async def test_events_of_some_types_and_actors_stand_in_the_order_of_the_log(world: World):
    await world.tasks({}, {})
    await world.write("ns", "k", 1)
    await world.task()
    everything = await world.events()
    assert await world.events(type="task.*,document.*") == everything
    assert await world.events(type="document.set") == ["document.set"]
    newest = await world.events(actor="user:tester", newest_first=True)
    assert newest == [*reversed(everything)]
    assert await world.events(actor="user:nobody") == []
    events, cursor = await world.desk.events.read(world.call, ReadEvents(type="task.*", limit=2))
    rest, _ = await world.desk.events.read(world.call, ReadEvents(type="task.*", after=cursor))
    assert [event.type for event in [*events, *rest]] == ["task.created"] * 3
