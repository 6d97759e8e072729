"""`import --from`: takes work over from the files of another tool, as often as one likes."""

import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import click

from mcp_server.app import configured_desk
from mcp_server.commands.foreign.beads import BEADS
from mcp_server.commands.foreign.github import GITHUB
from mcp_server.commands.foreign.item import Item, Mapped, Reading, Source
from mcp_server.commands.foreign.taking import Report, prepare, take
from mcp_server.commands.foreign.taskmaster import TASKMASTER
from mcp_server.commands.progress import progress
from mcp_server.config import Settings
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.lines import one_line
from mcp_server.persistence.database import Database

SOURCES = {source.name: source for source in (BEADS, TASKMASTER, GITHUB)}
LINES_MAX = 20
"""How many of the changes and of the notes are shown."""


class Wanted(NamedTuple):
    """What is asked for."""

    tool: str
    path: str
    project: str | None
    also_open: frozenset[str]
    dry_run: bool


async def import_from(settings: Settings, wanted: Wanted) -> None:
    """Take over what is new, and say what became of everything.

    Raises:
        OpsError: the file cannot be read or understood, and nothing was changed; or a task was refused.
    """
    source = SOURCES[wanted.tool]
    items = _read(source, wanted)
    actor = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
    call = Call(actor, new_id("call"))
    async with _desk(settings, is_dry=wanted.dry_run) as desk:
        taking = await prepare(desk, call, items)
        if not wanted.dry_run:
            with progress("importing") as watch:
                await take(desk, call, taking, watch)
    click.echo(table(source.maps))
    click.echo()
    click.echo("\n".join(_told(taking.report, is_dry=wanted.dry_run)))


def table(maps: Mapped) -> str:
    """What maps to what, in two columns."""
    width = max(len(there) for there, _ in maps)
    return "\n".join(f"{there:<{width}}  ->  {here}" for there, here in maps)


def _read(source: Source, wanted: Wanted) -> list[Item]:
    if wanted.path == "-":
        data, project = sys.stdin.buffer.read(), wanted.project
    else:
        path = _file(source, Path(wanted.path))
        project = wanted.project or _project(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}.") from None
    if project is None and source is not GITHUB:
        raise ValidationFailed(
            "What comes from stdin has no folder that names the project.", next="Add --project NAME."
        )
    reading = Reading(project or "", frozenset(status.strip().lower() for status in wanted.also_open))
    return source.read(data, reading)


def _file(source: Source, path: Path) -> Path:
    """The file itself, or the one in the folder of a project."""
    if not path.is_dir():
        return path
    found = next((path / place for place in source.places if (path / place).is_file()), None)
    if found is None:
        raise Unavailable(f"{path} holds no {' or '.join(source.places)}.", next="Name the file itself.")
    return found


def _project(path: Path) -> str | None:
    """The name of the project's folder: the one that holds the tool's own."""
    own = {".beads", ".taskmaster", "tasks"}
    folder = next((each for each in path.resolve().parents if each.name not in own), None)
    name = "" if folder is None else re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-")
    return name or None


@asynccontextmanager
async def _desk(settings: Settings, *, is_dry: bool) -> AsyncGenerator[Desk]:
    """The desk; in a dry run where there is no database yet, an empty one that is thrown away."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        url = settings.database_url
        instead = f"sqlite:///{folder}/nothing.db" if is_dry and _is_missing(url) else url
        database = await Database.open(instead, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
        try:
            yield configured_desk(database, settings)
        finally:
            await database.close()


def _is_missing(url: str) -> bool:
    """Whether it is that of a file which is not there: opening it would make one."""
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()


def _told(report: Report, *, is_dry: bool) -> Sequence[str]:
    new = "would be created" if is_dry else "created"
    later = f" ({report.later} of them put off there)" if report.later else ""
    lines = [
        f"{report.items} items: {report.created} tasks {new}{later}, {report.here} here already, "
        f"{report.finished} finished there, {report.dropped} given up there.",
        *_some("Different there, and left here as it is", report.changed),
        *_some("Not as it was there", report.notes),
    ]
    return [*lines, "Nothing was changed: this was a dry run."] if is_dry else lines


def _some(heading: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    shown = [f"  {one_line(line)}" for line in lines[:LINES_MAX]]
    more = [f"  ... and {len(lines) - LINES_MAX} more"] if len(lines) > LINES_MAX else []
    return [f"{heading}:", *shown, *more]
