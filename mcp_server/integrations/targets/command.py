"""The target `command`: commands that the operator declared, such as `wrangler deploy` or `terraform apply`.

A model names the target and fills declared arguments; no command, path or variable comes from it. Each command gets the
deployment as JSON on stdin. A last line of its output that is a JSON object is its evidence: `url` is where checks go.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp_server.domain.deployments.configuration import REFERENCES
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Phase, PhaseFailed, Step, Subject, Work
from mcp_server.integrations.kept import TEMPORARY, UNKNOWN, Command, Ended, Kept, run_once
from mcp_server.integrations.references import resolve
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, check_line, dump_json

LOOK_SECONDS_MAX = 120.0
RETRY_SECONDS = 5.0
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "SYSTEMROOT")
_TOLD = ("name", "environment", "revision", "label", "run_id", "version_id")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_NUMBER = re.compile(r"-\d+(\.\d+)?")
_TAIL_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Declared:
    """What the operator declared under `[targets.NAME]`.

    Attributes:
        commands: argv by what it is for: build, plan, apply, check, promote, rollback, destroy, stop, start, status or
            logs.
        cwd: where they run.
        env: variables, each a value or a reference to a secret.
        arguments: what a service's `arguments` may fill in, each with the pattern that its whole value has to match.
        secrets: the variables in which a deployment may hand over secrets; others could turn a command into another.
        seconds_max: how long one may take.
    """

    commands: Mapping[str, Sequence[str]]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[str, ...] = ()
    seconds_max: float = 1800.0

    def problems(self) -> list[str]:
        """What of it cannot work."""
        known = {*_TOLD, *self.arguments}
        found = ["it has no `apply` command"] if "apply" not in self.commands else []
        odd = [name for name in self.arguments if _PLACEHOLDER.fullmatch(f"{{{name}}}") is None]
        found += [f"its argument {name} is no name of small letters and _" for name in odd]
        for name, argv in self.commands.items():
            strange = {place for part in argv for place in _PLACEHOLDER.findall(part)} - known
            found += [f"`{name}` has the placeholder {{{place}}}, and known are {sorted(known)}" for place in strange]
        return found


_COMMANDS: Mapping[Phase, str] = {
    "build": "build",
    "deploy": "apply",
    "check": "check",
    "promote": "promote",
    "revert": "rollback",
    "destroy": "destroy",
    "stop": "stop",
    "start": "start",
}


class CommandTarget:
    """Runs declared commands. See `Target`."""

    takes = frozenset({"arguments", "secrets", "checks", "health"})

    def __init__(self, name: str, declared: Declared, folder: Path) -> None:
        """From what was declared; `folder` is where runs are kept."""
        self._name = name
        self._declared = declared
        self._folder = folder
        possible: tuple[Operation, ...] = ("destroy", "stop", "start")
        always: tuple[Operation, ...] = ("apply", "rollback")
        self.operations: frozenset[Operation] = frozenset(
            (*always, *(one for one in possible if one in declared.commands))
        )

    def check(self, subject: Subject) -> None:
        """Refuse arguments that are not declared or do not match.

        Raises:
            ValidationFailed: saying what would do.
        """
        for service in subject.config.services:
            for name, value in service.arguments.items():
                self._require_argument(service.name, name, value)
            strange = [name for name in service.secrets if name not in self._declared.secrets]
            if strange:
                known = ", ".join(self._declared.secrets) or "none"
                raise ValidationFailed(
                    f"The target {self._name} takes no secret {', '.join(strange)}.", next=f"Declared are: {known}."
                )
        self._require_one_value(subject)
        self._require_all(subject)

    async def observe(self, subject: Subject) -> Facts:
        """What is declared, as a hash, and what the declared status command says."""
        declared = {"commands": {name: list(argv) for name, argv in self._declared.commands.items()}}
        declared |= {"cwd": self._declared.cwd, "env": dict(self._declared.env)}
        return {"declared": canonical_hash(declared)[:16], **await self._status(subject)}

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """The commands that would run, and what the declared plan command says."""
        del observed
        wanted = [operation] if operation in ("destroy", "stop", "start") else ["build", "apply", "check", "promote"]
        shown = self._arguments(subject) | {"run_id": "{run_id}", "version_id": "{version_id}"}
        steps = [
            Step("run", f"{name}: {' '.join(_filled(argv, shown))}")
            for name in wanted
            if (argv := self._declared.commands.get(name)) is not None
        ]
        if "plan" in self._declared.commands and operation != "destroy":
            ended = await self._look("plan", subject, operation)
            steps.append(Step("expect", "what the plan command says", _tail(ended.stdout)))
        steps += [Step("set", f"{name} from {reference}") for name, reference in subject.config.secrets.items()]
        return Outlook(steps, self._warnings(subject))

    async def act(self, work: Work) -> Facts:
        """Run the command of a phase, once; what it wrote is the evidence.

        Raises:
            PhaseFailed: it failed, or nobody can say how far it got.
        """
        if work.phase == "revert":
            await self._stop_what_runs(work)
        name = self._named(work)
        if name is None:
            return {} if work.phase != "promote" else await self._status(work.subject)
        kept = Kept(self._folder / work.run_id / work.phase)
        if kept.state() == "done" and kept.ended().exit_code == TEMPORARY:
            kept.forget()
        await work.guard()
        command = self._command(name, work.subject, work.operation, self._secrets(work), work.run_id, work)
        facts = _facts(await kept.run(command))
        return facts if work.phase != "promote" else facts | await self._status(work.subject)

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """Whether the status command says something else than when it went live."""
        before, now = (subject.live or {}).get("status"), observed.get("status")
        return [] if before == now else [f"status is {dump_json(now)}, and was {dump_json(before)}"]

    async def logs(self, subject: Subject) -> str | None:
        """What the declared logs command says."""
        if "logs" not in self._declared.commands:
            return None
        return (await self._look("logs", subject, "apply")).stdout

    def _require_argument(self, service: str, name: str, value: object) -> None:
        pattern = self._declared.arguments.get(name)
        if pattern is None:
            known = ", ".join(self._declared.arguments) or "none"
            raise ValidationFailed(f"The target {self._name} has no argument {name!r}.", next=f"Declared are: {known}.")
        text = str(value)
        check_line(text, f"argument {name}")
        if not re.fullmatch(pattern, text):
            raise ValidationFailed(f"The argument {name} of {service} must match {pattern}.")
        if text.startswith("-") and _NUMBER.fullmatch(text) is None:
            raise ValidationFailed(
                f"The argument {name} of {service} begins like an option of a program.", next="Begin without -."
            )

    def _require_one_value(self, subject: Subject) -> None:
        """Each command is run once, for all services: they cannot fill in different things."""
        said = dict[str, str]()
        for service in subject.config.services:
            for name, value in service.arguments.items():
                if said.setdefault(name, str(value)) != str(value):
                    raise ValidationFailed(
                        f"Two services say another {name}, and the target {self._name} runs once for all of them.",
                        next="Say the same, or make a deployment for each.",
                    )

    def _require_all(self, subject: Subject) -> None:
        wanted = {place for argv in self._declared.commands.values() for place in _PLACEHOLDER.findall(" ".join(argv))}
        missing = sorted(wanted - set(self._arguments(subject)))
        if missing:
            raise ValidationFailed(
                f"The target {self._name} needs the arguments {', '.join(missing)}.",
                next=f"Give them to a service: arguments={{{missing[0]!r}: ...}}.",
            )

    def _warnings(self, subject: Subject) -> list[str]:
        commands = self._declared.commands
        warnings = (
            [] if "plan" in commands else ["The operator declared no plan command: what apply does is not known."]
        )
        if "rollback" not in commands and subject.live_revision is None and "destroy" not in commands:
            warnings.append("No rollback and no destroy command is declared: what fails half-way stays as it is.")
        return warnings

    def _named(self, work: Work) -> str | None:
        """The command that does a phase; None where it needs none."""
        commands, wanted = self._declared.commands, _COMMANDS[work.phase]
        if work.operation == "rollback" and work.phase == "deploy" and "rollback" in commands:
            return "rollback"
        if work.phase != "revert" or wanted in commands:
            return wanted if wanted in commands else None
        if work.subject.live_config is not None:
            return "apply"
        if "destroy" in commands:
            return "destroy"
        raise PhaseFailed("the operator declared no command that undoes it")

    async def _stop_what_runs(self, work: Work) -> None:
        for phase in ("build", "deploy", "check", "promote"):
            await Kept(self._folder / work.run_id / phase).stop()

    async def _status(self, subject: Subject) -> Facts:
        if "status" not in self._declared.commands:
            return {}
        ended = await self._look("status", subject, "apply")
        return {"status": _last_object(ended.stdout) or ended.stdout.strip()[:_TAIL_CHARACTERS]}

    async def _look(self, name: str, subject: Subject, operation: Operation) -> Ended:
        """Run a command that only looks.

        Raises:
            Unavailable: it failed.
        """
        try:
            command = self._command(name, subject, operation, {}, "")
            ended = await run_once(command)
        except (OSError, PhaseFailed) as error:
            ended = Ended(None, str(error), "", "")
        if ended.exit_code != 0:
            raise Unavailable(f"The {name} command of the target {self._name} failed: {_how(ended)}")
        return ended

    def _command(
        self,
        name: str,
        subject: Subject,
        operation: Operation,
        secrets: Mapping[str, str],
        run_id: str,
        work: Work | None = None,
    ) -> Command:
        undoes = work is not None and work.phase == "revert"
        meant = subject.live_config if undoes and subject.live_config is not None else subject.config
        revision = (subject.live_revision or 0) if undoes else subject.revision
        told = {
            "deployment": {"id": subject.id, "name": subject.name, "environment": subject.environment},
            "operation": operation,
            "phase": None if work is None else work.phase,
            "run_id": run_id,
            "revision": revision,
            "live": subject.live,
            "configuration": json.loads(meant.text()),
        }
        given = self._arguments(subject) | {"run_id": run_id, "revision": str(revision)}
        env, hidden = self._environment(secrets)
        limit = self._declared.seconds_max if run_id else min(LOOK_SECONDS_MAX, self._declared.seconds_max)
        argv = _filled(self._declared.commands[name], given)
        return Command(argv, self._declared.cwd, env, dump_json(told), limit, hidden)

    def _environment(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """What a command finds in its environment, and which values of it are to be hidden."""
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        declared = {key: _value(text) for key, text in self._declared.env.items()}
        hidden = {key: declared[key] for key, text in self._declared.env.items() if text.startswith(REFERENCES)}
        return inherited | declared | dict(secrets), hidden | dict(secrets)

    def _secrets(self, work: Work) -> dict[str, str]:
        return {name: work.secret(name) for service in work.subject.config.services for name in service.secrets}

    def _arguments(self, subject: Subject) -> dict[str, str]:
        live = subject.live or {}
        given = {"name": subject.name, "environment": subject.environment, "revision": str(subject.revision)}
        given |= {"label": subject.label, "run_id": "", "version_id": _word(live.get("version_id"))}
        for service in subject.config.services:
            given |= {name: str(value) for name, value in service.arguments.items()}
        return given


def _word(value: Any) -> str:
    """What a command told before may come into an argv only if it is one word."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", value) else ""


def _value(text: str) -> str:
    return resolve(text) if text.startswith(REFERENCES) else text


def _filled(argv: Sequence[str], given: Mapping[str, str]) -> list[str]:
    return [_PLACEHOLDER.sub(lambda place: given.get(place[1], place[0]), part) for part in argv]


def _facts(ended: Ended) -> Facts:
    """What a command told as evidence.

    Raises:
        PhaseFailed: it did not end well.
    """
    told = {"exit_code": ended.exit_code, "seconds": ended.seconds, "output": _tail(ended.stdout)}
    if ended.exit_code == 0:
        return _last_object(ended.stdout) | told
    if ended.exit_code == TEMPORARY:
        raise PhaseFailed(_how(ended), RETRY_SECONDS, told)
    raise PhaseFailed(_how(ended), None, told | {"unknown": ended.error == UNKNOWN})


def _how(ended: Ended) -> str:
    how = ended.error or f"exit code {ended.exit_code}"
    said = _tail(ended.stderr) or _tail(ended.stdout)
    return f"{how}: {said}" if said else how


def _tail(text: str) -> str:
    return text.strip()[-_TAIL_CHARACTERS:]


def _last_object(text: str) -> Facts:
    """The JSON object on the last line, if there is one."""
    last = text.strip().rpartition("\n")[2]
    try:
        told = json.loads(last)
    except (ValueError, RecursionError):
        return {}
    return cast("Facts", told) if isinstance(told, dict) else {}
