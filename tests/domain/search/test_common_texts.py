"""What very many hold: the newest of it is found by the numbers of its texts, in the order of its list all the same."""

import random
from typing import Any

import pytest

from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.search import finding, transactions
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.tasks.archive import ARCHIVE_AT_ONCE
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.timers import archive
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.paging import AtLeast
from mcp_server.kernel.searching import trigrams
from mcp_server.upkeep.replay import replay
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def all_are_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is one that very many hold, and three of them are as many as are looked at."""
    monkeypatch.setattr(finding, "PROPOSED_MAX", -1)
    monkeypatch.setattr(finding, "KEPT_MAX", 3)
    monkeypatch.setattr(transactions, "SPAN", 2)


async def every_page(world: World, limit: int, **narrowed: Any) -> list[TaskView]:
    """A list of tasks from its first page to its last."""
    found: list[TaskView] = []
    cursor = None
    while True:
        page = await world.desk.tasks.find(world.call, FindTasks(limit=limit, cursor=cursor, **narrowed))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def happen(world: World, chance: random.Random) -> None:
    """Tasks come, end, are put away and get other words; clocks are set; the index follows now and then."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            many = [{"title": chance.choice(("old work", "new work", "else")), "tags": ["t"]} for _ in range(4)]
            await world.created(*many[: chance.randint(1, 4)])
        case 3:
            task = await world.task(title="other work")
            action = {"task_ids": [task.id], "action": "edit", "changes": {"title": "old work again"}}
            await world.desk.tasks.control(world.call, ControlTasks.model_validate(action))
        case 4:
            task = await world.task(title="old work")
            await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action="cancel"))
        case 5:
            world.clock.set(chance.choice((-50, 1, 1, 60)))
        case 6:
            await world.database.write(index_some)
        case _:
            before = world.clock() - 20_000_000
            await world.database.write(archive, world.desk.context.origin(world.call), before, ARCHIVE_AT_ONCE)
    world.clock.advance(chance.choice((0, 0, 1)))


@pytest.mark.slow
@pytest.mark.usefixtures("all_are_common")
@pytest.mark.parametrize("seed", range(3))
async def test_pages_of_what_many_hold_are_the_list_without_what_does_not_hold_it(world: World, seed: int):
    chance = random.Random(seed)
    for _ in range(60):
        await happen(world, chance)
        world.clock.now = max(world.clock.now, 1)
    for narrowed in ({}, {"status": "cancelled"}, {"tag": "t"}):
        whole = await every_page(world, 100, **narrowed)
        for text in ("old work", "work", "nowhere", "rk", "w", "zq"):
            expected = [one.id for one in whole if text in one.title]
            found = [one.id for one in await every_page(world, chance.choice((1, 2, 5)), text=text, **narrowed)]
            assert found == expected, (narrowed, text)
    assert replay(world.url).differences == ()


@pytest.mark.usefixtures("all_are_common")
async def test_how_many_more_hold_it_is_told_as_at_least_so_many(world: World):
    for _ in range(8):
        world.clock.advance(1)
        await world.task(title="old work")
    while await world.database.write(index_some):
        pass
    page = await world.desk.tasks.find(world.call, FindTasks(text="old work", limit=1))
    assert isinstance(page.omitted, AtLeast)
    assert 1 <= page.omitted < 7


async def test_what_many_old_ones_hold_is_found_without_reading_the_newer_ones(
    world: World, all_are_common: None, monkeypatch: pytest.MonkeyPatch
):
    """The list is never read from its beginning where the index fills the page."""
    for title in (*["old work"] * 5, *["ready"] * 5):
        world.clock.advance(1)
        await world.task(title=title)
    while await world.database.write(index_some):
        pass
    asked: list[tuple[str, ...]] = []
    fetch_page = finding.fetch_page

    async def noted(database: Any, query: Any, *args: Any, **more: Any) -> Any:
        asked.append(query.filters)
        return await fetch_page(database, query, *args, **more)

    monkeypatch.setattr(finding, "fetch_page", noted)
    page = await world.desk.tasks.find(world.call, FindTasks(text="OLD work", limit=1))
    assert [one.title for one in page.items] == ["old work"]
    assert len(asked) == 1
    assert "task_text_among" in asked[0]


@pytest.mark.usefixtures("all_are_common")
async def test_mails_to_somebody_are_found_page_by_page_and_whatever_field_names_them(world: World):
    sent: list[str] = []
    for number in range(12):
        world.clock.advance(1)
        field = ("to", "cc", "bcc")[number % 3]
        who = {"to": ["bob@example.org"], field: ["Ann <Ann@Example.org>"]}
        mail = SendEmail.model_validate({**who, "subject": f"{number}", "text": "t"})
        sent.append((await world.desk.emails.send(world.call, mail)).email.id or "")
        if number % 5 == 4:
            await world.database.write(index_some)
    found: list[str] = []
    cursor = None
    while True:
        command = FindEmails(to="ann@example", limit=2, cursor=cursor)
        page = await world.desk.emails.find(world.call, command)
        found += [one.id or "" for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == sent[::-1]
    assert (await world.desk.emails.find(world.call, FindEmails(to='"'))).items == []


async def test_a_part_that_is_in_very_many_texts_is_not_looked_up_on_postgres(world: World):
    if world.database.engine != "postgres":
        pytest.skip("SQLite's index stops by itself")
    await world.created(*[{"title": "old work"}] * 60)
    while await world.database.write(index_some):
        pass
    with world.database.backend.server.connect() as connection:
        connection.execute("ANALYZE texts")

    async def proposed(text: str, at_most: int) -> int:
        asked = {"text_trigrams": trigrams(text), "at_most": at_most}
        row = await world.database.fetch_one("texts_proposed", **asked)
        return (row or {"n": -1})["n"]

    assert await proposed("old work", 14) == 15, "more than is counted: not counted at all"
    assert await proposed("old work", 16) == 16
    assert await proposed("old work", 100) == 60
    assert await proposed("old none", 14) == 0
