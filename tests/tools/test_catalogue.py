"""What a model sees of the tools. A definition that drifts fails here; `UPDATE_SNAPSHOTS=1` accepts it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rs_bpe.bpe import openai

import tools
from mcp_server.domain.areas import AREAS
from mcp_server.protocol.definitions import definition, kept_definitions
from mcp_server.protocol.opening import INSTRUCTIONS
from tools import TOOLS, TOOLSETS

LISTED = Path(tools.__file__).with_name("listed.jsonl")
SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
TOKENS_MAX, TOKENS_TASKS_STATE_MAX, TOOLS_MAX = 6_500, 2_900, 36
TOKENS_WHOLE_MAX = 10_000
"""The whole answer to `tools/list`, output schemas included."""


def wire(tool) -> dict:
    return definition(tool).model_dump(mode="json", by_alias=True, exclude_none=True)


def tokens(*toolsets: str) -> int:
    """Tokens (o200k_base) of name, description and input schema."""
    encoding = openai.o200k_base()
    seen = [wire(tool) for tool in TOOLS if tool.toolset in toolsets]
    parts = (f"{t['name']}\n{t['description']}\n{json.dumps(t['inputSchema'], separators=(',', ':'))}" for t in seen)
    return sum(len(encoding.encode(part)) for part in parts)


def arrays(node: Any) -> list[dict]:
    """Every schema of a list, wherever it stands."""
    inner = (
        [one for value in (node.values() if isinstance(node, dict) else node) for one in arrays(value)]
        if isinstance(node, (dict, list))
        else []
    )
    return inner + ([node] if isinstance(node, dict) and node.get("type") == "array" else [])


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tools_definition_is_the_one_that_was_agreed(tool):
    path = SNAPSHOTS / f"{tool.name}.json"
    text = json.dumps(wire(tool), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text)
    assert path.exists(), f"no snapshot of {tool.name}; run with UPDATE_SNAPSHOTS=1 and review it"
    assert path.read_text() == text


def test_what_clients_are_sent_is_what_the_tools_are():
    lines = "".join(json.dumps(wire(tool), ensure_ascii=False, separators=(",", ":")) + "\n" for tool in TOOLS)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        LISTED.write_text(lines, "utf-8")
    assert LISTED.read_text("utf-8") == lines, "run with UPDATE_SNAPSHOTS=1"
    assert list(kept_definitions()) == [tool.name for tool in TOOLS]


def test_no_snapshot_outlives_its_tool():
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == {tool.name for tool in TOOLS}


def test_the_tool_list_stays_within_its_budget_of_tokens():
    counts = {"all": tokens(*TOOLSETS), "tasks,state": tokens("tasks", "state")}
    print(f"tokens of the tool list: {counts}")
    whole = json.dumps([wire(tool) for tool in TOOLS], separators=(",", ":"))
    assert len(openai.o200k_base().encode(whole)) <= TOKENS_WHOLE_MAX
    assert counts["all"] <= TOKENS_MAX and counts["tasks,state"] <= TOKENS_TASKS_STATE_MAX
    assert len(TOOLS) <= TOOLS_MAX


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_says_what_it_is_for_and_what_it_may_do(tool):
    seen = wire(tool)
    assert seen["name"].split("_")[0] in {area.name for area in AREAS.all} and seen["title"]
    assert 20 <= len(seen["description"]) <= 400
    assert set(seen["annotations"]) == {"title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
    assert tool.hints.read_only == tool.permission.value.endswith(":read")
    for schema in (seen["inputSchema"], seen["outputSchema"]):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object" and "$ref" not in json.dumps(schema)
    assert "additionalProperties" not in json.dumps(seen), "some clients refuse such a schema"
    assert all("items" in one for one in arrays(seen)), "some models' services refuse a list that does not say of what"
    assert all(one["items"] for one in arrays(seen["inputSchema"])), "strict linters take an empty schema for a mistake"


def test_the_servers_instructions_name_every_area_in_few_words():
    assert {tool.name.split("_")[0] for tool in TOOLS} <= set(re.findall(r"[a-z]+", INSTRUCTIONS))
    assert len(openai.o200k_base().encode(INSTRUCTIONS)) <= 260


def test_no_argument_is_bound_to_a_header():
    """Else the server must have the SDK compare them (`protocol.server.no_headers`)."""
    assert not [tool.name for tool in TOOLS if "x-mcp-header" in json.dumps(wire(tool)["inputSchema"])]


def test_names_are_unique():
    assert len({tool.name for tool in TOOLS}) == len(TOOLS)
