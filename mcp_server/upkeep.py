"""`backup`, `restore`, `export` and `import`: keeping a database, and moving it."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO

import click

from mcp_server.app import system_clock
from mcp_server.config import Settings
from mcp_server.domain.errors import Conflict, Unavailable
from mcp_server.persistence.backup import back_up, restore
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.sqlite_backend import SqliteBackend
from mcp_server.persistence.transfer import Transferred, export, import_


async def run_backup(settings: Settings, target: Path, *, force: bool) -> None:
    """Copy the database to a file, while servers run, and check the copy.

    Raises:
        OpsError: what is in the way, and what to do.
    """
    copied = back_up(_sqlite_path(settings), target, force=force)
    click.echo(f"{copied.path}: {sum(copied.rows.values())} rows in {copied.bytes} bytes, checked.")


async def run_restore(settings: Settings, source: Path, *, force: bool) -> None:
    """Put a backup in the database's place; the database that was there is kept beside it.

    Raises:
        OpsError: what is in the way, and what to do.
    """
    copied, kept = restore(source, _sqlite_path(settings), force=force)
    click.echo(f"{copied.path}: {sum(copied.rows.values())} rows restored from {source}.")
    if kept is not None:
        click.echo(f"The database that was there is kept as {kept}.")


async def run_export(settings: Settings, target: str, *, force: bool) -> None:
    """Write everything as JSON Lines to a file, or to stdout for `-`.

    Raises:
        OpsError: what is in the way, and what to do.
    """
    with _output(target, force=force) as out:
        done = export(settings.database_url, out, system_clock())
    _tell("exported", done)


async def run_import(settings: Settings, source: str) -> None:
    """Fill an empty database from a file, or from stdin for `-`.

    Raises:
        OpsError: what is wrong with either, and what to do.
    """
    with _input(source) as lines:
        done = import_(settings.database_url, lines)
    _tell("imported", done)


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


def _sqlite_path(settings: Settings) -> Path:
    backend = make_backend(settings.database_url, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    if isinstance(backend, SqliteBackend):
        return backend.file.path
    raise Unavailable(
        f"{backend.name} is a PostgreSQL database: its own tools copy it.",
        next="Use pg_dump and pg_restore, or `data-mcp-server-agent export` and `import`.",
    )
