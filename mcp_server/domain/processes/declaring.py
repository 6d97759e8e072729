"""What no system takes of a command as an operator declares it, in words: found at the start, not when it is to run."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mcp_server.kernel.quoting import named

_NAME = re.compile(r"[^=\0]+")
"""Of a variable, as systems take it."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def wrong_words(argv: Sequence[str]) -> list[str]:
    """What is wrong with a program and its arguments."""
    found = [] if argv[0] else ["its program has no name"]
    return [*found, "a word of its command holds a NUL"] if "\0" in "".join(argv) else found


def wrong_variables(env: Mapping[str, str]) -> list[str]:
    """What is wrong with variables, each a text or a reference `env:NAME` or `file:PATH`."""
    found = ((name, _wrong_variable(name, value)) for name, value in env.items())
    return [f"{named(name)} in its env {why}" for name, why in found if why]


def _wrong_variable(name: str, value: str) -> str | None:
    if _NAME.fullmatch(name) is None or "\0" in value:
        return "is no variable that a program can have"
    return "refers to nothing" if value in ("env:", "file:") else None


def wrong_pattern(text: str) -> list[str]:
    """What is wrong with the pattern that values have to match."""
    try:
        re.compile(text)
    except re.error as error:
        return [f"its pattern is no regular expression: {error}"]
    return []


def wrong_secrets(names: Iterable[str]) -> list[str]:
    """What is wrong with the names of variables in which secrets are handed over."""
    return [f"its secret {name} is no name of a variable" for name in names if _VARIABLE.fullmatch(name) is None]
