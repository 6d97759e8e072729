"""What a KV namespace holds, as documents of state: bytes and metadata on one side, JSON on the other.

Text that is compact JSON is kept as that JSON, so that agents and Workers share plain documents; other text as a JSON
text; other bytes as `{"$base64": ...}`; and with metadata, it stands in `{"$metadata": ..., "$value": ...}`. What is
put comes back byte for byte.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from mcp_server.kernel.json_text import check_text, depth_exceeds, dump_json

METADATA_BYTES_MAX = 1024
_BASE64, _METADATA, _VALUE = "$base64", "$metadata", "$value"
_DEPTH_MAX = 60


class Entry(NamedTuple):
    """What stands under a key.

    Attributes:
        content: the value's bytes.
        metadata: any JSON; None where there is none.
    """

    content: bytes
    metadata: Any = None


def to_document(entry: Entry) -> Any:
    """The document that keeps an entry."""
    if entry.metadata is not None:
        return {_METADATA: entry.metadata} | _unwrapped(entry.content)
    value = _plain(entry.content)
    return {_BASE64: _base64(entry.content)} if value is _NOTHING else value


def to_entry(document: Any) -> Entry:
    """The entry that a document is, whoever wrote it."""
    if isinstance(document, dict):
        members = cast("dict[str, Any]", document)
        content = _wrapped(members)
        if content is not None:
            return Entry(content, members.get(_METADATA))
    return Entry(_written(document))


_NOTHING = object()


def _plain(content: bytes) -> Any:
    """The plain JSON or text that reads back as these bytes, if there is one."""
    try:
        text = content.decode()
        check_text(text)
    except ValueError:
        return _NOTHING
    value = _parsed(text)
    return next((one for one in (value, text) if one is not _NOTHING and to_entry(one) == (content, None)), _NOTHING)


def _parsed(text: str) -> Any:
    """JSON other than a text, where writing it gives the very same text again."""
    try:
        value = json.loads(text)
        if not isinstance(value, str) and not depth_exceeds(value, _DEPTH_MAX) and dump_json(value) == text:
            check_text(dump_json(value))
            return value
    except (ValueError, RecursionError):
        pass
    return _NOTHING


def _unwrapped(content: bytes) -> dict[str, Any]:
    value = _plain(content)
    return {_BASE64: _base64(content)} if value is _NOTHING else {_VALUE: value}


def _wrapped(members: Mapping[str, Any]) -> bytes | None:
    """The bytes in a wrapper of ours; None where it is a document like any other."""
    names = set(members)
    if names == {_METADATA, _VALUE}:
        return _written(members[_VALUE])
    if names <= {_METADATA, _BASE64} and isinstance(members.get(_BASE64), str):
        try:
            return base64.b64decode(members[_BASE64], validate=True)
        except (binascii.Error, ValueError):
            return None
    return None


def _written(value: Any) -> bytes:
    return (value if isinstance(value, str) else dump_json(value)).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
