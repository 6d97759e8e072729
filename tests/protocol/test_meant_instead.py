"""Calls that would do something else than what is meant: the call that a refusal shows does what is, and what is done
otherwise than it was asked is said."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_server.app import open_app
from mcp_server.config import load_settings
from tests.protocol.wrong_calls_shared import DEPLOY, PLAN, PLAN_VALUE, WEB
from tests.world import on_file

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncGenerator[Client]:
    """A client of a desk with two agents and a document."""
    settings = load_settings(database=on_file(tmp_path / "desk.db"), user="local")
    async with open_app(settings) as app, Client(app.server) as client:
        await client.call_tool("agents_register", {"name": "scribe", "capabilities": ["py"]})
        await client.call_tool("agents_register", {"name": "coder"})
        yield client


async def called(client: Client, tool: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What a call answers, and its text."""
    result = await client.call_tool(tool, arguments)
    return result.structured_content or {}, result.content[0].text


async def plan(client: Client) -> Any:
    return (await called(client, "state_get", PLAN))[0]["document"]["value"]


@pytest.mark.parametrize(
    ("patch", "then"),
    [
        ({"merge_patch": {"$set": {"limits.max": 8}}}, {"limits": {"max": 8}}),
        ({"merge_patch": {"$set": {"count": 8}, "$unset": {"tags": ""}}}, {"count": 8, "tags": None}),
        ({"merge_patch": {"$inc": {"count": 2, "limits.max": 1}}}, {"count": 6, "limits": {"max": 6}}),
        ({"merge_patch": {"limits": {"max": {"$inc": -1}}}}, {"limits": {"max": 4}}),
        ({"merge_patch": {"$push": {"tags": {"$each": ["z", "q"]}}}}, {"tags": ["x", "y", "z", "q"]}),
        ({"json_patch": [{"op": "decrement", "path": "/count", "value": 1}]}, {"count": 3}),
        ({"json_patch": [{"op": "append", "path": "/tags", "value": "z"}]}, {"tags": ["x", "y", "z"]}),
        ({"json_patch": [{"op": "increment", "path": "/count", "value": 3, "min": 0}]}, {"count": 7}),
        ({"json_patch": {"count": 5}}, {"count": 5}),
        ({"value": {"count": 5}}, {"count": 5}),
        ({"merge_patch": {"op": "add", "path": "/z", "value": 1}}, {"z": 1}),
    ],
)
async def test_the_patch_that_a_refusal_shows_does_what_was_meant_and_nothing_else(
    tmp_path: Path, patch: dict[str, Any], then: dict[str, Any]
):
    async with desk(tmp_path) as client:
        await called(client, "state_set", PLAN | {"value": PLAN_VALUE})
        error = (await called(client, "state_patch", PLAN | patch))[0]["error"]
        assert await plan(client) == PLAN_VALUE
        right = error["details"]["next_call"]
        await called(client, right["tool"], right["arguments"])
        expected = {name: value for name, value in (PLAN_VALUE | then).items() if value is not None}
        assert await plan(client) == expected


async def test_a_document_keeps_names_that_look_like_paths_where_it_has_such(tmp_path: Path):
    routes: dict[str, dict[str, Any]] = {"/": {"/health": 1, "/users": 2}, "files": {"a.py": 1, "a": {}}}
    async with desk(tmp_path) as client:
        await called(client, "state_set", PLAN | {"value": routes})
        patch = {"/": {"/users/x": 3, "/health": None}, "files": {"b.py": 2, "a.txt": 1}}
        answer, _ = await called(client, "state_patch", PLAN | {"merge_patch": patch})
        assert "error" not in answer
        assert await plan(client) == {
            "/": {"/users": 2, "/users/x": 3},
            "files": {**routes["files"], "b.py": 2, "a.txt": 1},
        }


async def test_a_merge_patch_does_not_replace_a_document_that_is_no_object_unless_its_version_is_said(tmp_path: Path):
    async with desk(tmp_path) as client:
        answer, said = await called(client, "state_set", PLAN | {"value": '{"name": "n"}'})
        assert "text that holds JSON" in answer["document"]["hint"] and answer["document"]["hint"] in said
        refused, said = await called(client, "state_patch", PLAN | {"merge_patch": {"count": 1}})
        assert "error" in refused and 'value={"name":"n"}) makes an object of it' in said
        assert await plan(client) == '{"name": "n"}'
        done, _ = await called(client, "state_patch", PLAN | {"merge_patch": {"count": 1}, "expected_version": 1})
        assert "error" not in done and await plan(client) == {"count": 1}


async def test_a_copy_and_a_restored_version_may_be_text_that_holds_json(tmp_path: Path):
    async with desk(tmp_path) as client:
        await called(client, "state_set", PLAN | {"value": "[1]"})
        await called(client, "state_set", {"namespace": "notes", "key": "o", "value": {"a": 1}})
        copied, _ = await called(client, "state_set", {"namespace": "notes", "key": "o", "copy_of": "notes/plan"})
        restored, _ = await called(client, "state_restore", {"namespace": "notes", "key": "o", "version": 1})
        assert "error" not in copied and "error" not in restored


async def test_a_lock_that_lasts_no_longer_or_is_held_otherwise_than_before_is_said_to(tmp_path: Path):
    async with desk(tmp_path) as client:
        mine, theirs = {"name": "k", "as_agent": "scribe"}, {"name": "k", "as_agent": "coder"}
        await called(client, "locks_acquire", mine | {"ttl_seconds": 600})
        for tool, given in (("locks_acquire", {"ttl_seconds": 60}), ("locks_release", {"renew_seconds": 60})):
            answer, said = await called(client, tool, mine | given)
            assert answer["lock"]["unchanged"] and "as long as before" in said, tool
        longer, said = await called(client, "locks_release", mine | {"renew_seconds": 900})
        assert "unchanged" not in longer["lock"] and "as long as before" not in said
        shared, said = await called(client, "locks_acquire", mine | {"mode": "shared"})
        assert "the exclusive lock k of agent:scribe" in shared["lock"]["instead_of"] and "took the place of" in said
        kept, said = await called(client, "locks_release", theirs | {"renew_seconds": 900, "force": True})
        assert kept["lock"]["renewed_for"].startswith("agent:scribe") and "another's" in said


async def test_who_speaks_as_a_user_is_told_as_which_agent_a_lock_is_held_here(tmp_path: Path):
    async with desk(tmp_path) as client:
        await called(client, "locks_acquire", {"name": "k", "as_agent": "scribe"})
        _, said = await called(client, "locks_release", {"name": "k"})
        assert 'You speak as user:local here: as_agent="scribe" is its holder' in said
        _, said = await called(client, "locks_release", {"name": "k", "as_agent": "scribe", "fencing_token": 999})
        assert "was never given" in said and "You hold it under fencing token 1" in said


async def test_a_message_to_nobody_who_was_ever_here_says_that_it_waits(tmp_path: Path):
    async with desk(tmp_path) as client:
        answer, said = await called(client, "messages_send", {"to": ["user:nobodyx"], "body": "x"})
        assert answer["message"]["unknown"] == ["user:nobodyx"] and "There is no user:nobodyx here yet" in said
        answer, _ = await called(client, "messages_send", {"to": ["user:local"], "body": "x", "as_agent": "scribe"})
        assert "unknown" not in answer["message"]


async def test_what_is_found_by_its_id_says_what_else_that_was_asked_it_is_not(tmp_path: Path):
    async with desk(tmp_path) as client:
        _, said = await called(
            client, "deployments_define", DEPLOY | {"services": [WEB | {"env": {"DB_PASSWORD": "p"}}]}
        )
        assert "DB_PASSWORD of web stands openly in env" in said
        task = (await called(client, "tasks_create", {"tasks": [{"title": "x", "required_capabilities": ["py"]}]}))[0]
        task_id = task["tasks"][0]["id"]
        for tool, given, says in (
            (
                "deployments_find",
                {"deployment_id": "d/dev", "environment": "staging"},
                "environment is dev, not staging",
            ),
            ("deployments_find", {"logs": True}, "name it by deployment_id"),
            ("tasks_find", {"task_id": task_id, "status": "failed"}, "its status is queued, not failed"),
            ("tasks_find", {"task_id": task_id, "text": "y"}, "`text` only narrow lists"),
            ("tasks_find", {"text": "x*"}, 'try "x"'),
            ("agents_find", {"agent_id": "coder", "capability": "py"}, "It lacks the capability py."),
            ("agents_find", {"agent_id": "coder", "for_task": task_id}, "It cannot take"),
        ):
            answer, said = await called(client, tool, given)
            assert says in answer["hint"] and answer["hint"] in said, tool
        answer, _ = await called(client, "agents_find", {"agent_id": "scribe", "for_task": task_id})
        assert answer["agent"]["score"] is not None and answer["agent"]["reason"] in answer["hint"]
        for tool, given in (
            ("tasks_find", {"task_id": task_id, "status": "queued"}),
            ("tasks_find", {"task_id": task_id}),
        ):
            assert "hint" not in (await called(client, tool, given))[0]
