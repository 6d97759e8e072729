"""`backup`: copies an SQLite database."""

from pathlib import Path
from typing import Any

import click

from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.progress import progress
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.domain.areas import AREAS
from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.upkeep.backup import back_up


@click.command("backup", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def backup(target: Path, force: bool, **flags: Any) -> None:
    """Copy an SQLite database to the file TARGET while servers use it, and check the copy."""

    async def main(settings: Settings) -> None:
        with progress("copying") as watch:
            copied = back_up(sqlite_path(settings), target, force=force, watch=watch)
        click.echo(f"{copied.path}: {sum(copied.rows.values())} rows in {copied.bytes} bytes, checked.")

    run(flags, main)


def sqlite_path(settings: Settings) -> Path:
    """The file of the database in use.

    Raises:
        Unavailable: it has none.
    """
    backend = make_backend(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    if isinstance(backend, SqliteBackend):
        return backend.file.path
    raise Unavailable(
        f"{backend.name} is a PostgreSQL database: its own tools copy it.",
        next="Use pg_dump and pg_restore, or `data-mcp-server-agent export` and `import`.",
    )
