"""A transaction that somebody else has open in the cluster, in another database too: no wait and no wake-up stands
behind it, and who waits for the log is told whose it is."""

import asyncio
import json
from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.service import HELD_BACK_SECONDS
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.tasks.commands import FindTasks, WaitForTasks
from mcp_server.kernel.quoting import named
from mcp_server.persistence import database, holding
from mcp_server.upkeep import server as upkeep
from mcp_server.upkeep.inspection import inspect_database
from resources.events import RESOURCES as OF_EVENTS
from tests.conftest import PostgresForTests
from tests.patience import within
from tests.world import World, open_world, speaking
from tools import events as tools

pytestmark = pytest.mark.anyio
SOON_SECONDS = 5
"""Less than any wait here, more than a busy machine needs."""


@pytest.fixture
def elsewhere(postgres: PostgresForTests) -> Generator[psycopg.Connection[Any]]:
    """A transaction in another database of the cluster, which has written."""
    with psycopg.connect(postgres.get_uri(), application_name="nightly report") as connection:
        connection.execute("SELECT pg_current_xact_id()")
        yield connection
        connection.rollback()


async def woken(waiting: Any, change: Any) -> Any:
    """What is answered to who waits, once another process has changed something."""
    wait = asyncio.create_task(waiting)
    await asyncio.sleep(0.2)  # it waits by now; if not, it is answered at once
    await change
    with within(SOON_SECONDS):
        return await wait


@pytest.mark.usefixtures("elsewhere")
async def test_no_wait_and_no_wake_up_stands_behind_somebodys_open_transaction(postgres_url: str):
    async with open_world(postgres_url) as mine, open_world(postgres_url) as theirs:
        agent = await mine.agent()
        claims = await woken(mine.claim(agent, wait_seconds=50), theirs.created({"title": "t"}))
        (claimed,) = claims
        wait = WaitForTasks(task_id=claimed.task.id, wait_seconds=50)
        ended = await woken(mine.desk.tasks.wait(mine.call, wait), theirs.finish(claimed))
        assert ended.reached
        await mine.desk.locks.acquire(mine.call, AcquireLock(name="l", owner="a", ttl_seconds=600))
        got = await woken(
            mine.desk.locks.acquire(mine.call, AcquireLock(name="l", owner="b", wait_seconds=50)),
            theirs.desk.locks.release(theirs.call, ReleaseLock(name="l", owner="a")),
        )
        assert got.lock is not None
        read = ReadMessages(agent_id=agent.id, wait_seconds=50)
        send = SendMessage(to=(agent.name,), body="hello")
        got = await woken(mine.desk.messages.read(speaking(agent), read), theirs.desk.messages.send(theirs.call, send))
        assert [message.body for message in got.messages] == ["hello"]
        found = await mine.desk.tasks.find(mine.call, FindTasks())
        assert len(found.items) == 1


async def test_who_waits_for_the_log_goes_on_as_soon_as_the_transaction_has_ended(
    postgres_url: str, elsewhere: psycopg.Connection[Any]
):
    async with open_world(postgres_url) as mine, open_world(postgres_url) as theirs:
        start = (await theirs.desk.events.read(theirs.call, ReadEvents(type="task.created")))[1]
        command = ReadEvents(after=start, type="task.created", wait_seconds=50)
        reading = asyncio.create_task(mine.desk.events.read(mine.call, command))
        await asyncio.sleep(0.2)
        await theirs.created({"title": "t"})
        assert not (await asyncio.wait((reading,), timeout=0.5))[0]
        elsewhere.rollback()
        with within(SOON_SECONDS):
            events, _ = await reading
        assert [event.type for event in events] == ["task.created"]


async def test_who_reads_the_log_straight_after_a_write_is_told_what_is_lacking_and_through_whom(
    postgres_url: str, elsewhere: psycopg.Connection[Any]
):
    session = f"session {elsewhere.info.backend_pid} ({named('nightly report')}, idle in transaction)"
    await asyncio.sleep(HELD_BACK_SECONDS)  # it has been open for so long
    async with open_world(postgres_url) as world:
        for number, newest_first in enumerate((True, False)):
            await world.created({"title": f"t{number}"})
            answer = await tools.read(world.desk, world.call, ReadEvents(type="task.*", newest_first=newest_first))
            assert answer.events == [] and answer.hint is not None
            assert session in answer.hint and f"pg_terminate_backend({elsewhere.info.backend_pid})" in answer.hint
        told = await OF_EVENTS[0].read(world.desk, world.call, {})
        assert told["events"] == [] and session in told["events_held_back"]["by"]
        elsewhere.rollback()
        answer = await tools.read(world.desk, world.call, ReadEvents(type="task.created"))
        assert len(answer.events) == 2 and answer.hint is None
        assert "events_held_back" not in await OF_EVENTS[0].read(world.desk, world.call, {})


async def test_health_and_doctor_name_who_keeps_events_out_of_the_log(
    postgres_url: str, elsewhere: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
):
    for module in (database, holding, upkeep):
        monkeypatch.setattr(module, "HOLDS_AFTER_SECONDS", 0)
    async with open_world(postgres_url) as world:
        await world.created({"title": "t"})
        held_back = await world.desk.log_held_back()
        assert held_back is not None
        session = f"session {elsewhere.info.backend_pid} ({named('nightly report')}, idle in transaction)"
        assert f"{session} in the database {named('postgres')}, since 20" in held_back["by"]
        assert f"pg_terminate_backend({elsewhere.info.backend_pid})" in held_back["remedy"]
        (found,) = [finding for finding in inspect_database(postgres_url) if finding.name == "event_log"]
        assert not found.ok and session in found.detail and found.remedy == held_back["remedy"]
        assert "events_held_back" in json.loads(await _health(world))
        elsewhere.rollback()
        assert await world.desk.log_held_back() is None


async def _health(world: World) -> str:
    from resources.health import RESOURCES

    return json.dumps(await RESOURCES[0].read(world.desk, world.call, {}))
