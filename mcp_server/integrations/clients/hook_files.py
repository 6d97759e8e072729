"""Where clients keep their hooks, and the proof that one of them answers.

What hooks a client has, and how they look there, is said by who calls (`mcp_server.hooks.configs`).
"""

from collections.abc import Callable, Mapping
from itertools import chain
from subprocess import TimeoutExpired
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from mcp_server.kernel.errors import Unavailable

SECONDS_MAX = 60
_SAID_MAX = 300


class HookFile(NamedTuple):
    """Where a client keeps hooks.

    Attributes:
        client: as `mcp_server.hooks` calls it.
        format: of the file: `json`, or `jsonc` where the client reads comments.
        user: for all projects; None: nowhere.
        project: in a project, likewise.
        then: what a person does so that they count.
    """

    client: str
    format: str
    user: str | None
    project: str | None
    then: str = "They count in new sessions."

    def place(self, *, in_project: bool) -> str | None:
        """The file, if there is one."""
        return self.project if in_project else self.user


HOOK_FILES: Mapping[str, HookFile] = MappingProxyType(
    {
        "claude-code": HookFile("claude-code", "json", "{settings}/settings.json", "{project}/.claude/settings.json"),
        "codex": HookFile(
            "codex", "json", "{codex}/hooks.json", "{project}/.codex/hooks.json", "Review them there in /hooks."
        ),
        "cursor": HookFile(
            "cursor", "jsonc", "{home}/.cursor/hooks.json", "{project}/.cursor/hooks.json", "Start it anew."
        ),
        "gemini-cli": HookFile("gemini", "jsonc", "{home}/.gemini/settings.json", "{project}/.gemini/settings.json"),
        "vscode": HookFile("vscode", "jsonc", None, "{project}/.github/hooks/data-mcp-server-agent.json"),
    }
)
"""By the client's key."""


NO_HOOKS = HookFile("", "json", None, None)
"""Of every other client."""


def commands_of(group: Any) -> list[str]:
    """The commands of a group of hooks, or of one hook."""
    said = cast("dict[str, Any]", group) if isinstance(group, dict) else {}
    below, words = said.get("hooks"), [said.get("command"), *as_list(said.get("args"))]
    own = [" ".join(map(str, words))] if isinstance(said.get("command"), str) else []
    return [*own, *chain.from_iterable(map(commands_of, as_list(below)))]


def as_list(value: Any) -> list[Any]:
    """A list; nothing counts as an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def prove(
    wanted: Mapping[str, Any],
    env: Mapping[str, str],
    platform: str,
    run: Callable[..., Any],
    clock: Callable[[], float],
) -> float:
    """Run the first hook through a shell, as the client does, with nothing told; how many seconds it took.

    Raises:
        Unavailable: it did not end well; what it said.
    """
    command = next(chain.from_iterable(map(commands_of, chain.from_iterable(wanted["hooks"].values()))))
    shell = ["cmd", "/c", command] if platform == "win32" else ["/bin/sh", "-c", command]
    began = clock()
    why = _failure(shell, env, run)
    if why:
        raise Unavailable(f"{command} did not answer as a hook does: {why[-_SAID_MAX:]}")
    return clock() - began


def _failure(shell: list[str], env: Mapping[str, str], run: Callable[..., Any]) -> str:
    """What is wrong with a hook; nothing where it ends well."""
    try:
        done = run(shell, input="{}", env=dict(env), timeout=SECONDS_MAX, capture_output=True, text=True)
    except (OSError, TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() or (f"exit code {done.returncode}" if done.returncode else "")
