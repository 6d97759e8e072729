"""Strict JSON at the door."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.json_text import dump_json
from mcp_server.protocol.stdio import message_of
from mcp_server.protocol.wire import WireError, is_id, parse, request_id

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.booleans())
def test_whatever_is_json_comes_through_as_it_is(message: dict, ascii_only: bool):
    try:
        data = json.dumps(message, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    try:
        assert parse(data) == message
    except WireError as error:
        assert "surrogate" in error.message


@given(st.integers() | st.text(st.characters(codec="utf-8")), JSON, st.sampled_from(["{", "[", '"\\', "nul", "}"]))
def test_the_id_of_a_broken_message_is_still_found(given_id, value, broken: str):
    text = json.dumps({"method": "m", "params": {"id": "wrong", "value": value}, "id": given_id})[:-1]
    assert request_id(f'{text}, "x": {broken}') == given_id


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"id":1,"a":{"k":1,"k":2}}', '"k" stands twice'),
        (b'{"id":1,"a":NaN}', "NaN"),
        (b'{"id":1,"a":-1e999}', "-1e999 is too large"),
        (b'{"id":1,"a":"\\ud800"}', "U+D800"),
        (b'{"id":1,"a":' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"id":1,"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
        (b'{"id":1,"a":', "not JSON"),
    ],
    ids=["a key twice", "NaN", "infinite", "surrogate", "digits", "depth", "cut off"],
)
def test_a_refusal_belongs_to_its_request_and_says_why(data: bytes, says: str):
    with pytest.raises(WireError) as refused:
        parse(data)
    assert refused.value.request_id == 1
    assert says in refused.value.message
    assert refused.value.answer["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("data", "code"), [(b"\xff", -32700), (b"[]", -32600), (b"7", -32600), (b"", -32700), (b'{"id":{},"a":', -32700)]
)
def test_what_has_no_id_is_answered_without_one(data: bytes, code: int):
    with pytest.raises(WireError) as refused:
        parse(data)
    assert (refused.value.request_id, refused.value.code) == (None, code)


@pytest.mark.parametrize(("given", "echoed"), [(None, None), (True, None), (1.5, 1.5), ([1], None), ({}, None)])
def test_an_id_that_is_neither_text_nor_a_whole_number_is_answered_instead_of_passed_over(given: Any, echoed: Any):
    with pytest.raises(WireError, match="text or a whole number") as refused:
        parse(json.dumps({"jsonrpc": "2.0", "id": given, "method": "ping"}).encode())
    assert refused.value.answer["id"] == echoed and refused.value.code == -32600


@pytest.mark.parametrize("given", ["", "a", 0, -1, 10**30])
def test_any_text_or_whole_number_is_an_id(given: Any):
    assert parse(json.dumps({"jsonrpc": "2.0", "id": given, "method": "ping"}).encode())["id"] == given


ODD = (
    "1e999",
    "-1e999",
    '"\\ud800"',
    "1.5",
    "true",
    "null",
    "[1]",
    "9" * 5000,
    "9" * 4000,
    '"\\u0000"',
    "NaN",
    "-0",
    "2e2",
)
SENT = st.builds(
    '{{"jsonrpc":{},"id":{},{}:{},"params":{}}}'.format,
    st.sampled_from(['"2.0"', '"1.0"', "2"]),
    st.sampled_from(ODD) | JSON.map(json.dumps),
    st.sampled_from(['"method"', '"result"', '"error"']),
    st.sampled_from(['"ping"', "{}", *ODD]),
    JSON.map(json.dumps) | st.sampled_from(ODD),
)


@given(st.binary() | SENT.map(str.encode) | st.builds(lambda text, cut: text[:cut].encode(), SENT, st.integers(0, 60)))
def test_every_line_is_a_message_or_is_answered(line: bytes):
    try:
        told = message_of(line).model_dump_json(by_alias=True)
    except WireError as error:
        told = dump_json(error.answer)
        assert is_id(error.request_id) or isinstance(error.request_id, float) or error.request_id is None
    assert json.loads(told.encode())


def test_a_byte_order_mark_in_front_of_a_message_is_no_part_of_it():
    assert parse(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}')["id"] == 1


HOSTILE = {
    "escaped quotes without an end": lambda n: b'{"a":"' + b'\\"' * n,
    "quotes": lambda n: b'"' * n,
    "backslashes": lambda n: b'{"a":"' + b"\\" * n,
    "a key twice among many": lambda n: ("{" + "".join(f'"k{i}":1,' for i in range(n)) + f'"k{n - 1}":2}}').encode(),
    "objects without an end": lambda n: b'{"a":' * n,
    "lists without an end": lambda n: b"[" * n,
    "white space": lambda n: b"{" + b" " * n + b"x",
    "punctuation": lambda n: b"{" + b":," * n,
    "surrogates": lambda n: b'{"a":"' + b"\\ud83d\\ude00" * n + b'"}',
    "digits": lambda n: b'{"a":' + b"1" * n + b"}",
    "literals": lambda n: b"{" + b"nul " * n,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_refusal_costs_no_more_than_the_length_of_what_is_refused(kind: str):
    """Eight times the length costs about eight times as much; a square would cost 64 times, and far more than this."""

    def seconds(length: int) -> float:
        data, started = HOSTILE[kind](length), time.process_time()
        with contextlib.suppress(WireError):
            parse(data)
        return time.process_time() - started

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(3)) < 30 * small + 0.2
