"""The target `command`: commands that the operator declared, such as `wrangler deploy` or `terraform apply`.

A model names the target and fills declared arguments; no command, path or variable comes from it. Each command gets the
deployment as JSON on stdin. A last line of its output that is a JSON object is its evidence: `url` is where checks go.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from mcp_server.domain.deployments.configuration import REFERENCES
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Phase, PhaseFailed, Step, Subject, Work
from mcp_server.integrations.kept import TEMPORARY, UNKNOWN, Command, Ended, Kept, run_once
from mcp_server.integrations.references import resolve
from mcp_server.integrations.targets.declared import Declared, arguments_of, filled, word
from mcp_server.integrations.targets.lacking import lacking
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.errors import InvalidTransition, Unavailable, ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, dump_json, others_json

LOOK_SECONDS_MAX = 120.0
RETRY_SECONDS = 5.0
_TAIL_CHARACTERS = 1500


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
        self._declared.check(self._name, subject)

    async def observe(self, subject: Subject) -> Facts:
        """What is declared, as a hash, and what the declared status command says."""
        declared = {"commands": {name: list(argv) for name, argv in self._declared.commands.items()}}
        declared |= {"cwd": self._declared.cwd, "env": dict(self._declared.env)}
        return {"declared": canonical_hash(declared)[:16], **await self._status(subject)}

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """The commands that would run, and what the declared plan command says."""
        del observed
        wanted = [operation] if operation in ("destroy", "stop", "start") else ["build", "apply", "check", "promote"]
        shown = arguments_of(subject) | {"run_id": "{run_id}", "version_id": "{version_id}"}
        goes_back = self._goes_back(operation)
        if goes_back:
            wanted[1] = operation
            shown["version_id"] = self._known_version(subject)
        steps = [self._run_step(name, shown) for name in wanted if name in self._declared.commands]
        if "plan" in self._declared.commands and operation != "destroy" and not goes_back:
            ended = await self._look("plan", subject, operation)
            steps.append(Step("expect", "what the plan command says", _tail(ended.stdout)))
        steps += [Step("set", f"{name} from {reference}") for name, reference in subject.config.secrets.items()]
        return Outlook(steps, self._warnings(subject))

    def _run_step(self, name: str, shown: Mapping[str, str]) -> Step:
        """That a declared command is run, as far as is known with what."""
        return Step("run", f"{name}: {' '.join(filled(self._declared.commands[name], shown))}")

    def lacks(self, subject: Subject) -> list[str]:
        """Programs of the operator's commands that are not here."""
        del subject
        return lacking((argv[0] for argv in self._declared.commands.values()), self._declared.env)

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
        """Whether the status command says something else than when it went live.

        Raises:
            ValidationFailed: none is declared.
        """
        if "status" not in self._declared.commands:
            raise ValidationFailed(
                f"The target {self._name} has no status command, so nothing can be compared.",
                next="The operator declares one: status = [...], whose words are equal as long as nothing has moved.",
            )
        before, now = (subject.live or {}).get("status"), observed.get("status")
        return [] if before == now else [f"status is {dump_json(now)}, and was {dump_json(before)}"]

    async def logs(self, subject: Subject) -> str | None:
        """What the declared logs command says."""
        if "logs" not in self._declared.commands:
            return None
        return (await self._look("logs", subject, "apply")).stdout

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
        """End the commands of a run that is to be undone."""
        for phase in ("build", "deploy", "check", "promote"):
            await Kept(self._folder / work.run_id / phase).stop()

    async def _status(self, subject: Subject) -> Facts:
        """What the declared status command says; nothing where none is declared."""
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
        given = arguments_of(subject) | {"run_id": run_id, "revision": str(revision)} | self._version(subject, work)
        env, hidden = self._environment(secrets)
        limit = self._declared.seconds_max if run_id else min(LOOK_SECONDS_MAX, self._declared.seconds_max)
        argv = filled(self._declared.commands[name], given)
        return Command(argv, self._declared.cwd, env, dump_json(told), limit, hidden)

    def _version(self, subject: Subject, work: Work | None) -> dict[str, str]:
        """Which version a command is about, where that is not the one that is live: what was just made, or, going
        back, what was live as that revision."""
        if work is None or work.phase == "revert":
            return {}
        then = _version_then(subject) if work.operation == "rollback" else None
        made = then if self._goes_back(work.operation) else _version_made(work) or then
        return {} if made is None else {"version_id": made}

    def _goes_back(self, operation: Operation) -> bool:
        """Whether a command of its own does that, and nothing is applied anew."""
        return operation == "rollback" and "rollback" in self._declared.commands

    def _known_version(self, subject: Subject) -> str:
        """The version that a rollback command is to go back to.

        Raises:
            InvalidTransition: the command names it, and nobody told it.
        """
        known = _version_then(subject)
        if not known and any("{version_id}" in part for part in self._declared.commands["rollback"]):
            raise InvalidTransition(
                f"When revision {subject.revision} was brought live, apply told no version_id that the rollback "
                f"command of {self._name} could be given.",
                next=f"Apply it anew: deployments_plan(deployment_id='{subject.id}', revision={subject.revision}). The"
                ' operator lets apply print {"version_id": "..."} as its last line.',
                details={"deployment_id": subject.id, "revision": subject.revision},
            )
        return known

    def _environment(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """What a command finds in its environment, and which values of it are to be hidden."""
        declared = {key: _value(text) for key, text in self._declared.env.items()}
        hidden = {key: declared[key] for key, text in self._declared.env.items() if text.startswith(REFERENCES)}
        return passed_on() | declared | dict(secrets), hidden | dict(secrets)

    def _secrets(self, work: Work) -> dict[str, str]:
        """The secrets that services name, by the name of the variable."""
        return {name: work.secret(name) for service in work.subject.config.services for name in service.secrets}


def _value(text: str) -> str:
    """A declared variable as its command gets it."""
    return resolve(text) if text.startswith(REFERENCES) else text


def _version_then(subject: Subject) -> str:
    """The version that was live as the revision that is meant, as far as that was told."""
    return word((subject.then or {}).get("version_id"))


def _version_made(work: Work) -> str | None:
    """The version that a command of this run told last."""
    told = [facts["version_id"] for facts in work.done.values() if "version_id" in facts]
    return word(told[-1]) if told else None


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
    """How a command ended, and the end of what it said."""
    how = ended.error or f"exit code {ended.exit_code}"
    said = _tail(ended.stderr) or _tail(ended.stdout)
    return f"{how}: {said}" if said else how


def _tail(text: str) -> str:
    """The end of a text."""
    return text.strip()[-_TAIL_CHARACTERS:]


def _last_object(text: str) -> Facts:
    """The JSON object on the last line, if there is one."""
    last = text.strip().rpartition("\n")[2]
    try:
        told = others_json(last)
    except ValueError:
        return {}
    return cast("Facts", told) if isinstance(told, dict) else {}
