"""References among several calls: `@1.0` is the first thing that the second call makes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.quoting import named

REFERENCE = re.compile(r"@(\d{1,2})\.(\d{1,3})")
_ELSEWHERE = re.compile(
    r"[$@#{<\[(]+\s*(?:(?:calls|results|steps?|call|result)[.\[_]?)?(\d{1,2})\s*[}\])]*"
    r"(?:(?:[.\[]+(?:tasks|results?|id|task_id)\]?)+|[.\[]+(\d{1,3})\]?)*\s*[}>\])]*",
    re.IGNORECASE,
)
"""How a reference is written elsewhere: `$0.tasks[0].id`, `{{0.tasks.0.id}}`, `@{0.0}`, `${calls[0].id}`."""
_HALF = re.compile(r"@(\d{1,2})(?:$|[.\[])")
_IN_WORDS = re.compile(r"(?<![\w@.])@(\d{1,2})(?:\.(\d{1,3})(?![\w.]*\w@)\b|(?:\.[a-z_]+|\[0\])+)")
_THE_ONLY = re.compile(r"@(\d{1,2})(?:(?:\.[a-z_]+|\[0\])+)?")


def call_meant(text: str) -> int | None:
    """The number of the call of which `@0`, `@0.id` or `@0.tasks[0].id` can only mean the one thing that it makes;
    None for anything else."""
    match = _THE_ONLY.fullmatch(text)
    return None if match is None else int(match[1])


def require_no_half_reference(text: str) -> None:
    """Refuse what looks like a reference and is none: no id and no name begins so.

    Raises:
        ValidationFailed: it says how one is written.
    """
    match = _HALF.match(text)
    if match is not None:
        raise ValidationFailed(
            f"{named(text)} names nothing: a reference says which call, and which thing that it makes.",
            next=f"Write @{match[1]}.0 for the first thing that call {match[1]} makes; both count from 0.",
        )


def meant_by(text: str) -> str | None:
    """The reference that one is meant to be which is written as elsewhere; None of a task of the same call, and of what
    is none."""
    match = None if text.startswith("#") and text[1:].isdigit() else _ELSEWHERE.fullmatch(text.strip())
    return None if match is None else f"@{match[1]}.{match[2] or 0}"


def unread(call: str, arguments: Mapping[str, Any], made: Sequence[Sequence[str]]) -> list[str]:
    """What is said of references that stand where no id does, alone or among words.

    Args:
        call: which one it is, for who reads this.
        arguments: of that call.
        made: for each call before, ids that stand for what it will make.
    """
    return [
        f"{call}: {text} in {path} is kept as text; a reference counts only where an id stands. Where the id was "
        "meant, write it there with a call after these, which tell it."
        for path, whole in _texts(arguments, "")
        for text in dict.fromkeys(_references_in(whole, made))
    ]


def require_none_sent(call: str, arguments: Mapping[str, Any], made: Sequence[Sequence[str]]) -> None:
    """Refuse to send words that name what calls before make: a mail or a message is not called back, and its readers
    could do nothing with a reference.

    Raises:
        ValidationFailed: naming each, and how to write what is meant.
    """
    found = {text: path for path, whole in _texts(arguments, "") for text in _made_in(whole, made)}
    if found:
        places = ", ".join(f"{text} in {path}" for text, path in found.items())
        raise ValidationFailed(
            f"{call}: {places} would be read as it stands: among words nothing is filled in.",
            next="Make the calls before this one first, and send this afterwards with the ids that they tell. Where "
            "the text itself is meant, send it by a call of its own.",
        )


def _made_in(text: str, made: Sequence[Sequence[str]]) -> list[str]:
    """Those that name something that will be there."""
    return [one for one in _references_in(text, made) if _names_some(one, made)]


def _names_some(reference: str, made: Sequence[Sequence[str]]) -> bool:
    match = REFERENCE.fullmatch(reference)
    return match is None or _is_made(made, int(match[1]), int(match[2]))


def _references_in(text: str, made: Sequence[Sequence[str]]) -> list[str]:
    """What would be references if ids stood there. Among words, what names nothing that there will be is none."""
    if REFERENCE.fullmatch(text):
        return [text]
    return [one[0] for one in _IN_WORDS.finditer(text) if _is_made(made, int(one[1]), int(one[2] or 0))]


def _is_made(made: Sequence[Sequence[str]], number: int, which: int) -> bool:
    return number < len(made) and which < len(made[number])


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text inside of JSON values, and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in cast("dict[str, Any]", value).items():
            yield from _texts(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield from _texts(item, f"{path}[{number}]")
