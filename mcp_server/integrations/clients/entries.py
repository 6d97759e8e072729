"""What an entry says: the command that starts our server, in a client's own words; and whether one is ours."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath, PureWindowsPath
from typing import Any, NamedTuple, cast

from mcp_server.integrations.clients.records import Client, Shape

PROGRAM = "data-mcp-server-agent"
NAME = "desk"
"""Under which our server stands in a client's file."""
AGENT, DATABASE = "DATAMCP_AGENT", "DATAMCP_DATABASE"


class Started(NamedTuple):
    """What a client starts: the program with its arguments, and the variables that the entry sets."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


def entry_of(shape: Shape, name: str, started: Started) -> dict[str, Any]:
    """A new entry."""
    return {**shape.called(name), **shape.fixed, **shape.saying(started.argv), shape.env: dict(started.env)}


def started_by(shape: Shape, entry: Mapping[str, Any]) -> Started:
    """What an entry starts; what it says in another form than the client's counts as not said."""
    argv = [*_listed(entry.get(shape.command)), *_listed(entry.get(shape.args or ""))]
    env = entry.get(shape.env)
    variables = cast("dict[Any, Any]", env) if isinstance(env, dict) else {}
    return Started(tuple(argv), {str(key): str(value) for key, value in variables.items()})


def _listed(value: Any) -> list[str]:
    """The texts among what may be a list, or one text."""
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def is_ours(shape: Shape, entry: Mapping[str, Any]) -> bool:
    """Whether an entry starts our server."""
    return _place_of_program(started_by(shape, entry).argv) is not None


def our_name(client: Client, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of our entry among a client's: a person may have called it otherwise."""
    ours = [name for name, entry in entries.items() if is_ours(client.shape, entry)]
    return NAME if NAME in ours else next(iter(ours), NAME)


def renewed(shape: Shape, name: str, entry: Mapping[str, Any] | None, wanted: Started, *, keep: bool) -> dict[str, Any]:
    """Our entry as it should be. What a person added stays: fields, variables, arguments of the server.

    Args:
        shape: of the client's entries.
        name: of the entry.
        entry: as it is, if it is there.
        wanted: what it should start.
        keep: whether the agent that it names stays, too.
    """
    if entry is None:
        return entry_of(shape, name, wanted)
    now = started_by(shape, entry)
    env = {**now.env, **wanted.env, **(_agent(now) if keep else {})}
    said = Started((*wanted.argv, *_own_arguments(now.argv)), env)
    return {**entry, **shape.saying(said.argv), shape.env: env}


def _agent(started: Started) -> dict[str, str]:
    return {AGENT: started.env[AGENT]} if AGENT in started.env else {}


def _own_arguments(argv: Sequence[str]) -> Sequence[str]:
    """What stands behind our program: its own arguments."""
    place = _place_of_program(argv)
    return () if place is None else argv[place + 1 :]


def _place_of_program(argv: Sequence[str]) -> int | None:
    """Where our program stands in a command."""
    places = (number for number, words in enumerate(pairwise(("", *argv))) if _starts_ours(*words))
    return next(places, None)


def _starts_ours(before: str, word: str) -> bool:
    return (before, word) == ("-m", "mcp_server") or (before != "--from" and _is_program(word))


def _is_program(word: str) -> bool:
    """Whether a word is our program: `data-mcp-server-agent`, with a path, a version or `.exe`."""
    last = (PureWindowsPath(word) if "\\" in word else PurePath(word)).name
    return last.removesuffix(".exe").partition("@")[0].partition("=")[0] == PROGRAM
