"""`import --from`: takes work over from the files of another tool, as often as one likes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from mcp_server.app import configured_desk
from mcp_server.commands.foreign.files import SOURCES, Wanted, read
from mcp_server.commands.foreign.taking import prepare, take
from mcp_server.commands.foreign.telling import table, told
from mcp_server.commands.progress import progress
from mcp_server.config import Settings
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.ids import new_id
from mcp_server.persistence.database import Database


async def import_from(settings: Settings, wanted: Wanted) -> None:
    """Take over what is new, and say what became of everything.

    Raises:
        OpsError: the file cannot be read or understood, and nothing was changed; or a task was refused.
    """
    items = read(wanted)
    actor = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
    call = Call(actor, new_id("call"))
    async with _desk(settings, is_dry=wanted.dry_run) as desk:
        taking = await prepare(desk, call, items)
        if not wanted.dry_run:
            with progress("importing") as watch:
                await take(desk, call, taking, watch)
    lines = told(taking.report, is_dry=wanted.dry_run)
    click.echo("\n".join([table(SOURCES[wanted.tool].maps), "", *lines]))


@asynccontextmanager
async def _desk(settings: Settings, *, is_dry: bool) -> AsyncGenerator[Desk]:
    """The desk; in a dry run where there is no database yet, an empty one that is thrown away."""
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
