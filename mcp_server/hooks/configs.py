"""The hooks of each client as its configuration has them, from the table in `clients`: for the plugin, and for whoever
writes them into a client's own file."""

from collections.abc import Sequence
from typing import Any

from mcp_server.hooks.clients import EVENTS
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


def hooks_of(client: str, launch: Sequence[str] | None = None) -> dict[str, Any]:
    """What a client's file has to hold.

    Args:
        client: as `clients.EVENTS` names it.
        launch: the words that start this program; None: itself where it is installed, else uvx, as a shell finds out.
    """
    hooks = {event: _entries(client, moment, event, launch) for moment, event in EVENTS[client].items()}
    return ({"version": 1} if client == "cursor" else {}) | {"hooks": hooks}


def _entries(client: str, moment: str, event: str, launch: Sequence[str] | None) -> list[dict[str, Any]]:
    """What stands under an event."""
    told = {"command": command(client, event, launch), "timeout": SECONDS_MAX}
    matcher = MATCHERS.get(client, {}).get(moment)
    matched = {} if matcher is None else {"matcher": matcher}
    if client == "cursor":
        return [matched | told]
    typed = {"type": "command"} | told
    if client == "vscode":
        return [typed | ({} if launch else {"windows": command(client, event, UVX)})]
    if client == "gemini":
        typed |= {"name": f"desk-{moment}", "timeout": SECONDS_MAX * 1000}
    return [matched | {"hooks": [typed, *_waits(client, moment, launch)]}]


def _waits(client: str, moment: str, launch: Sequence[str] | None) -> list[dict[str, Any]]:
    """What begins to wait beside a hook."""
    return [_waiting(client, launch)] if client in WOKEN and moment in ARMED_AT else []


def _waiting(client: str, launch: Sequence[str] | None) -> dict[str, Any]:
    told = {"type": "command", "command": command(client, "wait", launch)}
    return told | {"async": True, "asyncRewake": True, "timeout": WAIT_SECONDS + SECONDS_MAX}


def command(client: str, event: str, launch: Sequence[str] | None) -> str:
    """The command line of a hook, for a shell."""
    if launch is None:
        installed, fetched = command(client, event, (PROGRAM,)), command(client, event, UVX)
        return f"if command -v {PROGRAM} >/dev/null; then exec {installed}; else exec {fetched}; fi"
    return " ".join([*launch, "hook", event, "--client", client])
