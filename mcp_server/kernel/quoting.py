"""Text of others inside the server's own words: always in quotes, on the same line, and never mistaken for them."""

import json
from typing import Any, cast

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import OTHERS_WORDS, QUOTED_CHARACTERS_MAX, is_word, named, one_line, quoted

__all__ = ["OTHERS_WORDS", "QUOTED_CHARACTERS_MAX", "named", "quoted", "shown_json", "told"]


def is_plain(value: Any) -> bool:
    """Whether JSON values hold no text but plain words, such as ids, names and times: nothing that says anything."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return all(map(is_plain, members)) and all(map(is_plain, members.values()))
    if isinstance(value, list):
        return all(map(is_plain, cast("list[Any]", value)))
    return not isinstance(value, str) or value == "" or is_word(value)


def shown_json(text: str) -> str:
    r"""JSON text as a model reads it: what shows nothing, or moves the text around it, is escaped as `\uXXXX`.
    Its value stays the same."""
    if text.isascii() and text.isprintable():
        return text
    hidden = {
        ord(character): json.dumps(character)[1:-1] for character in set(text) if one_line(character) != character
    }
    return text.translate(hidden) if hidden else text


def told(sentence: str, content: Any, *, others: bool = True) -> str:
    """What a model reads of a result: a sentence of the server's, then the whole as JSON on one line.

    Args:
        sentence: of the server's.
        content: JSON values.
        others: whether they may hold what others wrote; where they then hold more than plain words, a sentence before
            them says so.
    """
    fence = f"{OTHERS_WORDS}\n" if others and not is_plain(content) else ""
    return f"{one_line(sentence)}\n{fence}{shown_json(dump_json(content))}"
