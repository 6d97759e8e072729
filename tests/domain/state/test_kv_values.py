"""What a KV namespace holds stands in documents, and comes back as it was put."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.state.kv_values import Entry, to_document, to_entry
from mcp_server.kernel.json_text import check_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["$base64", "$value", "$metadata", "a"]), inner),
)
TEXTS = st.text() | VALUES.map(json.dumps) | VALUES.map(lambda value: json.dumps(value, separators=(",", ":")))
CONTENTS = st.binary() | TEXTS.map(lambda text: text.encode("utf-8", "replace"))
METADATA = VALUES.map(lambda value: json.loads(json.dumps(value).encode("utf-8", "replace")))


@given(CONTENTS, st.none() | METADATA)
def test_what_is_put_comes_back_byte_for_byte(content: bytes, metadata: Any):
    try:
        check_json(metadata, "metadata")
    except ValueError:
        metadata = None
    document = to_document(Entry(content, metadata))
    assert to_entry(json.loads(check_json(document, "document"))) == (content, metadata)


@pytest.mark.parametrize(
    ("content", "document"),
    [
        (b'{"a":[1,true,null]}', {"a": [1, True, None]}),
        (b"12", 12),
        (b"null", None),
        (b"plain words", "plain words"),
        (b'"quoted"', '"quoted"'),
        (b'{"a": 1}', '{"a": 1}'),
        (b"\xff\x00", {"$base64": "/wA="}),
        (b"nul\x00", {"$base64": "bnVsAA=="}),
        (b'{"$base64":"aGk="}', '{"$base64":"aGk="}'),
    ],
)
def test_compact_json_is_kept_as_json_other_text_as_text_and_other_bytes_as_base64(content: bytes, document: Any):
    assert to_document(Entry(content)) == document


def test_what_agents_wrote_is_read_as_its_json_and_a_text_as_itself():
    assert to_entry({"a": "é"}) == (b'{"a":"\xc3\xa9"}', None)
    assert to_entry("hello") == (b"hello", None)
    assert to_entry({"$base64": "no base64!"}) == (b'{"$base64":"no base64!"}', None)
    assert to_document(Entry(b"hello", {"m": 1})) == {"$metadata": {"m": 1}, "$value": "hello"}
