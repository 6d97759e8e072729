"""`hook EVENT` and `status`: from what a client sends to what it is answered, the light way."""

from __future__ import annotations

import os
import sys

from mcp_server.hooks.answers import CLIENT, Answer, quiet
from mcp_server.hooks.clients import EVENTS, MOMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = iter(arguments[1:])
    for word in rest:
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("-"):
            words.append(word)
        elif word.startswith("--") and name in OPTIONS:
            flags[name] = value if has_value else next(rest, "")
        elif word in [f"--{switch}" for switch in SWITCHES]:
            flags[name] = name
        else:
            return None
    return _line(arguments[0], words, flags)


def _line(command: str, words: list[str], flags: dict[str, str]) -> Line | None:
    client = flags.get("client", CLIENT)
    if len(words) != LIGHT[command] or client not in EVENTS or "" in flags.values():
        return None
    if command == "approvals":
        is_light = words == ["list"] and not sys.stdout.isatty()
        return Line(command, None, flags) if is_light else None
    event = moment_of(words[0], client) if words else None
    return Line(command, event, flags) if event or command == "status" else None


def moment_of(event: str, client: str) -> str | None:
    """What an event is for, however it is written: `PreToolUse`, `pre-tool-use`, or as the client calls it."""
    wanted = _plain(event)
    names = {moment: (moment, name, EVENTS[client].get(moment, name)) for moment, name in MOMENTS.items()}
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
    if answer is None:
        return None
    for stream, text in ((sys.stdout, answer.out), (sys.stderr, answer.err)):
        stream.buffer.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()
    return answer.code


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
