"""What a model gets wrong who knows no more than the descriptions: what is meant is done, and what cannot be done is
refused in words that teach."""

import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.kernel.refusing import PROBLEMS_LISTED
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.wording import example_of
from mcp_server.protocol.schemas import input_schema
from tests.protocol.test_hostile_arguments import Guesser, opened
from tests.protocol.wrong_calls import OVERWRITING, TAKEN, WRONG
from tests.protocol.wrong_calls_shared import PLAN, PLAN_VALUE
from tests.turns import in_turns
from tests.world import on_file
from tools import TOOLS
from tools.spec import Shared

pytestmark = pytest.mark.anyio

JARGON = re.compile(
    r"\b(tuple|dict|dictionary|NoneType|None|str|int|float|bool|Literal|BaseModel|datetime|instance of|pydantic|"
    r"validator|validation|regex|traceback|Input should|Field required|Value error|\w+Spec|\w+Error|"
    r"(?:string|int|float|bool|list|tuple|dict|model)_(?:type|parsing))\b"
)
"""Words that mean something in Python and nothing to whoever sent JSON."""


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncGenerator[tuple[Client, dict[str, str]]]:
    """A client of a desk that holds a little, and what the words of the table stand for."""
    settings = load_settings(database=on_file(tmp_path / "desk.db"), user="local")
    async with open_app(settings) as app, Client(app.server) as client:
        agent = await client.call_tool("agents_register", {"name": "scribe", "capabilities": ["py"]})
        made = await client.call_tool("tasks_create", {"tasks": [{"title": "one", "kind": "code", "tags": ["a"]}]})
        await client.call_tool("state_set", {"namespace": "notes", "key": "today", "value": {"a": 1}})
        await client.call_tool("state_set", PLAN | {"value": PLAN_VALUE})
        ids = ((made.structured_content or {})["tasks"][0]["id"], (agent.structured_content or {})["agent"]["id"])
        yield client, dict(zip(("TASK", "AGENT"), ids, strict=True))


def filled(arguments: dict[str, Any], stands_for: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(arguments)
    for word, id_ in stands_for.items():
        text = text.replace(word, id_)
    return json.loads(text)


def jargon(error: dict[str, Any]) -> list[str]:
    """The words of a refusal that mean something in Python only, but for what was sent."""
    said = re.sub(r'"[^"]*"', '""', json.dumps([error["message"], error["details"]]).replace('\\"', "'"))
    return JARGON.findall(re.sub(r"'[^']*'", "''", error["message"])) + JARGON.findall(said)


async def test_what_is_unambiguous_is_taken(tmp_path: Path):
    failed: list[Any] = []
    async with desk(tmp_path) as (client, stands_for):
        for tool, arguments in TAKEN:
            result = await client.call_tool(tool, filled(arguments, stands_for))
            if result.is_error:
                failed.append((tool, arguments, (result.structured_content or {})["error"]["message"]))
    assert not failed


async def test_what_cannot_be_done_is_refused_in_words_that_teach(tmp_path: Path):
    failed: list[Any] = []
    async with desk(tmp_path) as (client, stands_for):
        for tool, arguments, teaches in WRONG:
            result = await client.call_tool(tool, filled(arguments, stands_for))
            error = (result.structured_content or {}).get("error", {"message": "it was done", "details": {}})
            missing = [word for word in teaches if word not in error["message"]]
            if missing or jargon(error):
                failed.append((tool, arguments, missing, jargon(error), error["message"]))
    assert len(WRONG) >= 150 and not failed


async def test_the_next_call_of_a_refusal_is_the_callers_own_and_is_not_refused_at_the_same_place(tmp_path: Path):
    failed: list[Any] = []
    sent = 0
    async with desk(tmp_path) as (client, stands_for):
        for tool, arguments, _ in WRONG:
            given = filled(arguments, stands_for)
            whole = {"calls": [{"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}]}
            whole["calls"].append({"tool": tool, "arguments": given})
            for outer, asked in ((tool, given), ("commit", whole)):
                refusal = await refusal_of(client, outer, asked) or {"details": {}, "message": ""}
                details = refusal["details"]
                right = details.get("next_call") or (shown(refusal["message"]) if outer == tool != "commit" else None)
                if "problems" not in details or right is None:
                    continue
                sent += 1
                again = await refusal_of(client, right["tool"], right["arguments"]) or {"details": {}}
                same = {one["path"] for one in details["problems"]} & {
                    one["path"] for one in again["details"].get("problems", ())
                }
                if same or right["tool"] != outer or lost(asked, right["arguments"], details):
                    failed.append((outer, asked, right, again))
    assert sent > 200 and failed == []


SHOWN = re.compile(r"(?:Such as|Right would be)[^:]*: (?P<tool>\w+)\((?P<arguments>.*)\)\.")


def shown(message: str) -> dict[str, Any] | None:
    """The call that a refusal shows in words, for who reads no data; None where it shows none whole."""
    found = SHOWN.search(message)
    if found is None or "long left out" in found[0]:
        return None
    arguments, left = dict[str, Any](), found["arguments"]
    while left:
        name, _, rest = left.removeprefix(", ").partition("=")
        arguments[name], end = json.JSONDecoder().raw_decode(rest)
        left = rest[end:]
    return {"tool": found["tool"], "arguments": arguments}


async def refusal_of(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    return ((await client.call_tool(tool, arguments)).structured_content or {}).get("error")


def lost(given: dict[str, Any], right: dict[str, Any], details: dict[str, Any]) -> set[str]:
    """The arguments that a call to send has lost, but for those that were wrong."""
    wrong = {re.split(r"[.\[]", one["path"])[0] for one in details["problems"]}
    kept = {"title", "action", "approvers", "calls", "namespace", "key", "value", "body"}
    moved = {"merge_patch": "value", "destroy": "action"}
    moved = {old for new, old in moved.items() if new in right}
    return (given.keys() & kept) - right.keys() - wrong - moved


async def test_no_refusal_shows_a_call_that_would_overwrite_something_with_an_example(tmp_path: Path):
    async with desk(tmp_path) as (client, stands_for):
        for tool, arguments in OVERWRITING:
            error = await refusal_of(client, tool, filled(arguments, stands_for))
            assert error is not None and "next_call" not in error["details"], (tool, arguments)
            assert not re.search(r"Such as|Right would be", error["message"]), error["message"]


async def test_a_name_that_others_have_for_a_tool_is_answered_with_the_call_that_does_it(tmp_path: Path):
    async with desk(tmp_path) as (client, _):
        for name, does in (
            ("tasks_update", "tasks_control(action='edit', changes={})"),
            ("tasks_cancel", "tasks_control(action='cancel')"),
            ("complete_task", "tasks_finish("),
            ("state_delete", "state_set(delete=true)"),
            ("state_put", "state_set("),
            ("agents_list", "agents_find()"),
            ("tasks_list", "tasks_find()"),
            ("messages_list", "messages_read()"),
            ("lock", "locks_acquire()"),
            ("unlock", "locks_release()"),
            ("email_list", "email_find()"),
        ):
            with pytest.raises(MCPError, match=re.escape(f"{does}")):
                await client.call_tool(name, {})


async def test_a_list_that_is_empty_says_what_there_is_where_nothing_has_what_was_asked_for(tmp_path: Path):
    async with desk(tmp_path) as (client, _):
        for tool, narrowed, says in (
            ("tasks_find", {"kind": "coed"}, "No task has kind coed. Did you mean 'code'? There are: code."),
            ("agents_find", {"capability": "pyy"}, "Did you mean 'py'?"),
            ("agents_find", {"name": "scrieb"}, "Did you mean 'scribe'?"),
            ("state_find", {"namespace": "ntes"}, "Did you mean 'notes'?"),
            ("deployments_find", {"target": "docker"}, "There are none yet."),
            ("email_find", {"template": "welcome"}, "There are none yet."),
        ):
            result = await client.call_tool(tool, narrowed)
            assert says in (result.structured_content or {})["hint"] and says in result.content[0].text, tool
        there = await client.call_tool("tasks_find", {"kind": "code", "status": "completed"})
        assert "hint" not in (there.structured_content or {}), "there are such, only none that is completed"
        parent = await client.call_tool("tasks_find", {"parent_id": "task_bbbbbbbbbbbb"})
        assert parent.is_error and "There is no task" in parent.content[0].text


async def test_names_of_tools_prompts_and_resources_that_there_are_not_are_answered_with_those_near(tmp_path: Path):
    async with desk(tmp_path) as (client, _):
        for attempt, meant in (
            (client.call_tool("task_create", {}), "tasks_create"),
            (client.call_tool("createTasks", {}), "tasks_create"),
            (client.call_tool("state.set", {}), "state_set"),
            (client.get_prompt("plan_project", {}), "plan-project"),
            (client.read_resource("ops://task/x"), "ops://tasks/{task_id}"),
        ):
            with pytest.raises(MCPError, match=re.escape(f"Did you mean '{meant}'")):
                await attempt


@pytest.mark.parametrize(("url", "seed"), in_turns([0], range(1, 4)), indirect=["url"])
async def test_no_refusal_of_arguments_speaks_python_and_each_names_what_was_wrong(url: str, seed: int):
    async with opened(url) as (client, known):
        guesser = Guesser(random.Random(1000 + seed), lambda _: known)
        for tool in (tool for _ in range(3 if seed == 0 else 100) for tool in TOOLS):
            arguments = guesser.arguments(input_schema(tool.arguments, Shared if tool.writes else None))
            arguments |= {} if seed % 2 else {f"strange_{seed}": 1}
            result = await client.call_tool(tool.name, arguments)
            error = (result.structured_content or {}).get("error", {"code": "", "message": "", "details": {}})
            told = (tool.name, json.dumps(arguments)[:1000], error)
            assert not jargon(error), told
            for problem in error["details"].get("problems", ()):
                assert problem["path"].strip('"').split("[")[0].split(".")[0] in {*arguments, *names(tool)}, told
            assert len(error["details"].get("problems", ())) <= PROBLEMS_LISTED, told


def names(tool: Any) -> set[str]:
    return {"arguments", *shape_of(tool.arguments).members, *Shared.model_fields}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_example_that_a_refusal_gives_is_a_call_that_the_tool_takes(tool: Any):
    tool.arguments.model_validate(example_of(shape_of(tool.arguments)))
