#!/usr/bin/env python3
"""Writes `plugin/` and `.claude-plugin/`: the plugin for Claude Code and the hooks of other clients, from the tables
in `mcp_server/hooks` and the skills in `resources/skills`.

    scripts/plugin.py           write them
    scripts/plugin.py --check   only say whether they are as they should be
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mcp_server.hooks.configs import UVX, hooks_of  # noqa: E402
from resources.skills import SKILLS  # noqa: E402

NAME = "data-mcp-server-agent"
ABOUT = "Tasks, locks on files, messages and approvals that several agents share; sessions hear of what is theirs."
SERVER = {"command": UVX[0], "args": [*UVX[1:]]}
SETTINGS = {
    "agent": ("Agent", "Name of the agent that this machine's sessions speak as; empty: the one that they register."),
    "database": ("Database", "sqlite:///path or postgresql://...; empty: a file in your user data folder."),
}


def files() -> dict[str, str]:
    """Every file by its path, with its text."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    told = {"name": NAME, "version": version, "description": ABOUT}
    found: dict[str, Any] = {
        ".claude-plugin/marketplace.json": {
            "name": NAME,
            "owner": {"name": "DataMCPServerAgent"},
            "plugins": [{"name": NAME, "source": "./plugin", "description": ABOUT}],
        },
        "plugin/.claude-plugin/plugin.json": told
        | {
            "displayName": "DataMCPServerAgent",
            "license": "MIT",
            "keywords": ["mcp", "agents", "tasks", "locks", "hooks"],
            "userConfig": {
                name: {"type": "string", "title": title, "description": about, "default": ""}
                for name, (title, about) in SETTINGS.items()
            },
        },
        "plugin/.mcp.json": {
            "mcpServers": {"desk": SERVER | {"env": {_variable(name): f"${{user_config.{name}}}" for name in SETTINGS}}}
        },
        "plugin/hooks/hooks.json": hooks_of("claude-code"),
        "plugin/clients/codex/hooks.json": hooks_of("codex"),
        "plugin/clients/cursor/hooks.json": hooks_of("cursor"),
        "plugin/clients/vscode/data-mcp-server-agent.json": hooks_of("vscode"),
        "plugin/clients/gemini/gemini-extension.json": told
        | {
            "mcpServers": {"desk": SERVER},
            "settings": [
                {"name": title, "description": about, "envVar": _variable(name), "sensitive": False}
                for name, (title, about) in SETTINGS.items()
            ],
        },
        "plugin/clients/gemini/hooks/hooks.json": hooks_of("gemini"),
    }
    texts = {path: json.dumps(content, indent=2) + "\n" for path, content in found.items()}
    return texts | {f"plugin/skills/{skill.name}/SKILL.md": skill.text for skill in SKILLS}


def _variable(name: str) -> str:
    return f"DATAMCP_{name.upper()}"


def main() -> int:
    """Write, or compare."""
    wrong = [path for path, text in files().items() if not _is(ROOT / path, text)]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"{path} is not what scripts/plugin.py writes" for path in wrong) or "The plugin is right.")
        return 1 if wrong else 0
    for path in wrong:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(files()[path].encode())
        print(f"wrote {path}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


if __name__ == "__main__":
    sys.exit(main())
