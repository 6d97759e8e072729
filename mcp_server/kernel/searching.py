"""By what text things are found: case folded for every script, accents as typed, the same on both engines.

Text is folded here alone, when it is written and when it is looked for; the engines compare what is stored.
"""

import json
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import AfterValidator

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_text
from mcp_server.kernel.meaning import Meant

SOUGHT_CHARACTERS_MAX = 1000
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
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return folded.replace("\0", "\ufffd")


def lower_ascii(text: str) -> str:
    """Text as the engines' `lower` leaves it, which on both knows ASCII alone."""
    return text.encode().lower().decode()


def fold_words(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """The folded text of a row, a column after the other."""
    return fold("\n".join([row[name] for name in columns]))


def fold_json(text: str) -> str:
    """The folded text of a JSON value: what it says, not how JSON writes it. Each member and each item is a line,
    `name: value`; numbers stand as they were written."""
    value = json.loads(text, parse_int=str, parse_float=str)
    return fold("\n".join(_lines(value)))


def _lines(value: Any) -> list[str]:
    lines: list[str] = []
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        name, one = left.pop()
        if not isinstance(one, dict | list):
            said = one if isinstance(one, str) else _CONSTANTS[one]
            lines.append(f"{name}: {said}" if name else said)
            continue
        if name:
            lines.append(name)
        if isinstance(one, dict):
            left += reversed(cast("dict[str, Any]", one).items())
        else:
            left += [("", item) for item in reversed(cast("list[Any]", one))]
    return lines


_CONSTANTS: Mapping[Any, str] = {None: "null", True: "true", False: "false"}


def trigrams(folded: str) -> list[str]:
    """What a text that holds this one holds of three characters each, some of them where there are many; none where it
    is shorter."""
    found = list(dict.fromkeys(folded[place : place + TRIGRAM] for place in range(len(folded) - TRIGRAM + 1)))
    step = -(-len(found) // TRIGRAMS_MAX) or 1
    return found[::step]
