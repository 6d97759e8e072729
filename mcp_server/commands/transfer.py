"""`export` and `import`: moving what a database holds, as JSON Lines."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

import click

from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.kernel.errors import Conflict, Unavailable
from mcp_server.upkeep.transfer import Transferred, export, import_


@click.command("export", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("target")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def export_command(target: str, force: bool, **flags: Any) -> None:
    """Write everything a database holds as JSON Lines to TARGET; - is stdout. Servers may go on using it."""

    async def main(settings: Settings) -> None:
        from mcp_server.kernel.times import system_clock

        with _output(target, force=force) as out:
            done = export(settings.database_url, out, system_clock())
        _tell("exported", done)

    run(flags, main)


@click.command("import", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("source")
def import_command(source: str, **flags: Any) -> None:
    """Fill an empty database, SQLite or PostgreSQL, from the export SOURCE, all or nothing; - is stdin."""

    async def main(settings: Settings) -> None:
        with _input(source) as lines:
            done = import_(settings.database_url, lines)
        _tell("imported", done)

    run(flags, main)


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
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        partial.unlink(missing_ok=True)


def _tell(what: str, done: Transferred) -> None:
    counts = ", ".join(f"{count} {table}" for table, count in done.rows.items() if count)
    click.echo(f"{done.total} rows {what}: {counts or 'nothing'}.", err=True)
