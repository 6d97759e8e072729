"""Parameters that are not as MCP has them: what is wrong with them is said, over the wire of a real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_stdio_ends import HELLO, META, line, piped

ARGUMENTS = {"namespace": "n", "key": "k", "value": {"a": 1}}
WRONG: tuple[tuple[str, Any, str], ...] = (
    (
        "tools/call",
        {"name": "state_set", "arguments": [ARGUMENTS]},
        "`arguments` is a list: it takes a table of names and values",
    ),
    ("tools/call", {"name": "state_set", "arguments": "no JSON"}, "`arguments` is text"),
    ("tools/call", {"name": "state_set", "arguments": "[1]"}, "`arguments` is text"),
    ("tools/call", {"name": "state_set", "arguments": 7}, "`arguments` is a number"),
    ("tools/call", {"arguments": {}}, "`name` is missing"),
    ("tools/call", {"name": ["state_set"]}, "`name` is a list"),
    ("tools/call", None, "is missing"),
    ("prompts/get", {"name": 5}, "`name` is a number"),
    ("resources/read", {}, "`uri` is missing"),
)


def asked(number: int, method: str, params: Any, era: str) -> bytes:
    more = {"_meta": META} if era == "auto" else {}
    return line(id=number, method=method, params=None if params is None and not more else {**(params or {}), **more})


@pytest.mark.slow
@pytest.mark.parametrize("era", ["auto", "legacy"])
def test_what_is_wrong_with_parameters_is_said_and_arguments_may_be_json_text(tmp_path: Path, era: str):
    lines = [asked(number, method, params, era) for number, (method, params, _) in enumerate(WRONG)]
    lines.append(asked(100, "tools/call", {"name": "state_set", "arguments": json.dumps(ARGUMENTS)}, era))
    if era == "legacy":
        lines.append(line(id=101, method="logging/setLevel", params={"level": "loud"}))
    answers = piped(tmp_path, (HELLO if era == "legacy" else b"") + b"".join(lines))
    for number, (method, _, said) in enumerate(WRONG):
        error = answers[number]["error"]
        assert error["code"] == -32602 and method in error["message"] and said in error["message"], error
    assert answers[100]["result"]["structuredContent"]["document"]["version"] == 1
    if era == "legacy":
        assert "`level` is text: it takes 'alert', 'critical', 'debug'" in answers[101]["error"]["message"]
