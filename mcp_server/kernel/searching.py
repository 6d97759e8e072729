"""By what text things are found: case folded for every script, accents as typed, the same on both engines.

Text is folded here alone, when it is written and when it is looked for; the engines compare what is stored.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_text
from mcp_server.kernel.meaning import Meant

SOUGHT_CHARACTERS_MAX = 1000
MARKS = 16
"""In a row on one letter: more than anybody writes. `normalize` sorts marks, which takes as long as their square."""
_JOINER = "\u034f"
"""Is seen by nobody, and marks are not sorted across it (UAX #15, stream-safe text)."""
_TWO_MARKS = {"\u0f73": "\u0f71\u0f72", "\u0f75": "\u0f71\u0f74", "\u0f81": "\u0f71\u0f80"}
"""What NFC makes of the only letters that are marks, and not by their class."""
TRIGRAM = 3
TRIGRAMS_MAX = 32
"""Of a long needle so many parts are looked up; whether it stands there whole is seen afterwards anyway."""


def _sought(text: str) -> str:
    check_text(text)
    if len(text) > SOUGHT_CHARACTERS_MAX:
        raise ValidationFailed(
            f"has {len(text):,} characters, and what is searched for has at most {SOUGHT_CHARACTERS_MAX:,}"
        )
    return text


Sought = Annotated[
    str,
    AfterValidator(_sought),
    Meant(f"text of up to {SOUGHT_CHARACTERS_MAX:,} characters", "budget"),
]
"""What a list is narrowed by, where that is text."""


def fold(text: str) -> str:
    """Text without its case: `ÄPFEL` is `äpfel`, `ß` is `ss`. An accent stays what it is, however it is encoded (NFC).
    What JSON may hold and an engine may not, NUL, becomes U+FFFD."""
    if text.isascii():
        return text.lower().replace("\0", "\ufffd")
    folded = _composed(_composed(text).casefold())
    return folded.replace("\0", "\ufffd")


def _composed(text: str) -> str:
    """The text in NFC, in time that is linear in its length."""
    text = _replaced(text, _TWO_MARKS)
    crowds = filter(partial(_is_crowd, text), range(0, len(text) - MARKS + 1, MARKS))
    pieces = [text[begins:ends] for begins, ends in pairwise((0, *crowds, len(text)))]
    return unicodedata.normalize("NFC", _JOINER.join(pieces))


def _is_crowd(text: str, place: int) -> bool:
    """Whether nothing but marks stands there."""
    marked = unicodedata.combining
    return marked(text[place]) > 0 and all(map(marked, text[place : place + MARKS]))


def lower_ascii(text: str) -> str:
    """Text as the engines' `lower` leaves it, which on both knows ASCII alone."""
    return text.encode().lower().decode()


def fold_words(row: Mapping[str, Any], columns: tuple[str, ...], json: Collection[str] = ()) -> str:
    """The folded text of a row, a column after the other; of those that hold JSON, what it says."""
    if not json:
        return fold("\n".join([row[name] for name in columns]))
    return "\n".join([fold_json(row[name]) if name in json else fold(row[name]) for name in columns])


def fold_json(text: str) -> str:
    """The folded text of a JSON value: what it says, not how JSON writes it. Each member and each item is a line,
    `name: value`; numbers stand as they were written.

    Done on the text as a whole, as it is stored: to parse it and to walk through it takes some times as long, and every
    write would.
    """
    is_escaped = "\\" in text
    if is_escaped:
        text = text.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
    parts = text.split('"')  # what stands between strings, and strings, in turn
    parts[::2] = _replaced('"'.join(parts[::2]), _BETWEEN).split('"')
    said = "".join(parts)
    return fold(_unescaped(said) if is_escaped else said)


_BACKSLASH, _QUOTE = "\ud800", "\ud801"
"""Stand for what is escaped by a backslash while strings are taken apart: no text that is stored holds half a pair."""
_BETWEEN = {**dict.fromkeys("[]{} \t\r\n", ""), ",": "\n", ":": ": "}
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\/": "/"}
_BY_NUMBER = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def _replaced(text: str, by: Mapping[str, str]) -> str:
    """Several replacements, one after the other: for some of a few characters that is the fastest way."""
    for what, instead in by.items():
        text = text.replace(what, instead)
    return text


def _unescaped(said: str) -> str:
    """Every backslash that is left begins an escape; those that were escaped come back last."""
    said = _replaced(said, _ESCAPES)
    if "\\u" in said:
        said = _BY_NUMBER.sub(lambda found: json.loads(f'"{found[0]}"'), said)
    return said.replace(_QUOTE, '"').replace(_BACKSLASH, "\\")


def trigrams(folded: str) -> list[str]:
    """What a text that holds this one holds of three characters each: every second part and the last, as each that is
    asked for costs an index as much again; fewer where there are many, none where it is shorter."""
    last = len(folded) - TRIGRAM
    places = (*range(0, last, 2), *range(max(last, 0), last + 1))
    found = list(dict.fromkeys(folded[place : place + TRIGRAM] for place in places))
    step = -(-len(found) // TRIGRAMS_MAX) or 1
    return found[::step]
