"""`install` for one client after the other: show the change, ask, write it, prove it; or take it away again."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from mcp_server.integrations.clients import files
from mcp_server.integrations.clients.changing import Change, Wanted, found, installed, removed
from mcp_server.integrations.clients.entries import AGENT, DATABASE, PROGRAM, Started, started_by
from mcp_server.integrations.clients.hook_files import HOOK_FILES, NO_HOOKS, HookFile, prove
from mcp_server.integrations.clients.hooking import hooked, ours_in, unhooked
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
        hooks: whether hooks are installed, too.
    """

    agent: str | None = None
    database: str | None = None
    in_project: bool = False
    dry_run: bool = False
    hooks: bool = False


class Talk(NamedTuple):
    """How a person is spoken to; `ask` is given a question and answers it."""

    say: Callable[[str], object]
    ask: Callable[[str], bool]


HooksOf = Callable[[str, Started, Mapping[str, str]], Mapping[str, Any]]


class Installer:
    """Does what was chosen to one client's file."""

    def __init__(
        self,
        machine: Machine,
        package: Callable[[], Package],
        choice: Choice,
        talk: Talk,
        clock: Callable[[], datetime],
        hooks_of: HooksOf,
    ) -> None:
        """Begin with nothing done.

        Args:
            machine: whose clients they are.
            package: says how ours is there.
            choice: what is wanted.
            talk: with a person.
            clock: for the names of copies.
            hooks_of: says what a file of hooks holds, for a client's name as hooks have it, what starts our program
                there, and the variables of its server's entry.
        """
        self._hooks_of = hooks_of
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
        if change is None:
            return True
        is_well = self._choice.dry_run or self._proves(client, path, change)
        if is_well and self._choice.hooks:
            return self._hook(client, started_by(client.shape, change.entry or {}).env)
        return is_well

    def remove(self, client: Client) -> bool:
        """Take our hooks and our server out of a client's files.

        Raises:
            OpsError: the file was left alone; why.
        """
        self._unhook(client)
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
        return f"{here}; our server is in {path}, as agent {agent}{self._hooks_state(client)}"

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
            self._talk.say(f"{client.title}: nothing to do, {path} {change.outcome} our {change.what} already.")
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
        files.require_writable(path)
        copy = None if change.before is None else files.back_up(path, change.before, self._clock())
        files.replace(path, change.after, change.before)
        done = "deleted" if change.after is None else "written"
        return done if copy is None else f"{done}; what it held before is in {copy.name} beside it"

    def _hook_file(self, client: Client) -> tuple[HookFile, Path] | None:
        """Where a client keeps its hooks, if it does so in a file there."""
        file = HOOK_FILES.get(client.key, NO_HOOKS)
        where = file.place(in_project=self._choice.in_project)
        return None if where is None else (file, place(self._machine, where))

    def _hooks_state(self, client: Client) -> str:
        found = self._hook_file(client)
        if found is None:
            return ""
        file, path = found
        return f"; our hooks are in {path}" if ours_in(file, files.read(path)) else ""

    def _hook(self, client: Client, env: Mapping[str, str]) -> bool:
        """Put our hooks into a client's file; whether the first of them answers.

        Raises:
            OpsError: the file was left alone; why.
        """
        found = self._hook_file(client)
        if found is None:
            scope = "in a project" if self._choice.in_project else "for all projects"
            self._talk.say(f"{client.title}: it has no hooks in a file {scope} that is known; see docs/wake.md.")
            return True
        return self._hook_in(client, *found, self._hooks_of(found[0].client, self._command(client), env))

    def _hook_in(self, client: Client, file: HookFile, path: Path, wanted: Mapping[str, Any]) -> bool:
        change = self._carry_out(client, path, partial(hooked, file, path, wanted=wanted))
        if change is None or self._choice.dry_run:
            return True
        is_well = self._answers(client, file, wanted)
        if not is_well:
            self._offer_to_undo(client, path, change)
        return is_well

    def _answers(self, client: Client, file: HookFile, wanted: Mapping[str, Any]) -> bool:
        """Run the first hook, and say what came of it."""
        try:
            seconds = prove(
                wanted, minimal_env(self._machine, client), self._machine.platform, subprocess.run, monotonic
            )
        except OpsError as error:
            self._talk.say(f"{client.title}: {error.message}")
            return False
        self._talk.say(f"{client.title}: its first hook was run, and answered after {seconds:.1f} s. {file.then}")
        if self._package().program is None:
            self._talk.say(f"`uv tool install {PROGRAM}`, and this once more, makes each hook several times as fast.")
        return True

    def _unhook(self, client: Client) -> None:
        found = self._hook_file(client)
        if found is None:
            return
        file, path = found
        make = partial(unhooked, file, path, copies=tuple(files.backups(path)))
        if make(files.read(path)).is_needed:
            self._carry_out(client, path, make)

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


def in_folder(machine: Machine) -> Sequence[Client]:
    """The clients that have a file in the project, whether or not the machine has them: whoever takes ours out again
    may not have what another put it in for."""
    return [client for client in CLIENTS if any(is_there(place(machine, path)) for path in _of_project(client))]


def _of_project(client: Client) -> Sequence[str]:
    hooks = HOOK_FILES.get(client.key, NO_HOOKS).project
    return [path for path in (client.project, hooks) if path is not None]
