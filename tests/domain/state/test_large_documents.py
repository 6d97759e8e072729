"""Large documents hold nobody up: what is dear is computed outside the transaction and lands by compare-and-set."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.state import plans, sides
from mcp_server.domain.state.area import AREA
from mcp_server.domain.state.commands import PatchDocument, RestoreDocument, SetDocument
from mcp_server.kernel.errors import Conflict, LimitExceeded, NotFound
from mcp_server.kernel.sweeping import settle_rows
from mcp_server.kernel.writes import REPEATS_MAX, Change, write_together
from mcp_server.persistence.database import Database
from mcp_server.upkeep.replay import replay
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
LARGE: dict[str, Any] = {f"k{number:05}": number for number in range(5000)}


def patch_of(name: str, value: Any = 1, **more: Any) -> PatchDocument:
    operation = {"op": "add", "path": f"/{name}", "value": value}
    return PatchDocument.model_validate({"namespace": "n", "key": "k", "json_patch": [operation]} | more)


def watch(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None] = lambda: None) -> list[str]:
    """The names of the threads in which patches are computed; something happens before each."""
    threads: list[str] = []
    real = plans.json_patch

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        before()
        return real(*arguments)

    monkeypatch.setattr(plans, "json_patch", watched)
    return threads


async def in_the_writer(world: World) -> str:
    """The name of the thread in which transaction functions run."""
    return await world.database.write(lambda _: threading.current_thread().name)


async def patch(world: World, command: PatchDocument) -> int:
    return (await world.desk.state.patch(world.call, command)).document.version


async def test_a_patch_of_a_large_document_is_not_computed_in_the_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await world.write("n", "k", LARGE)
    threads = watch(monkeypatch)
    assert await patch(world, patch_of("new")) == 2
    assert len(threads) == 1 and await in_the_writer(world) not in threads
    assert (await world.read("n", "k")).value == LARGE | {"new": 1}


async def test_others_write_while_a_large_patch_is_computed(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.write("n", "k", LARGE)
    computing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        computing.set()
        assert go_on.wait(60)

    watch(monkeypatch, hold)
    patching = asyncio.create_task(patch(world, patch_of("new")))
    assert await asyncio.to_thread(computing.wait, 60)
    await world.write("n", "other", 1)
    elsewhere = await Database.open(world.url, AREAS)  # as another process would
    await elsewhere.write(settle_rows, world.desk.context.origin(world.call), AREA.sweeps[0])
    await elsewhere.close()
    go_on.set()
    assert await patching == 2


@pytest.mark.parametrize(("size", "computed"), [(5000, 2), (3, 2)])
async def test_a_patch_that_is_overtaken_is_made_on_what_overtook_it(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int, computed: int
):
    start = dict(list(LARGE.items())[:size])
    await world.write("n", "k", start)
    loop, once = asyncio.get_running_loop(), [patch_of("first", 1)]

    def overtake() -> None:
        if once:
            other = SetDocument(namespace="n", key="k", value=start | {"first": 1})
            once.clear()
            asyncio.run_coroutine_threadsafe(world.desk.state.set(world.call, other), loop).result(10)

    threads = watch(monkeypatch, overtake)
    assert await patch(world, patch_of("second")) == 3
    assert (await world.read("n", "k")).value == start | {"first": 1, "second": 1}
    small = await in_the_writer(world) == threads[-1]
    assert (len(threads), small) == (computed, size == 3), "what is cheap is computed in the transaction, at once"


async def test_who_is_overtaken_again_and_again_lands_at_last(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.write("n", "k", LARGE)
    loop, times = asyncio.get_running_loop(), 0
    writer = await in_the_writer(world)

    def overtake() -> None:
        nonlocal times
        if threading.current_thread().name != writer:
            times += 1
            other = SetDocument(namespace="n", key="k", value=LARGE | {"times": times})
            asyncio.run_coroutine_threadsafe(world.desk.state.set(world.call, other), loop).result(10)

    threads = watch(monkeypatch, overtake)
    await patch(world, patch_of("mine"))
    assert (await world.read("n", "k")).value == LARGE | {"times": times, "mine": 1}
    assert times == REPEATS_MAX + 1 and threads[-1] == writer


async def test_many_patches_of_one_large_document_all_land(world: World):
    await world.write("n", "k", LARGE)
    await asyncio.gather(*(patch(world, patch_of(f"new{number}")) for number in range(8)))
    document = await world.read("n", "k")
    assert document.version == 9 and document.value == LARGE | {f"new{number}": 1 for number in range(8)}
    assert (await world.read("n", "k", 1)).value == LARGE
    assert replay(world.url).differences == ()


async def test_two_changes_of_one_large_document_land_in_one_transaction(world: World):
    await world.write("n", "k", LARGE)
    state = world.desk.state
    changes = [Change(world.call, state.patch, patch_of(name)) for name in ("a", "b")]
    await write_together(world.call, world.desk.context, changes)
    document = await world.read("n", "k")
    assert document.version == 3 and document.value == LARGE | {"a": 1, "b": 1}


@pytest.mark.parametrize("mixed", [False, True], ids=["patches", "patches, values and restores"])
async def test_many_changes_of_one_large_document_in_one_transaction_are_each_planned_once_and_outside(
    world: World, monkeypatch: pytest.MonkeyPatch, mixed: bool
):
    await world.write("n", "k", LARGE)
    state, commands = world.desk.state, [patch_of(f"n{number}") for number in range(8)]
    changes = [Change(world.call, state.patch, one) for one in commands]
    expected = LARGE | {f"n{number}": 1 for number in range(8)}
    if mixed:
        whole = SetDocument(namespace="n", key="k", value=LARGE | {"whole": 1}, expected_version=5)
        changes[4] = Change(world.call, state.set, whole)
        changes[6] = Change(world.call, state.restore, RestoreDocument(namespace="n", key="k", version=1))
        expected = LARGE | {"n7": 1}
    threads = watch(monkeypatch)
    await write_together(world.call, world.desk.context, changes)
    assert len(threads) == 6 if mixed else 8
    assert await in_the_writer(world) not in threads
    assert (await world.read("n", "k")).value == expected
    assert (await world.read("n", "k", 4)).value == LARGE | {f"n{number}": 1 for number in range(3)}


async def test_a_merge_of_large_documents_is_computed_outside_and_clashes_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    threads: list[str] = []
    real = plans.three_way_merge

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(plans, "three_way_merge", watched)
    await world.write("n", "k", LARGE)
    await world.write("n", "k", LARGE | {"k00001": "theirs"})
    merging: dict[str, Any] = {"namespace": "n", "key": "k", "merge": True, "base_version": 1}
    mine = SetDocument.model_validate(merging | {"value": LARGE | {"k00002": "mine"}})
    assert (await world.desk.state.set(world.call, mine)).merged is True
    assert (await world.read("n", "k")).value == LARGE | {"k00001": "theirs", "k00002": "mine"}
    with pytest.raises(Conflict) as caught:
        clashing = SetDocument.model_validate(merging | {"value": LARGE | {"k00001": "mine"}})
        await world.desk.state.set(world.call, clashing)
    assert caught.value.details["clashes"] == ["/k00001"]
    assert len(threads) == 2 and await in_the_writer(world) not in threads


async def test_what_a_conflict_is_about_is_found_out_after_the_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    threads: list[str] = []
    real = sides.differences

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(sides, "differences", watched)
    await world.write("n", "k", LARGE)
    stale = SetDocument(namespace="n", key="k", value=LARGE | {"k00001": 0}, expected_version=7)
    with pytest.raises(Conflict) as caught:
        await world.desk.state.set(world.call, stale)
    assert caught.value.details["differences"] == [{"op": "replace", "path": "/k00001"}]
    assert caught.value.details["current_value"] == LARGE
    assert len(threads) == 1 and await in_the_writer(world) not in threads


async def test_differences_between_large_versions_are_found_outside_and_history_stays_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    threads: list[str] = []
    real = plans.encode

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(plans, "encode", watched)
    for number in range(4):
        await world.write("n", "k", LARGE | {"k00001": number})
    await patch(world, patch_of("k00001", 4))
    await world.desk.state.restore(world.call, RestoreDocument(namespace="n", key="k", version=2))
    values = [(await world.read("n", "k", version)).value["k00001"] for version in range(1, 7)]
    assert values == [0, 1, 2, 3, 4, 1]
    assert len(threads) == 5 and await in_the_writer(world) not in threads
    kept = [await world.database.fetch_one("document_at_version", id="n/k", version=version) for version in range(1, 7)]
    assert [row is not None and row["value"] is None for row in kept] == [True] * 5 + [False]


async def test_a_large_document_that_is_gone_meanwhile_is_not_patched(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.write("n", "k", LARGE)
    loop = asyncio.get_running_loop()

    def remove() -> None:
        gone = SetDocument(namespace="n", key="k", delete=True)
        asyncio.run_coroutine_threadsafe(world.desk.state.set(world.call, gone), loop).result(10)

    watch(monkeypatch, remove)
    with pytest.raises(NotFound):
        await patch(world, patch_of("new"))
    with pytest.raises(NotFound, match="has no version 9"):
        await world.desk.state.restore(world.call, RestoreDocument(namespace="n", key="k", version=9))


@pytest.mark.parametrize("at_least", [5, 1000])
async def test_a_patch_that_doubles_is_stopped_and_nothing_is_written(world: World, at_least: int):
    await world.write("n", "k", {"a": ["x" * 1000] * at_least if at_least == 5 else list(range(at_least))})
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    command = PatchDocument.model_validate({"namespace": "n", "key": "k", "json_patch": doubling})
    with pytest.raises(LimitExceeded, match="steps"):
        await patch(world, command)
    assert (await world.read("n", "k")).version == 1


async def test_large_patches_in_two_worlds_at_once_lose_nothing(tmp_path: Any):
    url = f"sqlite:///{tmp_path}/desk.db"
    async with open_world(url) as one, open_world(url) as two:
        await one.write("n", "k", LARGE)
        patches = [(world, f"{place}-{n}") for n in range(4) for place, world in enumerate((one, two))]
        await asyncio.gather(*(patch(world, patch_of(name)) for world, name in patches))
        document = await one.read("n", "k")
    assert document.version == 9 and len(document.value) == len(LARGE) + 8
