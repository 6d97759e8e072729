"""The few settings that a hook needs, from the same sources as a server's: flags, environment, TOML file.

What is wrong with the others is for `serve` and `doctor` to say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

PREFIX = "DATAMCP_"
OPTION = "CLAUDE_PLUGIN_OPTION_"
"""What Claude Code calls the settings of a plugin in the environment of its hooks."""

NAMES = ("database", "database_schema", "agent", "user", "role", "config")


class Settings:
    """Which database, and who asks."""

    __slots__ = ("agent", "database", "role", "user")

    def __init__(self, told: Mapping[str, str]) -> None:
        self.database = told.get("database") or f"sqlite:///{default_file()}"
        if told.get("database_schema"):
            from mcp_server.kernel.schemas import with_schema

            self.database = with_schema(self.database, told["database_schema"])
        self.agent = told.get("agent")
        self.user = told.get("user") or "local"
        self.role = told.get("role")

    @property
    def path(self) -> str | None:
        """The file, where the database is one."""
        is_file = self.database.startswith("sqlite:///")
        return os.path.expanduser(self.database.removeprefix("sqlite:///")) if is_file else None


def read_settings(flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings from flags, environment, TOML file and a plugin's own settings, the first that says something.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no TOML.
    """
    given, plugin = _named(PREFIX, environment) | dict(flags), _named(OPTION, environment)
    return Settings(plugin | _from_file(given.get("config") or plugin.get("config")) | given)


def _named(prefix: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Settings out of variables whose names begin alike; an empty one says nothing, and case is nothing."""
    known = {f"{prefix}{name}".upper(): name for name in NAMES}
    ours = {known.get(name.upper()): value for name, value in environment.items() if value}
    return {name: value for name, value in ours.items() if name is not None}


def default_file() -> str:
    """`desk.db` in the user data folder, where `platformdirs` would find it, which takes as long as all the rest."""
    folder = os.environ.get("XDG_DATA_HOME", "")
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ:
        folder = folder if folder.strip() else os.path.expanduser("~/.local/share")
        return f"{folder}/data-mcp-server-agent/desk.db"
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("data-mcp-server-agent", appauthor=False), "desk.db")


def _from_file(path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    import tomllib  # takes as long as reading the desk

    with open(path, encoding="utf-8-sig") as file:
        table = tomllib.loads(file.read())
    return {name: value for name, value in table.items() if name in NAMES and isinstance(value, str) and value}
