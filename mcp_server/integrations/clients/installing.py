"""`install` for one client after the other: show the change, ask, write it, prove it; or take it away again."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mcp_server.integrations.clients import files
from mcp_server.integrations.clients.changing import Change, Wanted, found, installed, removed
from mcp_server.integrations.clients.entries import AGENT, DATABASE, Started, started_by
from mcp_server.integrations.clients.machine import Machine, is_there, place
from mcp_server.integrations.clients.records import CLIENTS, Client
from mcp_server.integrations.clients.starting import Package, commands, first_that_starts, minimal_env
from mcp_server.kernel.errors import Conflict, NotFound, OpsError, ValidationFailed

_TRIES = 5
"""How often a change is worked out anew where a client writes its file at the same moment."""


class Choice(NamedTuple):
    """What a person chose.

    Attributes:
        agent: whom the entries name; None: the client's own name, or who is named already.
        database: what the entries name; None: none, or what is named already.
        in_project: whether the project's files are meant.
        dry_run: whether changes are only shown.
    """

    agent: str | None = None
    database: str | None = None
    in_project: bool = False
    dry_run: bool = False


class Talk(NamedTuple):
    """How a person is spoken to; `ask` is given a question and answers it."""

    say: Callable[[str], object]
    ask: Callable[[str], bool]


class Installer:
    """Does what was chosen to one client's file."""

    def __init__(
        self,
        machine: Machine,
        package: Callable[[], Package],
        choice: Choice,
        talk: Talk,
        clock: Callable[[], datetime],
    ) -> None:
        """Begin with nothing done.

        Args:
            machine: whose clients they are.
            package: says how ours is there.
            choice: what is wanted.
            talk: with a person.
            clock: for the names of copies.
        """
        self._machine, self._choice, self._talk, self._clock = machine, choice, talk, clock
        self._package = package
        self._commands: dict[bool, Started] = {}

    def install(self, client: Client) -> bool:
        """Put our server into a client's file; whether it answers there now.

        Raises:
            OpsError: the file was left alone; why.
        """
        path = self.path(client)
        wanted = Wanted(self._wanted(client), self._choice.agent is None)
        make = partial(installed, client, path, wanted=wanted)
        change = self._carry_out(client, path, make)
        if change is None or self._choice.dry_run:
            return True
        return self._proves(client, path, change)

    def remove(self, client: Client) -> bool:
        """Take our server out of a client's file.

        Raises:
            OpsError: the file was left alone; why.
        """
        path = self.path(client)
        copies = tuple(files.backups(path))
        self._carry_out(client, path, partial(removed, client, path, copies=copies))
        return True

    def state(self, client: Client) -> str:
        """One line on a client: whether it is here, and whether our server is in its file."""
        here = "found" if client.is_on(self._machine) else "not found"
        try:
            path = self.path(client)
            _, entry = found(client, files.read(path))
        except OpsError as error:
            return f"{here}; {error.message}"
        if entry is None:
            return f"{here}; our server is not in {path}"
        agent = started_by(client.shape, entry).env.get(AGENT, "of no name")
        return f"{here}; our server is in {path}, as agent {agent}"

    def path(self, client: Client) -> Path:
        """The client's file.

        Raises:
            NotFound: it has none there.
        """
        places = self._places(client)
        if places:
            return next(filter(is_there, places), places[0])
        where = "in a project" if self._choice.in_project else f"on {self._machine.platform}"
        raise NotFound(f"{client.title} has no file {where} that is known.", next="See docs/clients.md.")

    def _places(self, client: Client) -> list[Path]:
        paths = client.in_project if self._choice.in_project else client.files(self._machine)
        return [place(self._machine, path) for path in paths]

    def _wanted(self, client: Client) -> Started:
        command = self._command(client)
        named = {AGENT: self._choice.agent or client.key, DATABASE: self._choice.database}
        return Started(command.argv, {**command.env, **{name: value for name, value in named.items() if value}})

    def _command(self, client: Client) -> Started:
        """What starts the server; tried once for clients that find commands, and once for the others."""
        if client.sees_path not in self._commands:
            self._commands[client.sees_path] = self._tried(client)
        return self._commands[client.sees_path]

    def _tried(self, client: Client) -> Started:
        extra = "postgres" if (self._choice.database or "").startswith("postgres") else None
        tried = commands(self._machine, self._package(), client, extra)
        return first_that_starts(tried, self._machine.env, minimal_env(self._machine, client))

    def _carry_out(self, client: Client, path: Path, make: Callable[[bytes | None], Change]) -> Change | None:
        """Show a change and make it; None where a person did not want it."""
        change = make(files.read(path))
        if not change.is_needed:
            self._talk.say(f"{client.title}: nothing to do, {path} {change.outcome} our server already.")
            return change
        self._talk.say(f"{client.title}: {path}")
        self._talk.say("\n".join(f"    {line}" for line in change.diff()))
        if self._choice.dry_run:
            return change
        if not self._talk.ask("Write this?"):
            self._talk.say(f"{client.title}: left as it was.")
            return None
        return self._write(client, path, make)

    def _write(self, client: Client, path: Path, make: Callable[[bytes | None], Change]) -> Change:
        for _ in range(_TRIES):
            change = make(files.read(path))
            with suppress(Conflict):
                self._talk.say(f"{client.title}: {self._written(path, change)}.")
                return change
        raise Conflict(
            f"{path} is written by another program all the time.", next=f"End {client.title}, and try again."
        )

    def _written(self, path: Path, change: Change) -> str:
        """Write it, and say so."""
        copy = None if change.before is None else files.back_up(path, change.before, self._clock())
        files.replace(path, change.after, change.before)
        done = "deleted" if change.after is None else "written"
        return done if copy is None else f"{done}; what it held before is in {copy.name} beside it"

    def _proves(self, client: Client, path: Path, change: Change) -> bool:
        """Start what stands in the file by now; where it does not answer, offer to put back what was there."""
        from mcp_server.integrations.clients.proving import prove  # takes as long as the rest

        _, entry = found(client, files.read(path))
        if entry is None:
            raise ValidationFailed(f"{path} does not hold the server any more.", next="Run the command again.")
        try:
            proof = prove(started_by(client.shape, entry), minimal_env(self._machine, client))
        except OpsError as error:
            self._talk.say(f"{client.title}: {error.message}")
            self._offer_to_undo(client, path, change)
            return False
        self._talk.say(
            f"{client.title}: started as it would be; {proof.tools} tools, {proof.tool} answered"
            f" {proof.said!r} after {proof.seconds:.1f} s. {client.then}"
        )
        return True

    def _offer_to_undo(self, client: Client, path: Path, change: Change) -> None:
        if change.is_needed and self._talk.ask("Put back what was there before?"):
            files.replace(path, change.before, change.after)
            self._talk.say(f"{client.title}: {path} is as it was before.")


def on_machine(machine: Machine, *, in_project: bool) -> Sequence[Client]:
    """The clients that a machine has; for a project, those that have a file there."""
    return [client for client in CLIENTS if client.is_on(machine) and (client.in_project or not in_project)]
