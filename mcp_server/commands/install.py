"""`install`: our server in the files of this machine's MCP clients; the work is done in integrations/clients."""

import re
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

import mcp_server
from mcp_server.integrations.clients.entries import DATABASE, PROGRAM, Started
from mcp_server.integrations.clients.installing import Choice, Installer, Talk, in_folder, on_machine
from mcp_server.integrations.clients.machine import Machine, this_machine
from mcp_server.integrations.clients.records import BY_KEY, CLIENTS, Client
from mcp_server.integrations.clients.starting import Package, this_package
from mcp_server.kernel.errors import OpsError, ValidationFailed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
"""Of an agent, as the desk has it, which is not loaded here."""
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@|[?&]password=")
_URL = re.compile(r"(postgres(?:ql)?://.+)|sqlite:///(.+)")


@click.command("install")
@click.option(
    "--client",
    "keys",
    multiple=True,
    metavar="NAME",
    type=click.Choice(list(BY_KEY)),
    help="Only this one. May be repeated; else all that are found.",
)
@click.option("--agent", metavar="NAME", help="Agent that the client speaks as; else the client's own name.")
@click.option("--database", metavar="URL", help="Database of the server; else the one that is usual.")
@click.option(
    "--scope",
    type=click.Choice(["user", "project"]),
    default="user",
    help="For all projects, or for the one in this folder.",
)
@click.option("--hooks", is_flag=True, help="The client's hooks as well, where it has them in a file.")
@click.option("--dry-run", is_flag=True, help="Show the changes, and make none.")
@click.option("--yes", is_flag=True, help="Make the changes without a question; undo what does not work.")
@click.option("--remove", is_flag=True, help="Take the server and its hooks out again.")
@click.option("--list", "lists", is_flag=True, help="Say what is found, and change nothing.")
def install(
    keys: tuple[str, ...],
    agent: str | None,
    database: str | None,
    scope: str,
    hooks: bool,
    dry_run: bool,
    yes: bool,
    remove: bool,
    lists: bool,
) -> None:
    """Put the server into the configuration of this machine's MCP clients, and prove that it starts there."""
    choice = Choice(_agent(agent), _database(database), scope == "project", dry_run, hooks)
    clients = [BY_KEY[key] for key in keys]
    try:
        machine = this_machine()
        talk = Talk(click.echo, _asking(yes=yes))
        installer = Installer(machine, _package, choice, talk, lambda: datetime.now(UTC), _hooks_of)
    except OpsError as error:
        raise click.ClickException(error.message) from None
    if lists:
        show(installer, clients or CLIENTS)
    else:
        do = installer.remove if remove else installer.install
        sys.exit(attend(do, clients or _found(machine, in_project=choice.in_project, to_remove=remove)))


def _found(machine: Machine, *, in_project: bool, to_remove: bool) -> Sequence[Client]:
    return in_folder(machine) if in_project and to_remove else on_machine(machine, in_project=in_project)


def show(installer: Installer, clients: Sequence[Client]) -> None:
    """Say of each client how it stands."""
    for client in clients:
        click.echo(f"{client.key}: {installer.state(client)}")


def attend(do: Callable[[Client], bool], clients: Sequence[Client]) -> int:
    """Do one thing for each client, whatever becomes of the others.

    Returns:
        The exit code: 0 all is well, 1 something is not.
    """
    if not clients:
        click.echo(f"No client was found here. Name one: --client {'|'.join(BY_KEY)}.", err=True)
        return 1
    return int(not all(list(map(partial(_does, do), clients))))


def _does(do: Callable[[Client], bool], client: Client) -> bool:
    try:
        return do(client)
    except OpsError as error:
        click.echo(f"{client.title}: left alone. {error.message}", err=True)
        return False


def _asking(*, yes: bool) -> Callable[[str], bool]:
    def ask(question: str) -> bool:
        if yes:
            return True
        if not _at_terminal():
            raise click.UsageError("This is no terminal, so nobody can be asked: --yes writes, --dry-run only shows.")
        return click.confirm(question, default=True)

    return ask


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _agent(name: str | None) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
        raise click.BadParameter("a name has up to 64 letters, digits and . _ - /.", param_hint="--agent")
    return name


def _database(url: str | None) -> str | None:
    """The URL, with a whole path: a client starts the server wherever it likes."""
    if url is None:
        return None
    match = _URL.fullmatch(url)
    if match is None:
        raise click.BadParameter("use sqlite:///path or postgresql://user@host/name.", param_hint="--database")
    return match[1] or f"sqlite:///{Path(match[2]).expanduser().absolute()}"


def _hooks_of(client: str, command: Started, server: Mapping[str, str]) -> dict[str, Any]:
    """What a client's file of hooks holds, where a command starts our program and its server has these variables.

    Raises:
        ValidationFailed: a password would stand in every command line.
    """
    from mcp_server.hooks.configs import UVX, Way, hooks_of, told_by  # loads what opens databases

    _require_no_password({**command.env, DATABASE: server.get(DATABASE, "")})
    return hooks_of(client, Way(None if command == Started(UVX, {}) else _launch(command), told_by(server)))


def _require_no_password(shown: Mapping[str, str]) -> None:
    for name, value in shown.items():
        if _PASSWORD.search(value):
            raise ValidationFailed(
                f"The hooks would show the password in {name} in their command lines.",
                next="Keep it elsewhere (libpq reads ~/.pgpass, uv ~/.netrc), and try again.",
            )


def _launch(command: Started) -> Sequence[str]:
    """The words that start our program with the variables that it needs; Windows has no words for that."""
    needed = [f"{name}={value}" for name, value in command.env.items()]
    return ["env", *needed, *command.argv] if needed and sys.platform != "win32" else command.argv


def _package() -> Package:
    return this_package(_folder(), _program())


def _folder() -> Path:
    return Path(mcp_server.__path__[0]).absolute()


def _program() -> Path:
    suffix = ".exe" if sys.platform == "win32" else ""
    return Path(sysconfig.get_path("scripts")) / f"{PROGRAM}{suffix}"
