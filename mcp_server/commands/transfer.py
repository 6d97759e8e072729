"""`export` and `import`: moving what a database holds, as JSON Lines."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

import click

from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.progress import progress, read_with
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Conflict, Unavailable
from mcp_server.upkeep.marking import origin_of
from mcp_server.upkeep.transfer import Transferred, export, import_, lines_of

TOOLS = ("beads", "taskmaster", "github")
"""Whose files `import --from` understands."""


@click.command("export", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("target")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def export_command(target: str, force: bool, **flags: Any) -> None:
    """Write everything a database holds as JSON Lines to TARGET; - is stdout. Servers may go on using it."""

    async def main(settings: Settings) -> None:
        from mcp_server.kernel.times import system_clock

        with _output(target, force=force) as out, progress("exporting") as watch:
            done = export(settings.database_url, out, system_clock(), watch)
        _tell("exported", done)

    run(flags, main)


@click.command("import", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("source")
@click.option("--from", "other", type=click.Choice(TOOLS), help="Take tasks over from another tool's file instead.")
@click.option("--dry-run", is_flag=True, help="With --from: say what would become of it, and change nothing.")
@click.option("--project", metavar="NAME", help="With --from: its name in keys; unsaid, that of the folder.")
@click.option(
    "--also-open", metavar="STATUS", multiple=True, help="With --from: a status of your own that is open work."
)
def import_command(
    source: str, other: str | None, dry_run: bool, project: str | None, also_open: tuple[str, ...], **flags: Any
) -> None:
    """Fill an empty database, SQLite or PostgreSQL, from the export SOURCE, all or nothing; - is stdin.

    With --from, SOURCE is the file or the folder of a project that uses beads or task-master, or what `gh issue list
    --json number,title,body,labels,state,assignees,url` prints; the database may hold anything. docs/import.md says
    what maps to what.
    """
    if other is not None:
        from mcp_server.commands.foreign.command import import_from
        from mcp_server.commands.foreign.files import Wanted

        wanted = Wanted(other, source, project, frozenset(also_open), dry_run)
        run(flags, lambda settings: import_from(settings, wanted))
        return
    if dry_run or project is not None or also_open:
        raise click.UsageError("--dry-run, --project and --also-open go with --from.")

    async def main(settings: Settings) -> None:
        from mcp_server.kernel.times import system_clock

        by = origin_of(settings.user, system_clock())
        with _input(source) as lines, progress("importing") as watch:
            read = read_with(watch, lines_of(lines), _size(source))
            done = import_(settings.database_url, read, by=by, file=Path(source).name)
        _tell("imported", done)

    run(flags, main)


def _size(source: str) -> int:
    """How many bytes there are to read; nobody knows of stdin."""
    return 0 if source == "-" else Path(source).stat().st_size


@contextlib.contextmanager
def _input(source: str) -> Generator[IO[bytes]]:
    if source == "-":
        yield sys.stdin.buffer
        return
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(Path(source).open("rb"))
        except OSError as error:
            raise Unavailable(f"{source} cannot be read: {error.strerror}.") from None
        yield file


@contextlib.contextmanager
def _output(target: str, *, force: bool) -> Generator[IO[bytes]]:
    """The file, which appears only once it is whole."""
    if target == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not force:
        raise Conflict(f"{path} exists already.", next="Choose another name, or add --force to replace it.")
    try:
        private_files.require_own_links(path.parent)
        with private_files.replacing(path) as file:
            yield file
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}.") from None


def _tell(what: str, done: Transferred) -> None:
    counts = ", ".join(f"{count} {table}" for table, count in done.rows.items() if count)
    click.echo(f"{done.total} rows {what}: {counts or 'nothing'}.", err=True)
