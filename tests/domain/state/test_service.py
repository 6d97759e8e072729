"""The promises of versioned documents, on both engines."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import ValidationError

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.state.commands import (
    DocumentHistory,
    FindDocuments,
    GetDocument,
    PatchDocument,
    RestoreDocument,
    SetDocument,
)
from mcp_server.domain.state.steps import PatchStep
from mcp_server.domain.state.views import DocumentView, HistoryResult, SetResult
from mcp_server.kernel import json_tools
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import Conflict, LimitExceeded, NotFound, PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import dump_json, sha256_text
from mcp_server.kernel.paging import Listed
from mcp_server.kernel.times import iso
from mcp_server.upkeep.replay import replay
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def put(world: World, value, key: str = "k", base: int | None = None, **more) -> SetResult:
    command = SetDocument(namespace="ns", key=key, value=value, merge=base is not None, base_version=base, **more)
    return await world.desk.state.set(world.call, command)


async def delete(world: World, key: str = "k", **more) -> DocumentView:
    return (await world.desk.state.set(world.call, SetDocument(namespace="ns", key=key, delete=True, **more))).document


async def patch(world: World, key: str = "k", **patches) -> DocumentView:
    return (await world.desk.state.patch(world.call, PatchDocument(namespace="ns", key=key, **patches))).document


async def restore(world: World, version: int, key: str = "k", **more) -> DocumentView:
    command = RestoreDocument(namespace="ns", key=key, version=version, **more)
    return (await world.desk.state.restore(world.call, command)).document


async def history(world: World, key: str = "k", **narrowed) -> HistoryResult:
    return await world.desk.state.history(world.call, DocumentHistory(namespace="ns", key=key, **narrowed))


async def value(world: World, key: str = "k", version: int | None = None):
    return (await world.read("ns", key, version)).value


async def find(world: World, **narrowed) -> Listed[DocumentView]:
    return await world.desk.state.find(world.call, FindDocuments.model_validate({"limit": 10} | narrowed))


async def test_each_write_makes_the_next_version_and_earlier_ones_stay_readable(world: World):
    for number in range(1, 4):
        written = await put(world, {"n": number}, note=f"write {number}")
        assert written.document.version == number
    assert await value(world) == {"n": 3}
    assert await value(world, version=1) == {"n": 1}
    with pytest.raises(NotFound, match="no version 9"):
        await value(world, version=9)


@pytest.mark.parametrize(
    "stored", [None, True, 0, 1.5, "ü €", [], {}, {"a": {"b": [None, {}]}}, 2**60, "\u0000 in JSON", "' \" \\ \n"]
)
async def test_every_json_value_comes_back_as_it_was(world: World, stored):
    await put(world, stored)
    assert await value(world) == stored


@pytest.mark.parametrize("key", ["..", "a/b/c", " spaces ", "emoji 🐚", "%25", "a?b#c", "x" * 512])
async def test_keys_are_kept_faithfully(world: World, key: str):
    await put(world, 1, key=key)
    found, _, _ = await find(world, namespace="ns")
    assert [document.key for document in found] == [key]
    assert await value(world, key) == 1


async def test_a_write_with_an_old_version_is_refused_with_what_it_needs_to_be_resolved(world: World):
    await put(world, {"a": 1, "b": 1, "c": [1]})
    await put(world, {"a": 2, "b": 1, "c": [2]}, expected_version=1, note="raise a")
    with pytest.raises(
        Conflict, match=r"expected version 1, but ns/k is at version 2, written by user:tester at .*Z\."
    ) as refused:
        await put(world, {"a": 1, "b": 3, "c": [3]}, expected_version=1)
    details = refused.value.details
    assert (details["current_version"], details["current_value"]) == (2, {"a": 2, "b": 1, "c": [2]})
    assert details["current_note"] == "raise a"
    whose = {one["path"]: one["changed_by"] for one in details["differences"]}
    assert whose == {"/a": "them", "/b": "you", "/c/0": "both"}


async def test_of_so_many_differences_that_not_all_are_told_it_is_not_said_whose_they_are(world: World):
    await put(world, {})
    await put(world, {f"k{number}": 1 for number in range(60)}, expected_version=1)
    with pytest.raises(Conflict) as refused:
        await put(world, {"mine": 1}, expected_version=1)
    told = refused.value.details["differences"]
    assert len(told) == 50 and not any("changed_by" in one for one in told)


async def test_version_zero_means_that_the_document_must_not_exist(world: World):
    await put(world, 1, expected_version=0)
    with pytest.raises(Conflict, match="is at version 1"):
        await put(world, 2, expected_version=0)
    with pytest.raises(Conflict, match="does not exist"):
        await put(world, 2, key="other", expected_version=3)


async def test_of_many_writers_with_the_same_version_exactly_one_wins(world: World):
    await put(world, 0)

    async def write(number: int) -> bool:
        try:
            await put(world, number, expected_version=1)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(write(n) for n in range(10)))) == 1
    new = await asyncio.gather(
        *(put(world, n, key="new", expected_version=0) for n in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, Exception) for outcome in new) == 1
    assert all(isinstance(outcome, Conflict) for outcome in new if isinstance(outcome, Exception))


async def test_a_merge_keeps_both_sides_changes_and_lists_the_paths_that_clash(world: World):
    await put(world, {"a": 1, "b": 1, "c": {"d": 1}})
    await put(world, {"a": 2, "b": 1, "c": {"d": 1}})
    done = await put(world, {"a": 1, "b": 5, "c": {"d": 1, "e": 1}}, base=1)
    assert (done.document.version, done.merged, done.others_changed) == (3, True, ["/a"])
    assert await value(world) == {"a": 2, "b": 5, "c": {"d": 1, "e": 1}}
    with pytest.raises(Conflict, match="/a") as refused:
        await put(world, {"a": 9, "b": 1, "c": {"d": 1}}, base=1)
    assert refused.value.details["clashes"] == ["/a"]
    assert "merge=true and base_version=" in str(refused.value)
    alone = await put(world, {"x": 1}, base=3)
    assert (alone.merged, alone.others_changed) == (False, None)
    with pytest.raises(ValidationFailed, match="newer than"):
        await put(world, {}, base=99)
    with pytest.raises(NotFound):
        await put(world, {}, key="none", base=1)


async def test_patches_change_parts_of_a_document(world: World):
    await patch(world, merge_patch={"a": {"b": 1}, "gone": None})
    await patch(world, merge_patch={"a": {"c": 2}}, expected_version=1)
    assert await value(world) == {"a": {"b": 1, "c": 2}}
    operations = [PatchStep(op="test", path="/a/b", value=1), PatchStep(op="remove", path="/a/b")]
    await patch(world, json_patch=operations)
    assert await value(world) == {"a": {"c": 2}}
    with pytest.raises(Conflict, match="#0"):
        await patch(world, json_patch=[PatchStep(op="test", path="/a/c", value=1)])
    with pytest.raises(Conflict):
        await patch(world, merge_patch={}, expected_version=1)
    with pytest.raises(NotFound):
        await patch(world, key="none", json_patch=operations)


async def test_a_patch_leaves_the_expiry_as_it_was(world: World):
    await put(world, {"a": 1}, ttl_seconds=100)
    world.clock.advance(50)
    document = await patch(world, merge_patch={"a": 2})
    assert document.expires_at is not None
    world.clock.advance(51)
    with pytest.raises(NotFound):
        await value(world)


async def test_a_list_of_deleted_documents_says_of_each_by_whom_when_and_why(world: World):
    await put(world, 1)
    await put(world, 2)
    command = SetDocument(namespace="ns", key="k", delete=True, note="it was a draft")
    await world.desk.state.set(replace(world.call, actor=caller(id="bob").actor), command)
    (found,) = (await find(world, deleted=True)).items
    told = (found.deleted, found.author, found.updated_at, found.note)
    assert told == (True, "user:bob", iso(world.clock.now), "it was a draft")
    await restore(world, 2)
    assert [one.note for one in (await find(world)).items] == [None]


async def test_an_expired_document_is_gone_and_its_history_stays(world: World):
    await put(world, 1, ttl_seconds=10)
    world.clock.advance(11)
    with pytest.raises(NotFound):
        await value(world)
    await world.settle()
    assert (await world.events())[-1] == "document.expired"
    assert [(d.key, d.note) for d in (await find(world, deleted=True)).items] == [("k", None)]
    assert (await find(world)).items == []
    assert await value(world, version=1) == 1
    assert (await put(world, 2, expected_version=0)).document.version == 2


async def test_restoring_writes_the_old_value_as_a_new_version(world: World):
    for number in (1, 2):
        await put(world, number)
    restored = await restore(world, 1, expected_version=2)
    assert (restored.version, await value(world)) == (3, 1)
    told = await history(world, diff=True)
    assert [v.version for v in told.versions] == [3, 2, 1]
    assert told.versions[0].note == "restored from version 1"
    assert [(c.op, c.path, c.old, c.new) for c in told.changes or []] == [("replace", "", 2, 1)]
    with pytest.raises(NotFound, match="its versions are 1 to 3"):
        await restore(world, 9)
    with pytest.raises(NotFound, match="no document"):
        await restore(world, 1, key="none")


async def test_history_can_be_narrowed_to_a_range(world: World):
    for number in range(1, 6):
        await put(world, {"n": number})
    told = await history(world, from_version=2, to_version=4, diff=True)
    assert [v.version for v in told.versions] == [4, 3, 2]
    assert [(c.path, c.old, c.new) for c in told.changes or []] == [("/n", 2, 4)]
    assert (await history(world)).changes is None
    with pytest.raises(NotFound):
        await history(world, key="none")


@pytest.mark.parametrize("span", [(3, 1), (50, None), (50, 60), (4, 3)])
async def test_a_range_that_holds_no_version_is_told_which_there_are(world: World, span: tuple[int, int | None]):
    for number in range(3):
        await put(world, number)
    with pytest.raises(ValidationFailed, match=f"no version from {span[0]} to .*its versions are 1 to 3") as refused:
        await history(world, from_version=span[0], to_version=span[1])
    assert "state_history(namespace=" in refused.value.message
    with pytest.raises(NotFound, match="no document"):
        await history(world, key="none", from_version=span[0], to_version=span[1])


@pytest.mark.parametrize(
    ("size", "told"), [(200, None), (201, "are 1 more"), (999, "are 799 more"), (9999, "at least 800 more")]
)
async def test_of_many_changes_the_first_are_told_and_how_many_more_were_counted(
    world: World, size: int, told: str | None, monkeypatch: pytest.MonkeyPatch
):
    compared: list[int] = []
    monkeypatch.setattr(json_tools, "same", lambda old, new: compared.append(1) or old == new)
    await put(world, list(range(size)))
    await put(world, list(range(1, size + 1)))
    compared.clear()
    found = await history(world, diff=True)
    changes = found.changes or []
    assert [(one.path, one.old, one.new) for one in changes] == [(f"/{n}", n, n + 1) for n in range(200)]
    assert len(compared) <= 2 * 1000  # once for the changes, once for the paths of the version: no further than is told
    assert (told in found.hint and "state_get(version=1)" in found.hint) if told and found.hint else told == found.hint


async def test_documents_are_found_by_prefix_tag_and_text_page_by_page(world: World):
    for key in ("a/1", "a/2", "b"):
        await put(world, {"text": f"Hello {key}"}, key=key, tags=("red",) if key == "b" else None)
    await world.write("other", "a/9", 1)

    async def keys(**narrowed):
        return [d.key for d in (await find(world, **narrowed)).items]

    assert await keys(namespace="ns", prefix="a/") == ["a/1", "a/2"]
    assert await keys(prefix="a/") == ["a/1", "a/2", "a/9"]
    assert await keys(tag="red") == await keys(text="hello b") == ["b"]
    assert [n.namespace for n in await world.desk.state.namespaces(world.call)] == ["ns", "other"]
    first, cursor, omitted = await find(world, limit=3)
    rest, end, _ = await find(world, limit=3, cursor=cursor)
    assert ([d.key for d in first + rest], omitted, end) == (["a/1", "a/2", "b", "a/9"], 1, None)


async def test_values_that_cannot_be_kept_faithfully_are_refused_and_nothing_is_stored(world: World):
    deep: list = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises((ValidationFailed, ValidationError), match="deeper than 64"):
        await put(world, deep)
    with pytest.raises((ValidationFailed, ValidationError), match="NaN"):
        await put(world, float("nan"))
    with pytest.raises((ValidationFailed, ValidationError), match="lone surrogate"):
        await put(world, "\ud800")
    with pytest.raises(LimitExceeded, match="at most 262144"):
        await put(world, "x" * 300_000)
    assert await world.events() == []


async def test_a_viewer_reads_and_cannot_write(world: World):
    await put(world, 1)
    viewer = caller(Role.VIEWER)
    assert (await world.desk.state.get(viewer, GetDocument(namespace="ns", key="k"))).value == 1
    with pytest.raises(PermissionDenied, match="state:write"):
        await world.desk.state.set(viewer, SetDocument(namespace="ns", key="k", value=2))


async def test_a_long_history_of_a_large_document_is_compact_and_exact(world: World):
    value = {f"key-{n:03}": "x" * 40 for n in range(100)}
    wrote = []
    for edit in range(140):
        value[f"key-{edit % 100:03}"] = f"edit {edit} ☃"
        wrote.append(dict(value))
        await put(world, dict(value))
    for version in (1, 2, 63, 64, 65, 127, 128, 129, 139, 140):
        document = await world.read("ns", "k", version)
        assert document.value == wrote[version - 1]
        assert document.sha256 == sha256_text(dump_json(wrote[version - 1]))
    rows = await world.database.fetch_all("version_chain", id="ns/k", version=1, limit=200)
    whole = [row["version"] for row in rows if row["value"] is not None]
    assert whole == [64, 128, 140]
    assert max(len(row["delta"]) for row in rows if row["delta"] is not None) < 200
    restored = await restore(world, 7)
    assert restored.version == 141
    assert (await world.read("ns", "k")).value == wrote[6]
    assert (await history(world, from_version=7, to_version=141, diff=True)).changes == []


async def test_a_deleted_document_has_no_value_until_a_version_is_restored(world: World):
    await put(world, {"a": 1})
    with pytest.raises(Conflict):
        await delete(world, expected_version=7)
    gone = await delete(world, expected_version=1)
    assert (gone.deleted, gone.version) == (True, 1)
    for call_again in (value(world), delete(world)):
        with pytest.raises(NotFound):
            await call_again
    assert await value(world, version=1) == {"a": 1}
    assert (await restore(world, 1)).version == 2
    assert await value(world) == {"a": 1}
    assert await world.events() == ["document.set", "document.deleted", "document.restored"]


async def test_who_replaces_anothers_version_unread_is_told_whose(world: World):
    other = caller(id="other")
    await world.desk.state.set(other, SetDocument(namespace="ns", key="k", value=1))
    replaced = (await put(world, 2)).replaced
    assert replaced is not None and (replaced.version, replaced.author) == (1, "user:other")
    assert (await put(world, 3)).replaced is None, "its own"
    await world.desk.state.set(other, SetDocument(namespace="ns", key="k", value=4))
    assert (await put(world, 5, expected_version=4)).replaced is None, "it had read that"
    await world.desk.state.set(other, SetDocument(namespace="ns", key="k", value=6))
    restored = await world.desk.state.restore(world.call, RestoreDocument(namespace="ns", key="k", version=1))
    assert restored.replaced is not None and restored.replaced.version == 6


async def test_who_asks_for_a_deleted_document_hears_by_whom_and_how_it_comes_back(world: World):
    await put(world, 1)
    await put(world, 2)
    await delete(world)
    with pytest.raises(
        NotFound, match=r"ns/k was deleted by user:tester at .*Z; its last version is 2.*state_restore"
    ) as error:
        await world.read("ns", "k")
    assert error.value.details["deleted"] is True
    await restore(world, error.value.details["version"])
    assert (await world.read("ns", "k")).value == 2


async def test_a_comparison_says_of_which_versions(world: World):
    for value in ({"a": 1}, {"a": 2}, {"a": 3}):
        await put(world, value)
    told = await world.desk.state.history(world.call, DocumentHistory(namespace="ns", key="k", diff=True))
    assert told.compared == [2, 3] and [change.path for change in told.changes or ()] == ["/a"]


async def test_a_deletion_tells_why_in_the_history_the_refusal_and_its_event(world: World):
    await put(world, 1, note="begun")
    await delete(world, note="not needed any more")
    with pytest.raises(NotFound, match="not needed any more") as error:
        await world.read("ns", "k")
    assert error.value.details["note"] == "not needed any more"
    deletion, first = (await history(world)).versions
    assert (deletion.version, deletion.deleted, deletion.author) == (None, True, "user:tester")
    assert deletion.note == "not needed any more" and deletion.at
    assert (first.version, first.deleted, first.note) == (1, None, "begun")
    await restore(world, 1)
    await delete(world)
    assert [(one.version, one.deleted) for one in (await history(world)).versions] == [
        (None, True),
        (2, None),
        (None, True),
        (1, None),
    ]
    assert [one.version for one in (await history(world, from_version=2)).versions] == [None, 2]
    told, _ = await world.desk.events.read(world.call, ReadEvents(aggregate_id="ns/k"))
    assert [one.data.get("note") for one in told] == [
        "begun",
        "not needed any more",
        "restored from version 1",
        None,
    ]


async def test_the_history_tells_that_a_document_expired(world: World):
    await put(world, 1, ttl_seconds=5)
    world.clock.advance(6)
    await world.settle()
    expired, first = (await history(world)).versions
    assert (expired.version, expired.expired, expired.deleted, first.version) == (None, True, None, 1)
    with pytest.raises(NotFound, match="has expired at"):
        await world.read("ns", "k")


async def test_events_of_documents_tell_neither_digests_nor_what_is_empty(world: World):
    await put(world, 1)
    await put(world, 2, tags=["a"])
    await put(world, 3, tags=[])
    told, _ = await world.desk.events.read(world.call, ReadEvents(aggregate_id="ns/k"))
    assert [sorted(one.data) for one in told[1:]] == [["author", "tags"], ["author"]]


async def test_a_compare_with_a_document_that_has_no_value_says_why_and_what_makes_it(world: World):
    with pytest.raises(Conflict, match="does not exist: it was never written") as never:
        await put(world, 1, expected_version=3)
    assert str(never.value).endswith("Call again with expected_version=0, which makes it.")
    await put(world, 1)
    await delete(world)
    with pytest.raises(Conflict, match=r"it was deleted by user:tester at .*Z; its last version is 1") as gone:
        await put(world, 1, expected_version=1)
    assert "expected_version=0" in str(gone.value) and "state_restore(version=1)" in str(gone.value)
    assert (await put(world, 2, expected_version=0)).document.version == 2
    with pytest.raises(Conflict) as moved:
        await put(world, 3, expected_version=9)
    assert "`current_value` is theirs. This same call with expected_version=" in str(moved.value)


async def test_the_event_of_a_patch_tells_where_it_wrote(world: World):
    await world.write("n", "k", {"a": {"b": 1, "c": 2}, "l": [1]})
    merge = {"a": {"b": 3, "c": None}, "x/y": {}, "l": [2]}
    await world.desk.state.patch(world.call, PatchDocument(namespace="n", key="k", merge_patch=merge))
    steps = [
        {"op": "test", "path": "/a/b", "value": 3},
        {"op": "replace", "path": "/a/b", "value": 4},
        {"op": "replace", "path": "/a/b", "value": 5},
        {"op": "add", "path": "/l/-", "value": 6},
    ]
    patch = PatchDocument.model_validate({"namespace": "n", "key": "k", "json_patch": steps})
    await world.desk.state.patch(world.call, patch)
    many = {f"m{number}": number for number in range(50)} | {"w" * 500: 1}
    await world.desk.state.patch(world.call, PatchDocument(namespace="n", key="k", merge_patch=many))
    command = ReadEvents(aggregate_id="n/k", type="document.patched")
    first, second, third = (
        event.data["changed_paths"] for event in (await world.desk.events.read(world.call, command))[0]
    )
    assert first == ["/a/b", "/a/c", "/x~1y", "/l"]
    assert second == ["/a/b", "/l/-"]
    assert third == [f"/m{number}" for number in range(20)], "the first"
    assert replay(world.url).differences == ()


async def test_a_patch_that_counts_says_what_the_numbers_are_now_and_where_it_wrote(world: World):
    await world.write("shop", "stock", {"nails": 5, "old": [1, 2]})
    steps = [
        {"op": "increment", "path": "/nails", "value": -2},
        {"op": "increment", "path": "/old/1", "value": 1},
        {"op": "increment", "path": "/gone", "value": 1},
        {"op": "move", "from": "/old", "path": "/new"},
        {"op": "remove", "path": "/gone"},
    ]
    command = PatchDocument.model_validate({"namespace": "shop", "key": "stock", "json_patch": steps})
    assert (await world.desk.state.patch(world.call, command)).now == {"/nails": 3}
    (told,) = (await world.desk.events.read(world.call, ReadEvents(type="document.patched")))[0]
    assert told.data["changed_paths"] == ["/nails", "/old/1", "/gone", "/old", "/new"]
    plain = PatchDocument.model_validate({"namespace": "shop", "key": "stock", "merge_patch": {"nails": 9}})
    assert (await world.desk.state.patch(world.call, plain)).now is None


async def test_who_count_at_once_all_count(world: World):
    await world.write("shop", "visits", 0)
    step = {"op": "increment", "path": "", "value": 1}
    command = PatchDocument.model_validate({"namespace": "shop", "key": "visits", "json_patch": [step]})
    told = await asyncio.gather(*(world.desk.state.patch(world.call, command) for _ in range(20)))
    assert sorted((one.now or {})[""] for one in told) == list(range(1, 21))
    assert (await world.read("shop", "visits")).value == 20
