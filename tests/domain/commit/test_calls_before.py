"""A call of a commit sees what those before it wrote, and its refusal tells that."""

from typing import Any

import pytest

from mcp_server.kernel.errors import Conflict, ValidationFailed
from tests.domain.commit.test_commit import commit, nothing_landed
from tests.world import World

pytestmark = pytest.mark.anyio
AT = {"namespace": "m", "key": "k"}


def set_to(value: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "state_set", AT | {"value": value} | more


def patch(*steps: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "state_patch", AT | {"json_patch": list(steps)}


def is_now(value: Any) -> dict[str, Any]:
    return {"op": "test", "path": "/status", "value": value}


async def test_a_patch_tests_what_a_call_before_wrote_and_its_refusal_tells_that_once(world: World):
    await world.write("m", "k", {"status": "open"})
    with pytest.raises(Conflict, match=r'calls\[1\] state_patch: .*value there is "done"') as refused:
        await commit(world, set_to({"status": "done"}), patch(is_now("paused")))
    assert refused.value.message.count("Nothing") == 1 and "Nothing has landed" in refused.value.message
    with pytest.raises(Conflict, match='value there is "done"'):
        await commit(world, set_to({"status": "done"}), patch(is_now("open")))
    assert (await world.read("m", "k")).value == {"status": "open"}
    await nothing_landed(world)


async def test_what_only_a_call_before_makes_possible_lands(world: World):
    await world.write("m", "k", {"status": "open"})
    add = {"op": "add", "path": "/a/b", "value": 1}
    await commit(world, set_to({"status": "done", "a": {}}), patch(is_now("done"), add))
    assert (await world.read("m", "k")).value == {"status": "done", "a": {"b": 1}}
    with pytest.raises(ValidationFailed, match=r"calls\[1\] state_patch: .*does not exist"):
        await commit(world, set_to({"status": "done"}), patch(add))


async def test_a_merge_meets_what_a_call_before_wrote(world: World):
    await world.write("m", "k", {"a": 1})
    await world.write("m", "k", {"a": 2})
    mine = set_to({"a": 3}, merge=True, base_version=1)
    with pytest.raises(Conflict, match=r"calls\[1\] state_set: Both sides"):
        await commit(world, set_to({"a": 4}), mine)
    await commit(world, set_to({"a": 1}), mine)
    assert (await world.read("m", "k")).value == {"a": 3}


async def test_a_change_of_a_large_document_is_of_the_value_as_a_call_before_left_it(world: World):
    large = {f"k{number:05}": number for number in range(5000)}
    await world.write("m", "k", large)
    add = {"op": "add", "path": "/a/b", "value": 1}
    await commit(world, set_to(large | {"status": "done", "a": {}}), patch(is_now("done"), add))
    assert (await world.read("m", "k")).value == large | {"status": "done", "a": {"b": 1}}
    await world.write("m", "k", large)
    with pytest.raises(Conflict, match=r'calls\[1\] state_patch: .*value there is "done"') as refused:
        await commit(world, set_to(large | {"status": "done"}), patch(is_now("paused")))
    assert refused.value.message.count("Nothing") == 1
    with pytest.raises(ValidationFailed, match="does not exist"):
        await commit(world, patch(add))


async def test_a_copy_is_of_the_value_as_a_call_before_left_it(world: World):
    await world.write("m", "k", {"a": 1})
    copy = ("state_set", {"namespace": "m", "key": "copy", "copy_of": "m/k", "expected_version": 0})
    await commit(world, set_to({"a": 2}), copy)
    assert (await world.read("m", "copy")).value == {"a": 2}
    with pytest.raises(ValidationFailed, match="is written by call 0 of these"):
        await commit(world, patch({"op": "add", "path": "/b", "value": 1}), copy)
