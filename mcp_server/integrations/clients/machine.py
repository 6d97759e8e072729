"""What is asked of the machine: platform, home, environment, commands. Given, so that a test can be any machine."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from mcp_server.kernel.errors import Unavailable

_SAY_HOME = "Set HOME to your home folder, go to a folder that is there, and try again."


class Machine(NamedTuple):
    """A machine and who uses it.

    Attributes:
        platform: as `sys.platform` has it.
        home: the user's home folder.
        folder: of the project.
        env: the environment variables.
        which: where a command is, or None.
    """

    platform: str
    home: Path
    folder: Path
    env: Mapping[str, str]
    which: Callable[[str], str | None]


def this_machine() -> Machine:
    """The one that this runs on.

    Raises:
        Unavailable: there is no home folder, or the folder that this runs in is gone.
    """
    try:
        home, folder = Path.home(), Path.cwd()
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"Where to look is not known: {error}.", next=_SAY_HOME) from None
    if not home.is_absolute():
        raise Unavailable(f"The home folder, {str(home)!r}, is no whole path.", next=_SAY_HOME)
    return Machine(sys.platform, home, folder, dict(os.environ), shutil.which)


def is_there(path: Path) -> bool:
    """Whether something is at a path; what may not be looked at counts, so that reading it says why."""
    try:
        return path.exists()
    except OSError:
        return True


def folders(machine: Machine) -> dict[str, Path]:
    """The folders that paths of clients begin with, by the words that stand for them.

    A variable counts as set where it holds an absolute path: clients take a relative one from wherever they start.
    """
    home, is_linux = machine.home, machine.platform not in ("darwin", "win32")
    config = _said(machine, "XDG_CONFIG_HOME", home / ".config") if is_linux else home / ".config"
    apps = {
        "darwin": home / "Library" / "Application Support",
        "win32": _said(machine, "APPDATA", home / "AppData" / "Roaming"),
    }.get(machine.platform, config)
    return {
        "home": home,
        "project": machine.folder,
        "config": config,
        "apps": apps,
        "code": apps / "Code" / "User",
        "claude": _said(machine, "CLAUDE_CONFIG_DIR", home),
        "settings": _said(machine, "CLAUDE_CONFIG_DIR", home / ".claude"),
        "codex": _said(machine, "CODEX_HOME", home / ".codex"),
        "copilot": _said(machine, "COPILOT_HOME", home / ".copilot"),
    }


def place(machine: Machine, path: str) -> Path:
    """A path that begins with one of those words, such as `{home}/.cursor/mcp.json`."""
    root, *parts = path.split("/")
    return folders(machine)[root.strip("{}")].joinpath(*parts)


def _said(machine: Machine, variable: str, otherwise: Path) -> Path:
    said = Path(machine.env.get(variable, ""))
    return said if said.is_absolute() else otherwise
