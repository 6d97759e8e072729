"""Text of others inside the server's own words: always in quotes, on the same line, and never mistaken for them."""

import json
from typing import Any, cast

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import OTHERS_WORDS, QUOTED_CHARACTERS_MAX, is_word, named, one_line, quoted

__all__ = ["OTHERS_WORDS", "QUOTED_CHARACTERS_MAX", "named", "quoted", "shown_json", "told"]


_REMARKS = frozenset(("warnings", "hint", "no_more_because"))
"""Members of results that are sentences of the server's."""


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


def without_said(sentence: str, content: dict[str, Any]) -> dict[str, Any]:
    """A result without the remarks that the sentence before it makes word for word, nor those of the thing in it."""
    left = {name: value for name, value in content.items() if name not in _REMARKS or not _is_said(value, sentence)}
    things = {name: cast("dict[str, Any]", value) for name, value in left.items() if isinstance(value, dict)}
    return left | {name: without_said(sentence, thing) for name, thing in things.items() if thing.keys() & _REMARKS}


def _is_said(remarks: Any, sentence: str) -> bool:
    each = cast("list[Any]", remarks) if isinstance(remarks, list) else [remarks]
    return all(isinstance(one, str) and one in sentence for one in each)


def told(sentence: str, content: Any, *, others: bool = True) -> str:
    """What a model reads of a result: a sentence of the server's, then what more there is as JSON on one line.

    Args:
        sentence: of the server's.
        content: JSON values.
        others: whether they may hold what others wrote; where they then hold more than plain words, a sentence before
            them says so.
    """
    if content == {}:
        return one_line(sentence)
    fence = f"{OTHERS_WORDS}\n" if others and not is_plain(content) else ""
    return f"{one_line(sentence)}\n{fence}{shown_json(dump_json(content))}"
