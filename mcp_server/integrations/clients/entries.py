"""What an entry says: the command that starts our server, in a client's own words; and whether one is ours."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath, PureWindowsPath
from typing import Any, NamedTuple

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
    program, *arguments = started.argv
    said: dict[str, Any] = {} if shape.named is None else {shape.named: name}
    said |= {key: list(value) if isinstance(value, tuple) else value for key, value in shape.fixed.items()}
    said |= {shape.command: list(started.argv)} if shape.args is None else {shape.command: program}
    said |= {} if shape.args is None else {shape.args: arguments}
    return said | {shape.env: dict(started.env)}


def started_by(shape: Shape, entry: Mapping[str, Any]) -> Started:
    """What an entry starts; what it says in another form than the client's counts as not said."""
    command, arguments = entry.get(shape.command), [] if shape.args is None else entry.get(shape.args)
    argv = [*(command if isinstance(command, list) else [command]), *(arguments if isinstance(arguments, list) else [])]
    env = entry.get(shape.env)
    return Started(
        tuple(one for one in argv if isinstance(one, str)),
        {str(key): str(value) for key, value in env.items()} if isinstance(env, dict) else {},
    )


def is_ours(shape: Shape, entry: Mapping[str, Any]) -> bool:
    """Whether an entry starts our server."""
    return _place_of_program(started_by(shape, entry).argv) is not None


def our_name(client: Client, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of our entry among a client's: a person may have called it otherwise."""
    ours = [name for name, entry in entries.items() if is_ours(client.shape, entry)]
    return NAME if NAME in ours or not ours else ours[0]


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
    place = _place_of_program(now.argv)
    argv = (*wanted.argv, *(() if place is None else now.argv[place + 1 :]))
    env = {**now.env, **wanted.env}
    if keep and AGENT in now.env:
        env[AGENT] = now.env[AGENT]
    new = entry_of(shape, name, Started(argv, env))
    return {**entry, **{key: new[key] for key in (shape.command, shape.args, shape.env) if key is not None}}


def _place_of_program(argv: Sequence[str]) -> int | None:
    """Where our program stands in a command; behind it stand its own arguments."""
    for number, word in enumerate(argv):
        if _is_program(word) and argv[number - 1 : number] != ("--from",):
            return number
        if word == "mcp_server" and number and argv[number - 1] == "-m":
            return number
    return None


def _is_program(word: str) -> bool:
    """Whether a word is our program: `data-mcp-server-agent`, with a path, a version or `.exe`."""
    last = (PureWindowsPath(word) if "\\" in word else PurePath(word)).name
    return last.removesuffix(".exe").partition("@")[0].partition("=")[0] == PROGRAM
