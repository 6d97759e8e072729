"""JSON Patch and JSON Merge Patch as their RFCs have them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.json_tools import PatchOperation, json_patch, merge_patch, same

SUITE = json.loads(Path(__file__).with_name("json_patch_suite.json").read_text("utf-8"))["cases"]
OPERATIONS: TypeAdapter[tuple[PatchOperation, ...]] = TypeAdapter(tuple[PatchOperation, ...])

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""Appendix A of the RFC: a document, a patch and what comes of them."""


@pytest.mark.parametrize("case", [case for case in SUITE if not case.get("disabled")], ids=lambda case: case["from"])
def test_the_public_suite_of_json_patch_holds(case: dict[str, Any]):
    before = json.dumps(case["doc"])
    try:
        result = json_patch(case["doc"], OPERATIONS.validate_python(case["patch"]))
    except (OpsError, ValidationError):
        assert "error" in case, case
    else:
        assert "error" not in case, case
        assert same(result, case.get("expected", result)), case
    assert json.dumps(case["doc"]) == before


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7386)
def test_the_table_of_json_merge_patch_holds(target: Any, patch: Any, result: Any):
    assert merge_patch(target, patch) == result
