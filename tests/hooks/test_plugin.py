"""The plugin and the other clients' files: what their documents ask of each, and that they are what the tables say."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_server.hooks import entry
from mcp_server.hooks.clients import EDITING, EVENTS
from mcp_server.hooks.configs import MATCHERS, PLACES, PROGRAM, UVX, Way, command, hooks_of
from tests.scripts import script

ROOT = Path(__file__).parent.parent.parent
PLUGIN = ROOT / "plugin"
FILES: dict[str, str] = script("plugin").files()


def commands(value: Any) -> list[str]:
    """Every command line in a file."""
    if isinstance(value, list):
        return [one for part in value for one in commands(part)]
    if not isinstance(value, dict):
        return []
    own = [value["command"]] if isinstance(value.get("command"), str) and "args" not in value else []
    return own + [one for part in value.values() for one in commands(part)]


def test_what_is_in_the_repository_is_what_the_script_writes():
    for path, text in FILES.items():
        assert (ROOT / path).read_bytes() == text.encode(), f"run scripts/plugin.py: {path}"
    kept = {path.relative_to(ROOT).as_posix() for path in PLUGIN.rglob("*") if path.is_file()}
    assert kept <= FILES.keys(), "nothing else lies there"


def test_its_skills_are_the_servers():
    skills = sorted(path.parent.name for path in (ROOT / "resources" / "skills").glob("*/SKILL.md"))
    assert skills == sorted(path.parent.name for path in (PLUGIN / "skills").glob("*/SKILL.md"))
    for name in skills:
        mine = PLUGIN / "skills" / name / "SKILL.md"
        assert mine.read_bytes() == (ROOT / "resources" / "skills" / name / "SKILL.md").read_bytes()


def test_claude_code_finds_plugin_marketplace_and_server_in_their_places():
    market = json.loads((ROOT / ".claude-plugin" / "marketplace.json").read_text())
    assert {"name", "owner", "plugins"} <= market.keys() and market["owner"]["name"]
    (offered,) = market["plugins"]
    manifest = json.loads((ROOT / offered["source"] / ".claude-plugin" / "plugin.json").read_text())
    assert offered["name"] == manifest["name"] and offered["source"].startswith("./")
    assert manifest["version"] == json.loads((ROOT / "server.json").read_text())["version"]
    for option in manifest["userConfig"].values():
        assert {"type", "title", "description"} <= option.keys()
    (server,) = json.loads((PLUGIN / ".mcp.json").read_text())["mcpServers"].values()
    assert server["command"] == "uvx"
    assert server["env"] == {f"DATAMCP_{name.upper()}": f"${{user_config.{name}}}" for name in manifest["userConfig"]}


@pytest.mark.parametrize("client", EVENTS)
def test_every_command_is_one_that_is_answered_the_light_way(client: str):
    found = commands(hooks_of(client, Way(UVX)))
    assert len(found) >= len(EVENTS[client])
    for said in found:
        words = said.split()
        line = entry.understood(words[len(UVX) :])
        assert tuple(words[: len(UVX)]) == UVX and line is not None and line.flags == {"client": client}


@pytest.mark.parametrize("installed", [True, False])
def test_a_shell_runs_what_is_installed_else_uvx_and_hands_on_what_it_ends_with(tmp_path: Path, installed: bool):
    programs = [PROGRAM, "uvx"] if installed else ["uvx"]
    for program in programs:
        (tmp_path / program).write_text(f'#!/bin/sh\necho {program} "$@" >&2\nexit 2\n')
        (tmp_path / program).chmod(0o755)
    shell = ["/bin/sh", "-c", command("claude-code", "Stop", Way())]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path)})
    start = PROGRAM if installed else f"uvx {PROGRAM}"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{start} hook Stop --client claude-code\n")


@pytest.mark.parametrize("client", ["claude-code", "codex", "gemini"])
def test_claudes_shape_is_groups_with_matchers_for_tools_alone(client: str):
    hooks = hooks_of(client)["hooks"]
    tools = {EVENTS[client][moment] for moment in ("edit", "registered")}
    for event, (group,) in hooks.items():
        assert ("matcher" in group) is (event in tools)
        for hook in group["hooks"]:
            assert hook["type"] == "command" and hook["timeout"] >= (1000 if client == "gemini" else 1)


def test_cursor_and_vscode_have_their_own_shapes():
    cursor = hooks_of("cursor")
    assert cursor["version"] == 1 and set(cursor["hooks"]) == set(EVENTS["cursor"].values())
    for (hook,) in (*cursor["hooks"].values(), *hooks_of("vscode")["hooks"].values()):
        assert isinstance(hook["command"], str) and hook["timeout"] == 10
    assert all(hook["type"] == "command" for (hook,) in hooks_of("vscode")["hooks"].values())


def test_what_wakes_an_idle_session_is_armed_at_the_end_of_a_turn_and_never_at_the_start():
    hooks = hooks_of("claude-code")["hooks"]
    armed = {event for event, (group,) in hooks.items() if any(hook.get("asyncRewake") for hook in group["hooks"])}
    assert armed == {"UserPromptSubmit", "Stop"}
    for client in EVENTS.keys() - {"claude-code"}:
        assert "asyncRewake" not in json.dumps(hooks_of(client))


def test_matchers_name_tools_that_are_known():
    for client, matchers in MATCHERS.items():
        assert {tool.lower() for tool in matchers["edit"].split("|")} <= EDITING, client
    assert PLACES.keys() == EVENTS.keys()
