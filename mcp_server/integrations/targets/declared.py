"""What the operator declares of commands that deploy, and what a deployment may fill in there."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.deployments.targets import Subject
from mcp_server.domain.processes.declaring import wrong_pattern, wrong_secrets, wrong_variables, wrong_words
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.quoting import quoted

_TOLD = ("name", "environment", "revision", "label", "run_id", "version_id")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_NUMBER = re.compile(r"-\d+(\.\d+)?")


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
        found = [] if "apply" in self.commands else ["it has no `apply` command"]
        found += [why for name, text in self.arguments.items() for why in _wrong_argument(name, text)]
        found += [*wrong_variables(self.env), *wrong_secrets(self.secrets)]
        return found + [f"`{name}`{why}" for name, argv in self.commands.items() for why in self._wrong_command(argv)]

    def _wrong_command(self, argv: Sequence[str]) -> list[str]:
        known = {*_TOLD, *self.arguments}
        strange = {place for part in argv for place in _PLACEHOLDER.findall(part)} - known
        unknown = [f" has the placeholder {{{place}}}, and known are {sorted(known)}" for place in strange]
        return [f": {why}" for why in wrong_words(argv)] + unknown

    def check(self, target: str, subject: Subject) -> None:
        """Refuse what a deployment says, as far as it is not declared or does not match.

        Raises:
            ValidationFailed: saying what would do.
        """
        for service in subject.config.services:
            for name, value in service.arguments.items():
                self._require_argument(target, service.name, name, str(value))
            self._require_secrets(target, service)
        self._require_one_value(target, subject)
        self._require_all(target, subject)

    def _require_argument(self, target: str, service: str, name: str, text: str) -> None:
        pattern = self.arguments.get(name)
        if pattern is None:
            known = ", ".join(self.arguments) or "none"
            raise ValidationFailed(
                f"The target {target} has no argument {quoted(name)}.", next=f"Declared are: {known}."
            )
        check_line(text, f"argument {name}")
        if not re.fullmatch(pattern, text):
            raise ValidationFailed(f"The argument {name} of {service} must match {pattern}.")
        if text.startswith("-") and _NUMBER.fullmatch(text) is None:
            raise ValidationFailed(
                f"The argument {name} of {service} begins like an option of a program.", next="Begin without -."
            )

    def _require_secrets(self, target: str, service: Service) -> None:
        strange = [name for name in service.secrets if name not in self.secrets]
        if strange:
            known = ", ".join(self.secrets) or "none"
            raise ValidationFailed(
                f"The target {target} takes no secret {', '.join(strange)}.", next=f"Declared are: {known}."
            )

    def _require_one_value(self, target: str, subject: Subject) -> None:
        """Each command is run once, for all services: they cannot fill in different things."""
        said = dict[str, str]()
        for service in subject.config.services:
            for name, value in service.arguments.items():
                if said.setdefault(name, str(value)) != str(value):
                    raise ValidationFailed(
                        f"Two services say another {name}, and the target {target} runs once for all of them.",
                        next="Say the same, or make a deployment for each.",
                    )

    def _require_all(self, target: str, subject: Subject) -> None:
        wanted = {place for argv in self.commands.values() for place in _PLACEHOLDER.findall(" ".join(argv))}
        missing = sorted(wanted - set(arguments_of(subject)))
        if missing:
            raise ValidationFailed(
                f"The target {target} needs the arguments {', '.join(missing)}.",
                next=f"Give them to a service: arguments={{{quoted(missing[0])}: ...}}.",
            )


def _wrong_argument(name: str, pattern: str) -> list[str]:
    found = [f"its argument {name} is filled in by the desk itself"] if name in _TOLD else []
    if _PLACEHOLDER.fullmatch(f"{{{name}}}") is None:
        found.append(f"its argument {name} is no name of small letters and _")
    return found + [f"its argument {name}: {why}" for why in wrong_pattern(pattern)]


def arguments_of(subject: Subject) -> dict[str, str]:
    """What is filled in: what the desk knows, and what services say."""
    live = subject.live or {}
    given = {"name": subject.name, "environment": subject.environment, "revision": str(subject.revision)}
    given |= {"label": subject.label, "run_id": "", "version_id": word(live.get("version_id"))}
    for service in subject.config.services:
        given |= {name: str(value) for name, value in service.arguments.items()}
    return given


def filled(argv: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """A command with everything filled in; what is filled in stays one argument."""
    return [_PLACEHOLDER.sub(lambda place: given.get(place[1], place[0]), part) for part in argv]


def word(value: Any) -> str:
    """What a command told before may come into an argv only if it is one word."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", value) else ""
