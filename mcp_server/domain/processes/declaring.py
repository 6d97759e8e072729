"""What no system takes of a command as an operator declares it, in words: found at the start, not when it is to run."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mcp_server.kernel.quoting import named

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def wrong_words(argv: Sequence[str]) -> list[str]:
    """What is wrong with a program and its arguments."""
    found = [] if argv[0] else ["its program has no name"]
    return found + (["a word of its command holds a NUL"] if any("\0" in word for word in argv) else [])


def wrong_variables(env: Mapping[str, str]) -> list[str]:
    """What is wrong with variables, each a text or a reference `env:NAME` or `file:PATH`."""
    strange = [name for name, value in env.items() if not name or "=" in name or "\0" in name + value]
    empty = [name for name, value in env.items() if value in ("env:", "file:")]
    return [
        *(f"{named(name)} in its env is no variable that a program can have" for name in strange),
        *(f"{named(name)} in its env refers to nothing" for name in empty),
    ]


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
