"""Compact history: one text as its difference from another, exact to the character.

A delta is JSON: a list of pieces, `[start, length]` for what is copied from the base (in characters) and a string for
what is not there. It is found in one pass over the parts between commas, which is where JSON documents change.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mcp_server.kernel.json_text import dump_json

WORTHWHILE_BYTES_MIN = 1024
"""Smaller texts are kept whole: the row costs as much as they do."""

KEYFRAME_EVERY = 64
"""Every so many versions one stays whole, so that reading an old one costs the same however long the history is."""


def encode(text: str, base: str) -> str | None:
    """The delta that makes `text` from `base`; None where it would save less than half."""
    pieces: list[list[int] | str] = []
    base_parts = base.split(",")
    offsets = _offsets(base_parts)
    places = {part: number for number, part in reversed(list(enumerate(base_parts)))}
    follows = -1
    for part in text.split(","):
        number = follows if follows < len(base_parts) and base_parts[follows] == part else places.get(part)
        if number is None:
            _add_text(pieces, part)
            follows = len(base_parts)
        else:
            _add_copy(pieces, offsets[number], len(part))
            follows = number + 1
    delta = dump_json(pieces)
    return delta if len(delta) * 2 <= len(text) else None


def decode(delta: str, base: str) -> str:
    """The text that a delta makes from its base."""
    pieces: list[list[int] | str] = json.loads(delta)
    return ",".join(piece if isinstance(piece, str) else base[piece[0] : piece[0] + piece[1]] for piece in pieces)


def rebuild(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """The oldest of several successive versions, in ascending order, from the first whole one and the deltas below it.

    Returns:
        Its text; None where no row is whole.
    """
    deltas: list[str] = []
    for row in rows:
        if row["value"] is not None:
            text: str = row["value"]
            for delta in reversed(deltas):
                text = decode(delta, text)
            return text
        deltas.append(row["delta"])
    return None


def _offsets(parts: list[str]) -> list[int]:
    offsets, at = list[int](), 0
    for part in parts:
        offsets.append(at)
        at += len(part) + 1
    return offsets


def _add_copy(pieces: list[list[int] | str], start: int, length: int) -> None:
    """Copy a part; one that stands right behind the last copy lengthens it by itself and its comma."""
    last = pieces[-1] if pieces else None
    if isinstance(last, list) and last[0] + last[1] + 1 == start:
        last[1] += 1 + length
    else:
        pieces.append([start, length])


def _add_text(pieces: list[list[int] | str], part: str) -> None:
    if pieces and isinstance(pieces[-1], str):
        pieces[-1] += "," + part
    else:
        pieces.append(part)
