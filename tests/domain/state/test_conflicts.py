"""What a write that came too late is refused with can be done as it says: alone, and among calls that land together."""

import re
from typing import Any

import pytest

from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.service import CommitService
from mcp_server.domain.state.commands import SetDocument
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.times import iso
from mcp_server.kernel.understanding import understood
from tests.world import World, speaking
from tools import TOOLS

pytestmark = pytest.mark.anyio
WRITES: dict[str, Any] = {tool.name: tool for tool in TOOLS if tool.name.startswith("state_") and tool.write}
AT = {"namespace": "n", "key": "k"}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("state_set", {"value": {"a": 1, "mine": 1}}),
    ("state_set", {"delete": True}),
    ("state_patch", {"merge_patch": {"mine": 1}}),
    ("state_patch", {"json_patch": [{"op": "add", "path": "/mine", "value": 1}]}),
    ("state_restore", {"version": 1}),
]


async def make(world: World, tool: str, said: dict[str, Any], *, together: bool) -> None:
    """The call on its own, or among others."""
    if together:
        other = {"tool": "state_set", "arguments": {"namespace": "n", "key": "other", "value": 1}}
        command = CommitCalls.model_validate({"calls": [other, {"tool": tool, "arguments": said}]})
        await world.desk.get(CommitService).commit(world.call, command)
    else:
        command = understood(tool, WRITES[tool].arguments, said)
        await WRITES[tool].write(world.desk)(world.call, command)


async def test_every_write_that_was_too_late_is_made_by_the_version_that_its_refusal_names(world: World):
    assert {tool for tool, _ in CALLS} == WRITES.keys()
    for tool, said in CALLS:
        for expected in (0, 1):
            for together in (False, True):
                key = f"{tool}-{len(said)}-{next(iter(said))}-{expected}-{together}"
                for number in (1, 2):
                    await world.write("n", key, {"a": number})
                call = said | AT | {"key": key}
                with pytest.raises(Conflict) as refused:
                    await make(world, tool, call | {"expected_version": expected}, together=together)
                words, details = refused.value.message, refused.value.details
                assert details["current_value"] == {"a": 2} and "`current_value` is theirs" in words
                (now,) = re.findall(r"with expected_version=(\d+)", words)
                assert ("merge=true" in words) is ("value" in call and expected > 0)
                await make(world, tool, call | {"expected_version": int(now)}, together=together)


@pytest.mark.parametrize("together", [False, True])
async def test_a_value_that_was_too_late_is_merged_as_its_refusal_says(world: World, together: bool):
    for value in ({"a": 1}, {"a": 1, "theirs": 2}):
        await world.write("n", "k", value)
    call = {"value": {"a": 1, "mine": 1}} | AT
    with pytest.raises(Conflict) as refused:
        await make(world, "state_set", call | {"expected_version": 1}, together=together)
    (base,) = re.findall(r"with merge=true, base_version=(\d+)", refused.value.message)
    await make(world, "state_set", call | {"merge": True, "base_version": int(base)}, together=together)
    assert (await world.read("n", "k")).value == {"a": 1, "theirs": 2, "mine": 1}


async def test_where_there_is_nothing_any_more_the_version_that_makes_it_anew_is_named(world: World):
    for deletes in (False, True):
        key = f"k{deletes}"
        if deletes:
            await world.write("n", key, 1)
            await make(world, "state_set", AT | {"key": key, "delete": True}, together=False)
        call = AT | {"key": key, "value": 2}
        with pytest.raises(Conflict) as refused:
            await make(world, "state_set", call | {"expected_version": 7}, together=False)
        (now,) = re.findall(r"with expected_version=(\d+)", refused.value.message)
        await make(world, "state_set", call | {"expected_version": int(now)}, together=True)
        assert (await world.read("n", key)).value == 2


async def test_a_test_of_a_patch_that_does_not_hold_tells_what_is_there(world: World):
    await world.write("n", "k", {"n": 2})
    steps = [{"op": "test", "path": "/n", "value": 1}, {"op": "replace", "path": "/n", "value": 3}]
    with pytest.raises(
        Conflict, match="operation #0 .* is 2. Version 1 was written by .*Nothing was changed.* a test for that value"
    ):
        await make(world, "state_patch", AT | {"json_patch": steps}, together=False)
    await make(world, "state_patch", AT | {"json_patch": [steps[0] | {"value": 2}, steps[1]]}, together=False)
    await world.write("n", "k", {"n": "open"})
    with pytest.raises(Conflict, match=r'there is "open"\. Version 3 was .*Nothing was changed'):
        await make(world, "state_patch", AT | {"json_patch": steps}, together=False)
    await world.write("n", "k", {"n": 3})
    assert (await world.read("n", "k")).value == {"n": 3}


async def test_a_value_that_was_to_expire_and_stays_now_is_told(world: World):
    for first, second, tells in (
        ({"ttl_seconds": 60}, {}, True),
        ({"ttl_seconds": 60}, {"ttl_seconds": 5}, False),
        ({}, {}, False),
    ):
        key = f"k{len(first)}{len(second)}"
        ends = (await world.write("n", key, 1, **first)).expires_at
        command = understood("state_set", WRITES["state_set"].arguments, AT | {"key": key, "value": 2} | second)
        told = await world.desk.state.set(world.call, command)
        assert told.was_to_expire_at == (ends if tells else None)
        world.clock.advance(600)
        again = await world.desk.state.set(world.call, command.model_copy(update={"ttl_seconds": None}))
        assert again.was_to_expire_at is None, "one that has expired meanwhile is written anew"


@pytest.mark.parametrize("together", [False, True])
async def test_whatever_was_too_late_says_who_changed_it_and_when(world: World, together: bool):
    scribe = speaking(await world.agent("scribe"))
    await world.write("n", "k", {"a": 1})
    world.clock.advance(5)
    await world.desk.state.set(scribe, SetDocument(namespace="n", key="k", value={"a": 2}))
    by, at = "agent:scribe via user:tester", iso(world.clock.now)
    world.clock.advance(5)
    steps: list[dict[str, Any]] = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "increment", "path": "/a", "value": -2, "minimum": 1},
    ]
    calls: list[tuple[str, dict[str, Any]]] = [
        *((tool, said | {"expected_version": 1}) for tool, said in CALLS),
        ("state_set", {"value": {"a": 3}, "merge": True, "base_version": 1}),
        *(("state_patch", {"json_patch": [step]}) for step in steps),
    ]
    for tool, said in calls:
        with pytest.raises(Conflict) as refused:
            await make(world, tool, said | AT, together=together)
        details = refused.value.details
        assert (details["changed_by"], details["changed_at"], details["current_version"]) == (by, at, 2), said
        assert f"ritten by {by} at {at}" in refused.value.message


async def test_what_was_deleted_says_by_whom_and_what_has_expired_by_nobody(world: World):
    for key, first in (("deleted", {}), ("expired", {"ttl_seconds": 60})):
        await world.write("n", key, 1, **first)
    await make(world, "state_set", AT | {"key": "deleted", "delete": True}, together=False)
    world.clock.advance(61)
    for settles in (False, True):
        for key, names in (("deleted", True), ("expired", False)):
            with pytest.raises(Conflict) as refused:
                await make(world, "state_set", AT | {"key": key, "value": 2, "expected_version": 1}, together=False)
            assert ("changed_by" in refused.value.details) is names
        if not settles:
            await world.settle()


async def test_a_change_that_clashes_with_a_call_before_it_says_so(world: World):
    await world.write("n", "k", {"a": 1})
    steps = [{"op": "test", "path": "/a", "value": 1}]
    calls = [
        {"tool": "state_set", "arguments": AT | {"value": {"a": 2}}},
        {"tool": "state_patch", "arguments": AT | {"json_patch": steps}},
    ]
    with pytest.raises(Conflict) as refused:
        await world.desk.get(CommitService).commit(world.call, CommitCalls.model_validate({"calls": calls}))
    words = refused.value.message
    assert "Version 2 was written by a call before this one" in words or "Version 2 was written by user:tester" in words
