"""The configuration of workerd: whatever others named or wrote is data in it."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.integrations.workers.capnp import Backend, config, data, literal
from mcp_server.integrations.workers.model import Worker
from mcp_server.kernel.errors import ValidationFailed

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


def worker(**more: Any) -> Worker:
    said = {
        "name": "site",
        "modules": {"w.js": "export default {}"},
        "main": "w.js",
        "compatibility_date": "2026-01-01",
    }
    return Worker.model_validate(said | more)


def read(text: str) -> str:
    """A literal of Cap'n Proto as its own lexer reads it."""
    assert text[0] == text[-1] == '"'
    out, at, inner = "", 0, text[1:-1]
    while at < len(inner):
        if inner[at] == "\\":
            kind = inner[at + 1]
            out += (
                chr(int(inner[at + 2 : at + 4], 16))
                if kind == "x"
                else {"n": "\n", "r": "\r", "t": "\t"}.get(kind, kind)
            )
            at += 4 if kind == "x" else 2
        else:
            assert (inner[at] != '"' and inner[at].isprintable()) or ord(inner[at]) > 127
            out, at = out + inner[at], at + 1
    return out


@given(TEXTS)
def test_any_text_is_one_literal_that_reads_back_as_that_text(text: str):
    assert read(literal(text)) == text
    assert "\n" not in literal(text)


@given(st.binary())
def test_any_bytes_are_one_literal(content: bytes):
    assert bytes.fromhex(re.fullmatch(r'0x"([0-9a-f ]*)"', data(content))[1]) == content  # type: ignore[index]


@given(TEXTS, TEXTS)
def test_what_others_wrote_adds_nothing_to_the_configuration(value: str, source: str):
    plain = config(worker(vars={"A": "x", "B": ["x"]}, modules={"w.js": "x"}), None)
    hostile = config(worker(vars={"A": value, "B": [value]}, modules={"w.js": source}), None)
    strings = re.compile(r'"(?:[^"\\]|\\.)*"')
    assert strings.sub('""', hostile) == strings.sub('""', plain)


def test_what_workerd_alone_cannot_serve_is_refused_each_by_name():
    bound = {
        "d1": [{"binding": "DB", "id": "1"}],
        "crons": ["* * * * *"],
        "beyond": {"JOBS": "queue"},
        "kv": [{"binding": "CACHE", "id": "abc"}],
        "assets": {"files": {"/a": "b"}},
    }
    with pytest.raises(ValidationFailed) as caught:
        config(worker(**bound), None)
    for named in ("D1 database DB", "cron trigger", "* * * * *", "queue JOBS", "KV namespace CACHE", "assets"):
        assert named in str(caught.value)
    assert len(caught.value.details["unsupported"]) == 5


def test_each_kv_binding_has_a_service_with_its_own_token_and_secrets_are_named_alone():
    text = config(
        worker(kv=[{"binding": "A", "namespace": "a"}, {"binding": "B", "namespace": "b"}], secrets=["KEY"]),
        Backend("127.0.0.1:9", {"A": "token-a", "B": "token-b"}),
    )
    assert text.count('value = "Bearer token-a"') == text.count('value = "Bearer token-b"') == 1
    assert '(name = "KEY", fromEnvironment = "DATAMCP_WORKER_SECRET_KEY")' in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"main": "other.js"},
        {"modules": {"../w.js": "x"}, "main": "../w.js"},
        {"modules": {"/w.js": "x"}, "main": "/w.js"},
        {"modules": {"w.js": {"base64": "!"}}},
        {"modules": {"w.js": {"base64": "/w=="}}},
        {"vars": {"A": "x"}, "secrets": ["A"]},
        {"vars": {"a b": "x"}},
        {"vars": {"A": float("nan")}},
        {"name": "Site"},
    ],
)
def test_what_makes_no_worker_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError):
        worker(**wrong)
