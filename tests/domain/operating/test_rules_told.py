"""Which rules are in force is told once for each change, however many servers start."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.operating.model import InForce
from mcp_server.domain.operating.service import OperatingService
from mcp_server.domain.operating.transactions import tell_rules
from mcp_server.kernel.authority import Role
from mcp_server.kernel.events import Origin
from mcp_server.persistence.database import Database
from mcp_server.runtime import rules as beside
from mcp_server.upkeep.replay import replay
from mcp_server.wiring import rules_in_force
from tests.domain.events.test_thinning import DAY, KEEP, thin_out
from tests.world import World, caller, on_file, open_world

pytestmark = pytest.mark.anyio
ONE, OTHER, NONE = InForce("a" * 16, ("state_*",)), InForce("b" * 16, ("state_*", "email_send")), InForce()


async def told(world: World) -> list[dict[str, Any]]:
    found, _ = await world.desk.events.read(world.call, ReadEvents(limit=100, type="rules.*"))
    return [dict(event.data) for event in found]


async def test_rules_are_recorded_once_for_each_change_and_by_nobody_who_only_starts_again(world: World):
    service = world.desk.get(OperatingService)
    said = [await service.tell_rules(world.call, rules) for rules in (NONE, ONE, ONE, OTHER, OTHER, ONE, NONE, NONE)]
    assert said == [False, True, False, True, False, True, True, False]
    assert [(one.get("digest"), one["count"], one["tools"]) for one in await told(world)] == [
        ("a" * 16, 1, ["state_*"]),
        ("b" * 16, 2, ["state_*", "email_send"]),
        ("a" * 16, 1, ["state_*"]),
        (None, 0, []),
    ]


async def test_servers_that_start_side_by_side_record_the_same_rules_once(url: str):
    told_one, goes_on = threading.Event(), threading.Event()

    def tell_and_rest(tx: Any, origin: Origin) -> bool:
        done = tell_rules(tx, origin, ONE)
        told_one.set()
        assert goes_on.wait(60)
        return done

    async with open_world(url) as one, open_world(url) as other:
        origin = one.desk.context.origin(one.call)
        first = asyncio.create_task(one.database.write(tell_and_rest, origin))
        assert await asyncio.to_thread(told_one.wait, 60)
        others = asyncio.gather(*[other.database.write(tell_rules, origin, ONE) for _ in range(3)])
        await asyncio.wait([others], timeout=0.2)  # who did not wait for the first would be done by then
        goes_on.set()
        assert (await first, await others) == (True, [False] * 3)
        assert len(await told(one)) == 1


async def test_a_start_writes_nothing_where_nothing_changed(world: World, monkeypatch: pytest.MonkeyPatch):
    service = world.desk.get(OperatingService)
    await service.tell_rules(world.call, ONE)

    async def write(*_: Any) -> Any:
        raise AssertionError("nothing changed")

    monkeypatch.setattr(world.database, "write", write)
    assert not await service.tell_rules(world.call, ONE)


async def test_what_is_known_of_rules_outlives_the_thinning_of_the_log(world: World):
    service = world.desk.get(OperatingService)
    for rules in (ONE, OTHER):
        await service.tell_rules(world.call, rules)
    world.clock.advance(91 * DAY)
    assert await thin_out(world, KEEP) == 2
    assert await world.events() == ["rules.snapshot"]
    assert not await service.tell_rules(world.call, OTHER)
    assert await service.tell_rules(world.call, ONE)
    assert (await told(world))[-1]["digest"] == ONE.digest
    assert replay(world.url).differences == ()


async def test_who_may_not_see_people_sees_no_rules(world: World):
    await world.desk.get(OperatingService).tell_rules(world.call, ONE)
    for role in (Role.VIEWER, Role.AGENT):
        assert (await world.desk.events.read(caller(role), ReadEvents()))[0] == []
    (event,), _ = await world.desk.events.read(caller(Role.OPERATOR), ReadEvents())
    assert (event.type, event.actor) == ("rules.changed", "user:tester")


async def test_a_server_that_starts_with_other_rules_records_them_under_its_user(tmp_path: Path):
    url = on_file(tmp_path / "desk.db")
    secret = {"tool": "state_*", "approvers": ["ann@example.org"], "arguments": {"key": {"glob": "hidden*"}}}
    settings = load_settings(database=url, user="olga", approve=[secret])
    for _ in range(2):
        async with open_app(settings):
            pass  # ended before its first second was over
    async with open_app(load_settings(database=url, user="olga", approve=[secret], read_only=True)):
        pass
    async with open_world(url) as world:
        (event,), _ = await world.desk.events.read(world.call, ReadEvents())
        assert (event.type, event.actor) == ("rules.changed", "user:olga")
        assert event.data == {"digest": rules_in_force(settings).digest, "count": 1, "tools": ["state_*"]}


async def test_a_server_records_its_rules_while_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(beside, "AFTER_SECONDS", 0)
    settings = load_settings(database=on_file(tmp_path / "desk.db"), approve=[{"tool": "state_*"}])
    async with open_app(settings) as app, asyncio.timeout(60):
        while await app.desk.context.database.fetch_one("event_newest_of", type="rules", id="rules") is None:
            await asyncio.sleep(0.01)


async def test_the_first_callers_have_the_store_to_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    fetch = Database.fetch_one

    async def fetch_one(self: Database, statement: str, **more: Any) -> Any:
        asked.append(statement)
        return await fetch(self, statement, **more)

    monkeypatch.setattr(Database, "fetch_one", fetch_one)
    monkeypatch.setattr(beside, "AFTER_SECONDS", 3600)
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"))):
        await asyncio.sleep(0)
        assert "event_newest_of" not in asked
    assert asked.count("event_newest_of") == 1


async def test_a_record_that_fails_ends_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def fails(*_: Any) -> bool:
        raise ValueError("what stands there is no rule")

    monkeypatch.setattr(OperatingService, "tell_rules", fails)
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"))):
        pass
    assert "could not be recorded: what stands there is no rule" in caplog.text
