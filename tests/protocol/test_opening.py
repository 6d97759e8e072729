"""The first answer on stdio, given before the SDK is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.protocol.opening import VERSIONS, answer_to
from tests.faults.test_stdio_ends import INITIALIZE, META, call, line, piped
from tests.protocol.test_wire import JSON


def hello(**changes: Any) -> bytes:
    return line(id=1, method="initialize", params=INITIALIZE | changes)


def discover(meta: dict[str, Any] = META, **more: Any) -> bytes:
    return line(id=1, method="server/discover", params={"_meta": meta} | more)


@pytest.mark.slow
def test_a_client_of_the_era_of_today_hears_what_the_sdk_would_say(tmp_path: Path):
    early = answer_to(discover())
    assert early is not None and piped(tmp_path, b"\n" + discover())[1] == early
    assert piped(tmp_path, discover())[1] == early


@pytest.mark.slow
@pytest.mark.parametrize(
    "toolsets", [pytest.param("state", marks=pytest.mark.slow), "tasks", pytest.param("system", marks=pytest.mark.slow)]
)
def test_it_knows_of_the_tasks_extension_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolsets: str
):
    monkeypatch.setenv("DATAMCP_TOOLSETS", toolsets)
    early = answer_to(discover(), gives_handles=toolsets == "tasks")
    assert early is not None and piped(tmp_path, b"\n" + discover())[1] == early
    assert piped(tmp_path, discover())[1] == early


EARLIER = [pytest.param(version, marks=pytest.mark.slow) for version in VERSIONS[:-1]]


@pytest.mark.slow
@pytest.mark.parametrize("version", [*EARLIER, VERSIONS[-1], "2026-07-28", "1999-01-01"])
def test_it_is_the_answer_that_the_sdk_gives(tmp_path: Path, version: str):
    """The SDK is made to answer by what no ordinary handshake begins with."""
    early = answer_to(hello(protocolVersion=version))
    assert (early is not None) == (version in VERSIONS)
    if early is not None:
        late = piped(tmp_path, b"\n" + hello(protocolVersion=version))[1]
        assert late == early


@pytest.mark.slow
def test_the_first_request_is_answered_once_and_its_id_may_be_used_again(tmp_path: Path):
    text = hello() + line(method="notifications/initialized") + line(id=2, method="ping")
    answers = piped(tmp_path, text + call(1, "state_set", namespace="n", key="k", value=1))
    assert answers.keys() == {1, 2}
    assert answers[1]["result"]["structuredContent"]["document"]["version"] == 1


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"\n",
        b"nonsense\n",
        hello()[:-1],
        discover()[:-1],
        discover(more=1),
        discover({**META, "progressToken": 1}),
        discover({**META, "io.modelcontextprotocol/protocolVersion": "2027-01-01"}),
        discover({**META, "io.modelcontextprotocol/clientInfo": {}}),
        discover({**META, "io.modelcontextprotocol/clientCapabilities": {"roots": 1}}),
        discover({}),
        line(id=1, method="server/discover"),
        hello(clientInfo={"name": "t"}),
        hello(clientInfo=None),
        hello(capabilities=[]),
        hello(capabilities={"roots": 1}),
        line(id=1, method="initialize"),
        line(id=1, method="initialize", params=[]),
        line(id=None, method="initialize", params=INITIALIZE),
        line(method="initialize", params=INITIALIZE),
        line(id=1, method="ping", params=INITIALIZE),
        hello().replace(b'"2.0"', b'"1.0"'),
        hello().replace(b'"id"', b'"id": 2, "id"'),
    ],
)
def test_what_is_no_ordinary_handshake_waits_for_the_sdk(chunk: bytes):
    assert answer_to(chunk) is None


@given(st.dictionaries(st.sampled_from(["protocolVersion", "capabilities", "clientInfo", "x"]), JSON))
def test_no_parameters_make_it_fail(params: dict[str, Any]):
    answer = answer_to(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode() + b"\n"
    )
    assert answer is None or answer["id"] == 1
