"""`hook EVENT` and `status`: from what a client sends to what it is answered, the light way."""

from __future__ import annotations

import os
import sys

from mcp_server.hooks.answers import CLIENT, Answer, quiet
from mcp_server.hooks.clients import EVENTS, MOMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

OPTIONS = ("client", "database", "agent", "user", "role", "config", "seconds")
"""What may be said on the command line, each with a value."""

SWITCHES = ("json",)
LIGHT = {"hook": 1, "status": 0, "approvals": 1}
"""The commands, and how many words each takes."""

GIT = "git-pre-commit"


class Line:
    """A command line, understood."""

    __slots__ = ("command", "event", "flags")

    def __init__(self, command: str, event: str | None, flags: dict[str, str]) -> None:
        self.command, self.event, self.flags = command, event, flags


def understood(arguments: Sequence[str]) -> Line | None:
    """The command line, where it is one of these commands and needs no explanation; else click knows more."""
    if not arguments or arguments[0] not in LIGHT:
        return None
    command, rest = arguments[0], iter(arguments[1:])
    words: list[str] = []
    flags: dict[str, str] = {}
    for word in rest:
        if word.startswith("-"):
            name, _, value = word.removeprefix("--").partition("=")
            flags[name] = _value(name, value, rest)
        else:
            words.append(word)
    is_clear = len(words) == LIGHT[command] and "" not in flags.values()
    return _line(command, words, flags) if is_clear else None


def _value(name: str, value: str, rest: Iterator[str]) -> str:
    """What an option says; nothing of one that is for click."""
    if name in OPTIONS:
        return value or next(rest, "")
    return "" if name not in SWITCHES else value or name


def _line(command: str, words: list[str], flags: dict[str, str]) -> Line | None:
    if command == "hook":
        event = moment_of(words[0], flags.get("client", CLIENT))
        return None if event is None else Line(command, event, flags)
    at_terminal = sys.stdout is not None and sys.stdout.isatty()
    for_click = words not in ([], ["list"]) or (command == "approvals" and at_terminal)
    return None if for_click else Line(command, None, flags)


def moment_of(event: str, client: str) -> str | None:
    """What an event is for, however it is written: `PreToolUse`, `pre-tool-use`, or as the client calls it."""
    wanted, own = _plain(event), EVENTS.get(client)
    if own is None:
        return None
    names = {moment: (moment, name, own.get(moment, name)) for moment, name in MOMENTS.items()}
    known = {_plain(name): moment for moment, same in names.items() for name in same}
    return GIT if wanted == _plain(GIT) else known.get(wanted)


def run(line: Line) -> int | None:
    """Answer, and say with which exit code; None where the command itself knows more. Whatever goes wrong here stops
    nobody's work."""
    try:
        answer = _answer(line)
    except Exception as error:
        answer = quiet(line.flags)
        answer.err = f"data-mcp-server-agent: {_reason(error)}\n"
        answer.code = int(line.command == "status")  # a script wants to know
    if answer is None:
        return None
    told = [_tell(stream, text) for stream, text in ((sys.stdout, answer.out), (sys.stderr, answer.err)) if text]
    return answer.code or int(not all(told) and line.command != "hook")


def _tell(stream: TextIO | None, text: str) -> bool:
    """Say it, and whether that could be done: a stream may be closed from the start, its reader may have gone away,
    the disk may be full."""
    if stream is None:
        return False
    try:
        stream.buffer.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else Python tries once more when it ends
        return False
    return True


def _answer(line: Line) -> Answer | None:
    if line.command == "approvals":
        from mcp_server.hooks.listing import listed

        return listed(line.flags)
    if line.event == GIT:
        from mcp_server.hooks.git import guarded

        return guarded(line.flags)
    if line.command == "status":
        from mcp_server.hooks.status import status

        return status(line.flags)
    from mcp_server.hooks.events import answered

    return answered(line.event or "", line.flags, _stdin(), os.environ)


def _stdin() -> bytes:
    from mcp_server.hooks.asked import BYTES_MAX

    return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(BYTES_MAX + 1)


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isalnum()).lower()


def _reason(error: Exception) -> str:
    from mcp_server.kernel.lines import one_line

    kind = "" if type(error).__module__.startswith("mcp_server.") else f"{type(error).__name__}: "
    return one_line(f"{kind}{error}", 500)
