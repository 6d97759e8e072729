"""Sessions over time: what each was told, how an idle one wakes, and what is left when one ends."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_server.app import desk_on
from mcp_server.commands.leaving import Ended, give_back
from mcp_server.domain.agents.commands import InstanceSpec, Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.locks.model import AcquireLock, FindLocks
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks
from mcp_server.hooks import ending, waiting
from mcp_server.hooks.memory import KEPT_SECONDS, OPEN_FOR_SECONDS, Memory
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.call import Call
from mcp_server.persistence.database import Database
from tests.hooks.asking import asked, stdin
from tests.hooks.test_entry import CLEAN
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio


class Seconds:
    """A clock that the test moves."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def memory(tmp_path: Path, clock: Seconds):
    found = Memory(str(tmp_path / "new" / "desk.db.hooks"), clock)
    yield found
    found.close()


def test_an_item_is_told_by_whoever_takes_it_first(memory: Memory):
    def take(_: int) -> set[str]:
        mine = Memory(memory.path)
        try:
            return mine.take("one", ["a", "b", "c"])
        finally:
            mine.close()

    memory.open("one")
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, range(8)))
    assert sorted(item for found in taken for item in found) == ["a", "b", "c"]
    assert memory.take("two", ["a"]) == {"a"}, "another session hears it, too"


def test_a_session_that_comes_back_is_open_again_and_began_when_it_did(memory: Memory, clock: Seconds):
    assert memory.session("one") is None
    memory.open("one")
    memory.registered("one", "agent_x", "instance_y")
    clock.now += 60
    memory.end("one")
    assert (ended := memory.session("one")) and ended.ended
    memory.open("one")
    found = memory.session("one")
    assert found and (found.agent, found.instance, found.began, found.ended) == (
        "agent_x",
        "instance_y",
        1_000_000.0,
        False,
    )


def test_others_of_an_agent_count_as_long_as_they_may_be_open(memory: Memory, clock: Seconds):
    for session in ("one", "two"):
        memory.registered(session, "agent_x", None)
    assert memory.has_others("one", "agent_x") and not memory.has_others("one", "agent_y")
    memory.end("two")
    assert not memory.has_others("one", "agent_x")
    memory.open("two")
    clock.now += OPEN_FOR_SECONDS + 1
    assert not memory.has_others("one", "agent_x"), "it crashed long ago"


def test_where_nobody_can_look_others_may_be_there(tmp_path: Path):
    memory = Memory(str(tmp_path))
    assert memory.has_others("one", "agent_x") and not memory.may_go_on("one") and memory.take("one", ["a"]) == set()


def test_what_is_old_is_forgotten(memory: Memory, clock: Seconds):
    memory.open("one")
    assert memory.take("one", ["a"]) == {"a"}
    clock.now += KEPT_SECONDS + 1
    memory.open("two")
    memory.end("two")
    assert memory.session("one") is None and memory.take("one", ["a"]) == {"a"}


@pytest.fixture(autouse=True)
def memory_in_the_tests_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On PostgreSQL it lies in the user data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


async def locks(desk: Desk) -> list[str]:
    return [found.name for found in (await desk.locks.find(caller(), FindLocks())).locks]


async def acquire(desk: Desk, call: Call, name: str, owner: str | None = None) -> None:
    assert (await desk.locks.acquire(call, AcquireLock(name=name, owner=owner, ttl_seconds=600))).lock is not None


async def test_a_session_that_was_alone_gives_back_what_it_got_since_it_began(world: World):
    scribe, call = await world.agent("scribe"), caller()
    await acquire(world.desk, speaking(scribe), "before")
    old, new, other = await world.tasks({"title": "old"}, {"title": "new"}, {"title": "other"})
    await world.claim_one(scribe, lease_seconds=600)
    world.clock.advance(10)
    began = world.clock.now
    await acquire(world.desk, speaking(scribe), "since")
    await acquire(world.desk, speaking(scribe), "labelled", "a label")
    await acquire(world.desk, call, "anothers")
    await world.claim_one(scribe)
    await give_back(world.desk, call.actor, Ended(scribe.id, began, None, is_alone=True))
    assert await locks(world.desk) == ["anothers", "before"]
    assert [await world.status(task) for task in (old, new, other)] == ["running", "queued", "queued"]
    assert (await world.desk.tasks.get(world.call, new.id)).attempt == 1


async def test_beside_other_sessions_only_what_an_instance_holds_is_given_back(world: World):
    scribe, instance = await world.instance("scribe", "mine")
    await acquire(world.desk, speaking(scribe), "mine", instance)
    await acquire(world.desk, speaking(scribe), "somebody's")
    mine, theirs = await world.tasks({"title": "mine"}, {"title": "theirs"})
    await world.claim_one(scribe, instance_id=instance)
    await world.claim_one(scribe)
    await give_back(world.desk, caller().actor, Ended(scribe.id, 0, instance, is_alone=False))
    assert await locks(world.desk) == ["somebody's"]
    assert (await world.status(mine), await world.status(theirs)) == ("queued", "running")
    await give_back(world.desk, caller().actor, Ended(scribe.id, 0, None, is_alone=False))
    assert await locks(world.desk) == ["somebody's"]


async def test_a_session_that_ends_leaves_what_others_of_its_agent_may_hold(world: World, tmp_path, monkeypatch):
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(ending, "_give_back", lambda hook, *what, is_alone: given.append({"is_alone": is_alone}))
    scribe = await world.agent("scribe")

    def session(name: str, moment: str) -> None:
        payload = stdin("claude-code", moment, tmp_path, session=name)
        assert asked(world, "claude-code", moment, payload, "scribe").code == 0

    session("one", "start")
    session("one", "end")
    assert given == [], "it had nothing"
    session("unseen", "end")
    session("one", "start")
    session("two", "start")
    await acquire(world.desk, speaking(scribe), "src/app.py")
    session("one", "end")
    assert given == [], "two may hold it"
    session("two", "end")
    assert given == [{"is_alone": True}]
    asked(world, "claude-code", "end", stdin("claude-code", "end", tmp_path, session="three"), "nobody")


async def test_news_ends_a_wait_and_only_one_waits(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await world.agent("scribe")
    payload = stdin("claude-code", "wait", tmp_path)
    looks, reached, may_go_on = 0, threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            reached.set()
            assert may_go_on.wait(60)

    monkeypatch.setattr(waiting, "sleep", sleep)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, world, "claude-code", "wait", payload, "scribe")
        assert await anyio.to_thread.run_sync(reached.wait, 60)
        assert asked(world, "claude-code", "wait", payload, "scribe").code == 0, "another waits already"
        await world.desk.messages.send(world.call, SendMessage(to=("scribe",), body="Wake up"))
        may_go_on.set()
        answer = await anyio.to_thread.run_sync(first.result, 60)
    assert answer.code == 2 and answer.err.count("\n") == 1 and 'from user:tester: "Wake up"' in answer.err
    assert not list(tmp_path.rglob("*.waits"))
    assert asked(world, "claude-code", "stop", stdin("claude-code", "stop", tmp_path), "scribe").code == 0


async def test_a_wait_ends_with_its_session_its_client_or_its_time(world: World, tmp_path, monkeypatch):
    await world.agent("scribe")
    payload = stdin("claude-code", "wait", tmp_path)
    monkeypatch.setattr(waiting, "sleep", lambda _: None)
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 0)
    assert asked(world, "claude-code", "wait", payload, "scribe").code == 0
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 60)
    parents = iter((1, 1, 2))
    monkeypatch.setattr(waiting, "getppid", lambda: next(parents))
    assert asked(world, "claude-code", "wait", payload, "scribe").code == 0
    monkeypatch.setattr(waiting, "getppid", lambda: 1)
    asked(world, "claude-code", "end", stdin("claude-code", "end", tmp_path), "scribe")
    assert asked(world, "claude-code", "wait", payload, "scribe").code == 0


@pytest.mark.slow
async def test_an_idle_session_wakes_and_one_that_ends_gives_back_what_it_held(sqlite_url: str, tmp_path: Path):
    """With processes as Claude Code starts them: waiting behind a turn, and an end that has a second and a half."""
    command = [sys.executable, "-m", "mcp_server", "hook"]
    environment = CLEAN | {"DATAMCP_DATABASE": sqlite_url, "DATAMCP_AGENT": "scribe"}

    def data(moment: str) -> bytes:
        return json.dumps(stdin("claude-code", moment, tmp_path)).encode()

    def hook(event: str, moment: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*command, event], input=data(moment), capture_output=True, timeout=60, env=environment)

    database = await Database.open(sqlite_url, AREAS)
    desk = desk_on(database)
    made = await desk.agents.register(caller(id="local"), Register(name="scribe", instance=InstanceSpec(label="one")))
    call = Call(caller(id="local").actor, "c", speaker=Speaker(made.agent.id, "scribe"))
    assert hook("SessionStart", "start").returncode == 0
    with subprocess.Popen([*command, "wait"], stdin=-1, stdout=-1, stderr=-1, env=environment) as waits:
        assert waits.stdin is not None and waits.stderr is not None
        waits.stdin.write(data("wait"))
        waits.stdin.close()
        await anyio.sleep(1)
        await desk.messages.send(caller(), SendMessage(to=("scribe",), body="Wake up"))
        assert await anyio.to_thread.run_sync(lambda: waits.wait(60)) == 2
        assert b"Wake up" in waits.stderr.read()
    await acquire(desk, call, "src/app.py")
    await desk.tasks.create(call, CreateTasks.model_validate({"tasks": [{"title": "t"}]}))
    claim = (await desk.tasks.claim(call, ClaimTasks(agent_id=made.agent.id))).claims[0]
    began = time.monotonic()
    assert hook("SessionEnd", "end").returncode == 0
    took = time.monotonic() - began
    with anyio.fail_after(60):
        while await locks(desk) or (await desk.tasks.get(call, claim.task.id)).status != "queued":
            await anyio.sleep(0.1)
    assert took < time.monotonic() - began, "the hook was done before the desk was"
    await database.close()
