"""Taking secrets out of what programs and servers say."""

import json
from collections.abc import Iterable, Iterator

CHARACTERS_MIN = 4
"""What is shorter, a secret or what a cut has left of one, is not told apart from other text."""


def without(text: str, secrets: Iterable[tuple[str, str]]) -> str:
    """A text in which each secret is its name in brackets: also as it looks inside JSON, and where the text begins or
    ends in the midst of it.

    Args:
        text: what something said.
        secrets: each by a name that may be seen, and its value.
    """
    for name, value in _looks(secrets):
        text = _cut_ends(text.replace(value, f"[{name}]"), name, value)
    return text


def _looks(secrets: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each secret as it may look, the longest first: one may be part of another."""
    long = [(name, value) for name, value in secrets if len(value) >= CHARACTERS_MIN]
    looks = {(name, look) for name, value in long for look in (value, *_inside_json(value))}
    return sorted(looks, key=lambda one: (-len(one[1]), one))


def _inside_json(value: str) -> tuple[str, str]:
    return json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]


def _cut_ends(text: str, name: str, value: str) -> str:
    for size in _sizes(value):
        if text.endswith(value[:size]):
            text = f"{text[:-size]}[{name}]"
        if text.startswith(value[-size:]):
            text = f"[{name}]{text[size:]}"
    return text


def _sizes(value: str) -> Iterator[int]:
    return iter(range(len(value) - 1, CHARACTERS_MIN - 1, -1))
