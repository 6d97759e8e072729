"""Mirrors: what one side alone changed goes to the other, what both changed is a conflict, and nothing is ever lost."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.deployments.chores import Mirrors
from mcp_server.domain.deployments.mirroring import SETTLES_AFTER, Known, decide
from mcp_server.domain.deployments.mirrors import Mirroring, hash_of
from mcp_server.domain.state.commands import FindDocuments, SetDocument
from mcp_server.domain.state.kv_values import Entry
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.handling import HandlerFailed, Job
from tests.world import World

STEPS = st.lists(
    st.tuples(st.sampled_from(["here", "there"]), st.sampled_from([None, "a", "b", "c"]))
    | st.sampled_from([("run", None), ("broken off", None), ("later", None)]),
    max_size=30,
)


class Pair:
    """One key on both sides, and what a mirror knows of it."""

    def __init__(self) -> None:
        self.here: str | None = None
        self.there: str | None = None
        self.known = Known()
        self.now = 0
        self.overwritten: list[tuple[str | None, str | None]] = []
        self.seen_lately: list[tuple[str | None, int]] = []

    def run(self, *, noted: bool) -> str:
        move, known = decide(self.known, self.here, self.there, self.now)
        if move == "push":
            lost = self.known.remote if self.could_be_old(self.there) else self.there
            self.overwritten.append((lost, self.known.remote))
            self.there = self.here
        elif move == "pull":
            self.overwritten.append((self.here, self.known.local))
            self.here = self.there
        if noted:
            self.known = known
            self.seen_lately += [(self.there, self.now)]
        return move

    def could_be_old(self, value: str | None) -> bool:
        """Whether it stood there so lately that whoever reads it may be told what was."""
        return any(seen == value and self.now - at <= SETTLES_AFTER for seen, at in self.seen_lately)


@given(STEPS)
def test_nothing_that_was_not_seen_before_is_ever_overwritten(steps: list[tuple[str, Any]]):
    pair = Pair()
    for what, value in steps:
        if what == "here":
            pair.here = value
        elif what == "there":
            pair.there = value
        elif what == "later":
            pair.now += SETTLES_AFTER
        else:
            pair.now += 1
            pair.run(noted=what == "run")
    assert all(lost in (seen, None) or lost == seen for lost, seen in pair.overwritten)


@given(STEPS, st.sampled_from(["here", "there"]), st.sampled_from([None, "a", "b", "z"]))
def test_once_one_side_alone_writes_both_are_alike_after_two_runs(steps: Any, side: str, value: str | None):
    pair = Pair()
    for what, one in steps:
        if what in ("here", "there"):
            setattr(pair, what, one)
        else:
            pair.run(noted=what == "run")
    for _ in range(2):
        pair.now += SETTLES_AFTER
        pair.run(noted=True)
    before = pair.here, pair.there
    setattr(pair, side, value)
    for _ in range(2):
        pair.now += SETTLES_AFTER
        pair.run(noted=True)
    if value != before[0 if side == "here" else 1]:
        assert pair.here == pair.there == value
        assert pair.known.status == "synced"


def test_what_the_other_side_still_shows_after_it_was_written_is_not_taken_for_a_change():
    known = decide(Known("synced", "old", "old"), "new", "old", 0).known
    assert (known.status, known.pushed_at) == ("pending", 0)
    assert decide(known, "new", "old", SETTLES_AFTER - 1) == ("nothing", known)
    assert decide(known, "newer", "old", 1).move == "push"
    assert decide(known, "new", "new", 1).known.status == "synced"
    assert decide(known, "new", "other", 1).move == "pull"


def test_a_conflict_stays_until_one_side_writes_again_and_then_that_side_counts():
    conflict = decide(Known("synced", "x", "x"), "mine", "theirs", 0)
    assert (conflict.move, conflict.known.status) == ("nothing", "conflict")
    assert decide(conflict.known, "mine", "theirs", 1) == ("nothing", conflict.known)
    assert decide(conflict.known, "merged", "theirs", 1).move == "push"
    assert decide(conflict.known, "mine", "merged", 1).move == "pull"
    assert decide(conflict.known, "one", "other", 1).known.status == "conflict"


class Elsewhere:
    """A key-value namespace in memory."""

    def __init__(self) -> None:
        self.held: dict[str, Entry] = {}
        self.refuses: set[str] = set()
        self.breaks = False

    async def entries(self, namespace: str) -> AsyncIterator[dict[str, Entry]]:
        for key, entry in list(self.held.items()):
            yield {key: entry}

    async def write(self, namespace: str, entries: Mapping[str, Entry]) -> Sequence[str]:
        self.held |= {key: entry for key, entry in entries.items() if key not in self.refuses}
        if self.breaks:
            raise HandlerFailed("the answer was lost", "unknown", True, 5.0)
        return [key for key in entries if key in self.refuses]

    async def delete(self, namespace: str, keys: Sequence[str]) -> Sequence[str]:
        for key in keys:
            self.held.pop(key, None)
        return []

    async def close(self) -> None:
        pass


async def _unreachable() -> AsyncIterator[dict[str, Entry]]:
    raise HandlerFailed("no such namespace", "refused", retryable=False)
    yield {}


async def _report(said: str) -> None:
    pass


class Mirror:
    """A mirror of the namespace `shop` with another in memory."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.elsewhere = Elsewhere()
        world.desk._made[Mirrors] = Mirrors({"shop": "cache"}, lambda: self.elsewhere)
        self.mirroring = Mirroring(world.desk)

    async def run(self) -> dict[str, int]:
        job = Job("task", "token", None, _report)
        return (await self.mirroring.bring_up_to_date(job))["shop"]

    async def status(self, key: str) -> str:
        return (await self.world.read("shop.mirror", key)).value["status"]


pytestmark = pytest.mark.anyio


async def test_what_is_written_on_either_side_arrives_on_the_other(world: World):
    mirror = Mirror(world)
    await world.write("shop", "tea", {"eur": 3})
    mirror.elsewhere.held["milk"] = Entry(b'{"eur":1}', {"from": "there"})
    mirror.elsewhere.held["raw"] = Entry(b"\xff\x00")
    assert await mirror.run() == {"pending": 1, "synced": 2}
    assert mirror.elsewhere.held["tea"] == Entry(b'{"eur":3}')
    milk = await world.read("shop", "milk")
    assert (milk.value, milk.author) == ({"$metadata": {"from": "there"}, "$value": {"eur": 1}}, "system:mirror")
    assert await mirror.run() == {"synced": 3}
    await world.desk.state.set(world.call, SetDocument(namespace="shop", key="tea", delete=True))
    del mirror.elsewhere.held["milk"]
    await mirror.run()
    assert "tea" not in mirror.elsewhere.held
    with pytest.raises(NotFound):
        await world.read("shop", "milk")
    world.clock.advance(200)
    await mirror.run()
    await mirror.run()
    left = await world.desk.state.find(world.call, FindDocuments(namespace="shop.mirror"))
    assert [one.key for one in left.items] == ["raw"]


async def test_what_both_sides_changed_stays_on_both_and_is_told_until_one_is_written_again(world: World):
    mirror = Mirror(world)
    await world.write("shop", "tea", 1)
    await mirror.run()
    await mirror.run()
    await world.write("shop", "tea", 2)
    mirror.elsewhere.held["tea"] = Entry(b"3")
    assert await mirror.run() == {"conflict": 1}
    assert (await world.read("shop", "tea")).value == 2 and mirror.elsewhere.held["tea"] == Entry(b"3")
    listed = await world.desk.state.find(world.call, FindDocuments(namespace="shop.mirror", tag="conflict"))
    assert [one.key for one in listed.items] == ["tea"]
    await world.write("shop", "tea", 5)
    await mirror.run()
    assert mirror.elsewhere.held["tea"] == Entry(b"5")
    assert await mirror.run() == {"synced": 1}


async def test_a_run_that_broke_off_after_it_wrote_is_found_done(world: World):
    mirror = Mirror(world)
    await world.write("shop", "tea", 1)
    mirror.elsewhere.breaks = True
    with pytest.raises(HandlerFailed):
        await mirror.run()
    mirror.elsewhere.breaks = False
    assert mirror.elsewhere.held["tea"] == Entry(b"1")
    assert await mirror.run() == {"synced": 1}


async def test_what_a_side_does_not_take_is_told_by_its_key_and_tried_again(world: World):
    mirror = Mirror(world)
    await world.write("shop", "tea", 1)
    mirror.elsewhere.refuses.add("tea")
    mirror.elsewhere.held["huge"] = Entry(b"x" * 300_000)
    assert await mirror.run() == {"error": 2}
    assert "at most" in (await world.read("shop.mirror", "huge")).value["message"]
    mirror.elsewhere.refuses.clear()
    mirror.elsewhere.held["huge"] = Entry(b"x")
    assert await mirror.run() == {"pending": 1, "synced": 1}
    assert mirror.elsewhere.held["tea"] == Entry(b"1")


async def test_a_mirror_that_cannot_be_reached_holds_up_no_other(world: World):
    mirror = Mirror(world)

    class Both(Elsewhere):
        def entries(self, namespace: str) -> AsyncIterator[dict[str, Entry]]:
            return _unreachable() if namespace == "away" else mirror.elsewhere.entries(namespace)

        async def write(self, namespace: str, entries: Mapping[str, Entry]) -> Sequence[str]:
            return await mirror.elsewhere.write(namespace, entries)

    world.desk._made[Mirrors] = Mirrors({"a": "away", "shop": "cache", "z": "away"}, Both)
    mirror.mirroring = Mirroring(world.desk)
    await world.write("shop", "tea", {"eur": 3})
    with pytest.raises(HandlerFailed) as failed:
        await mirror.run()
    assert str(failed.value.message) == "a: no such namespace; z: no such namespace" and not failed.value.retryable
    assert mirror.elsewhere.held["tea"].content == b'{"eur":3}'


async def test_what_an_agent_wrote_meanwhile_is_not_overwritten(world: World):
    mirror = Mirror(world)
    await world.write("shop", "tea", 1)
    await mirror.run()
    await mirror.run()
    mirror.elsewhere.held["tea"] = Entry(b"2")
    held = mirror.mirroring._held

    async def late(namespace: str) -> AsyncIterator[Any]:
        async for one in held(namespace):
            yield one
        if namespace == "shop":
            await world.write("shop", "tea", 3)

    mirror.mirroring._held = late  # type: ignore[method-assign]
    await mirror.run()
    assert (await world.read("shop", "tea")).value == 3
    mirror.mirroring._held = held  # type: ignore[method-assign]
    assert await mirror.run() == {"conflict": 1}


@given(st.binary(), st.none() | st.dictionaries(st.text("ab"), st.integers()))
def test_entries_are_told_apart_by_value_and_metadata(content: bytes, metadata: Any):
    mine = Entry(content, metadata)
    assert hash_of(mine) == hash_of(Entry(content, json.loads(json.dumps(metadata))))
    assert hash_of(mine) != hash_of(Entry(content + b"x", metadata)) != hash_of(Entry(content + b"x", {"c": 1}))
