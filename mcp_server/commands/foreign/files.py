"""Where other tools' files lie, and the name of the project that they belong to."""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from mcp_server.commands.foreign.beads import BEADS
from mcp_server.commands.foreign.github import GITHUB
from mcp_server.commands.foreign.item import Item, Reading, Source
from mcp_server.commands.foreign.taskmaster import TASKMASTER
from mcp_server.kernel.errors import Unavailable, ValidationFailed

SOURCES = {source.name: source for source in (BEADS, TASKMASTER, GITHUB)}
STDIN = "-"
_OF_THE_TOOLS = frozenset({".beads", ".taskmaster", "tasks"})
"""Folders that a tool has made; the project is the one around them."""


class Wanted(NamedTuple):
    """Which file is wanted, how it is to be read, and whether anything is to be done with it."""

    tool: str
    path: str
    project: str | None
    also_open: frozenset[str]
    dry_run: bool


def read(wanted: Wanted) -> list[Item]:
    """The items of a file.

    Raises:
        Unavailable: it is not there, or cannot be read.
        ValidationFailed: it is not understood, or nobody says of which project it is.
    """
    source = SOURCES[wanted.tool]
    path = None if wanted.path == STDIN else _file(source, Path(wanted.path))
    project = wanted.project or _project(source, path)
    return source.read(_bytes(path), Reading(project, frozenset(map(str.lower, wanted.also_open))))


def _bytes(path: Path | None) -> bytes:
    try:
        return sys.stdin.buffer.read() if path is None else path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path or 'stdin'} cannot be read: {error.strerror}.") from None


def _file(source: Source, path: Path) -> Path:
    """The file itself, or the one in the folder of a project."""
    if not path.is_dir():
        return path
    found = list(filter(Path.is_file, (path / place for place in source.places)))
    if not found:
        raise Unavailable(f"{path} holds no {' or '.join(source.places)}.", next="Name the file itself.")
    return found[0]


def _project(source: Source, path: Path | None) -> str:
    """The name of the folder around the tool's own; issues of GitHub name their repository themselves."""
    if path is not None:
        around = next(each for each in path.resolve().parents if each.name not in _OF_THE_TOOLS)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", around.name).strip("-")
    if source is GITHUB:
        return ""
    raise ValidationFailed("What comes from stdin has no folder that names the project.", next="Add --project NAME.")
