"""`restore`: puts a backup in the place of an SQLite database."""

from pathlib import Path
from typing import Any

import click
import structlog

from mcp_server.commands.backup import sqlite_path
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.progress import progress
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.kernel.times import system_clock
from mcp_server.upkeep.backup import restore as put_back
from mcp_server.upkeep.marking import origin_of

log = structlog.stdlib.get_logger("datamcp.restore")


@click.command("restore", cls=SettingsCommand, groups=(Group.STORE,))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the database if it exists; the old one is kept beside it.")
def restore(source: Path, force: bool, **flags: Any) -> None:
    """Put the backup SOURCE in the place of an SQLite database that nobody uses."""

    async def main(settings: Settings) -> None:
        with progress("restoring") as watch:
            by = origin_of(settings.user, system_clock())
            copied, kept = put_back(source, sqlite_path(settings), force=force, watch=watch, by=by)
        log.warning("restored", database=str(copied.path), source=str(source), kept=kept and str(kept))
        click.echo(f"{copied.path}: {sum(copied.rows.values())} rows restored from {source}.")
        if kept is not None:
            click.echo(f"The database that was there is kept as {kept}.")
        click.echo("Keys revoked and users disabled since that copy was made count again: see `key list`, `user list`.")

    run(flags, main)
