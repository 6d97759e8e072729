"""The hooks of each client as its configuration has them, from the table in `clients`: for the plugin, and for whoever
writes them into a client's own file."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.hooks.clients import EVENTS
from mcp_server.hooks.settings import NAMES, PREFIX
from mcp_server.hooks.waiting import WAIT_SECONDS

PROGRAM = "data-mcp-server-agent"
UVX = ("uvx", PROGRAM)
"""What starts this program where nothing is installed; itself it takes several times as long as a hook."""

SECONDS_MAX = 10
"""How long a client waits for an answer, which takes a hundredth of it."""

PLACES = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini": ".gemini/settings.json",
    "cursor": ".cursor/hooks.json",
    "vscode": ".github/hooks/data-mcp-server-agent.json",
}
"""The file in a project that holds them; all but VS Code's may also lie in the home folder."""

MATCHERS = {
    "claude-code": {"edit": "Edit|Write|MultiEdit|NotebookEdit", "registered": "mcp__.*agents_register"},
    "codex": {"edit": "apply_patch|Edit|Write", "registered": "mcp__.*agents_register"},
    "gemini": {"edit": "write_file|replace", "registered": "mcp_.*agents_register"},
    "cursor": {"edit": "Write|Delete|Edit", "registered": "MCP:.*agents_register"},
}
"""For which tools; VS Code runs its hooks for all."""

WOKEN = ("claude-code",)
"""Clients that a hook of its own can wake while they are idle."""

ARMED_AT = ("prompt", "stop")
"""When such a hook begins to wait. Not at the start: there it once kept a session from starting."""


class Way(NamedTuple):
    """How a hook's command line is written.

    Attributes:
        launch: the words that start this program; None: itself where it is installed, else uvx, as a shell finds out.
        said: what else it says, such as which agent speaks.
    """

    launch: Sequence[str] | None = None
    said: Sequence[str] = ()


ANYWHERE = Way()


def told_by(environment: Mapping[str, str]) -> list[str]:
    """What a hook has to be told, so that it reads the desk of a server with these variables, as the same agent."""
    told = ((f"--{name}", environment.get(f"{PREFIX}{name.upper()}")) for name in NAMES)
    return [word for option in told if all(option) for word in map(str, option)]


def hooks_of(client: str, way: Way = ANYWHERE) -> dict[str, Any]:
    """What a client's file has to hold; `client` is as `clients.EVENTS` names it."""
    hooks = {event: _entries(client, moment, event, way) for moment, event in EVENTS[client].items()}
    return ({"version": 1} if client == "cursor" else {}) | {"hooks": hooks}


def _entries(client: str, moment: str, event: str, way: Way) -> list[dict[str, Any]]:
    """What stands under an event."""
    told = {"command": command(client, event, way), "timeout": SECONDS_MAX}
    matcher = MATCHERS.get(client, {}).get(moment)
    matched = {} if matcher is None else {"matcher": matcher}
    if client == "cursor":
        return [matched | told]
    typed = {"type": "command"} | told
    if client == "vscode":
        return [typed | ({} if way.launch else {"windows": command(client, event, way._replace(launch=UVX))})]
    if client == "gemini":
        typed |= {"name": f"desk-{moment}", "timeout": SECONDS_MAX * 1000}
    return [matched | {"hooks": [typed, *_waits(client, moment, way)]}]


def _waits(client: str, moment: str, way: Way) -> list[dict[str, Any]]:
    """What begins to wait beside a hook."""
    return [_waiting(client, way)] if client in WOKEN and moment in ARMED_AT else []


def _waiting(client: str, way: Way) -> dict[str, Any]:
    told = {"type": "command", "command": command(client, "wait", way)}
    return told | {"async": True, "asyncRewake": True, "timeout": WAIT_SECONDS + SECONDS_MAX}


def command(client: str, event: str, way: Way) -> str:
    """The command line of a hook, for a shell."""
    if way.launch is None:
        installed, fetched = (command(client, event, way._replace(launch=words)) for words in ((PROGRAM,), UVX))
        return f"if command -v {PROGRAM} >/dev/null; then exec {installed}; else exec {fetched}; fi"
    words = [*way.launch, "hook", event, "--client", client, *way.said]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
