"""Launchers: the commands that the operator declared. A model names one and fills in what it leaves open; nothing else
of the command is the model's, and no shell ever sees it.

In a template, `{name}` stands for a declared argument, and `{agent_id}`, `{agent_name}`, `{agent_kind}`, `{instance}`
and `{slot}` for what the desk knows itself. Braces that are meant are doubled.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mcp_server.domain.agents.commands import LauncherUse
from mcp_server.domain.processes.declaring import wrong_pattern, wrong_variables, wrong_words
from mcp_server.domain.processes.running import Limits, Stop
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named, quoted

PLAIN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What a text must look like where the operator does not say."""

MAX_INSTANCES = 16
"""How many instances an agent may have where the operator does not say."""

KNOWN = ("agent_id", "agent_name", "agent_kind", "instance", "slot")
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """What may be filled in for one argument.

    Attributes:
        type: a text, a whole number, or one of `choices`.
        pattern: what the whole of a text must match.
        minimum: of a number.
        maximum: of a number.
        choices: the words of a choice.
        default: what stands there where nothing is filled in; None where something must be.
    """

    type: Literal["text", "int", "choice"] = "text"
    pattern: str = PLAIN
    minimum: int = 0
    maximum: int = 2**31
    choices: tuple[str, ...] = ()
    default: str | int | None = None

    def says(self) -> str:
        """What it takes, for people and models."""
        match self.type:
            case "int":
                return f"a whole number from {self.minimum} to {self.maximum}"
            case "choice":
                return f"one of {', '.join(self.choices)}"
            case "text":
                return f"text that matches {self.pattern}"

    def takes(self, value: str | int) -> bool:
        """Whether a value may be filled in. No text begins like an option of a program."""
        match self.type:
            case "int":
                return type(value) is int and self.minimum <= value <= self.maximum
            case "choice":
                return value in self.choices
            case "text":
                return isinstance(value, str) and value[:1] != "-" and re.fullmatch(self.pattern, value) is not None


_TYPES = {"pattern": "text", "minimum": "int", "maximum": "int", "choices": "choice"}
"""Which type asks for each bound."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """One command that the operator declared.

    Attributes:
        argv: the program and its arguments, as templates.
        env: variables: texts, or references `env:NAME` and `file:PATH` that are looked up at each start.
        cwd: the folder it runs in.
        limits: what one instance may use.
        stop: how one is asked to end.
        arguments: what is left open.
        share_database: whether it is told which database this desk uses.
        max_instances: how many an agent may have.
        known: what the desk fills in itself.
        what: it is called in refusals.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    limits: Limits = field(default_factory=Limits)
    stop: Stop = field(default_factory=Stop)
    arguments: Mapping[str, ArgumentRule] = field(default_factory=dict[str, ArgumentRule])
    share_database: bool = False
    max_instances: int = MAX_INSTANCES
    known: tuple[str, ...] = KNOWN
    what: str = "launcher"

    def problems(self) -> list[str]:
        """What makes no sense about it, in words."""
        left_open = self._left_open()
        strange = [part for part in left_open if part not in self.known and part not in self.arguments]
        found = [*wrong_words(self.argv), *wrong_variables(self.env)]
        found += [f"argv names {{{part}}}, which [arguments] does not declare" for part in strange]
        for name, rule in self.arguments.items():
            unused = [] if name in left_open else ["its command does not name it"]
            problems = [*_problems(name, rule, self.known), *unused]
            found += [f"its argument {name}: {problem}" for problem in problems]
        return found

    def _left_open(self) -> list[str]:
        found = (match for part in self.argv for match in _PART.finditer(part))
        return [match[1] if match[1] is not None else match[0] for match in found if match[0] not in ("{{", "}}")]

    def check(self, name: str, given: Mapping[str, Any]) -> None:
        """Refuse values for arguments that are not declared or do not fit.

        Raises:
            ValidationFailed: naming what is declared.
        """
        for value in given.values():
            if isinstance(value, str):
                check_line(value, "argument")
        strange = [argument for argument in given if argument not in self.arguments]
        whys = [f"has no argument {named(argument)}" for argument in strange]
        whys += filter(None, (_misfit(rule, argument, given) for argument, rule in self.arguments.items()))
        if whys:
            meant = [like for argument in strange for like in near(argument, list(self.arguments))]
            raise self._refused(name, "; ".join(whys), list(dict.fromkeys(meant)))

    def filled(self, given: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, ...]:
        """The command, with everything filled in that it leaves open. What is filled in stays one argument."""
        defaults = {argument: rule.default for argument, rule in self.arguments.items()}
        values = {name: str(value) for name, value in {**defaults, **given, **known}.items()}
        return tuple(_PART.sub(lambda match: _filled(match, values), part) for part in self.argv)

    def _refused(self, name: str, why: str, meant: Sequence[str] = ()) -> ValidationFailed:
        rules = [f"{name}: {rule.says()}" for name, rule in self.arguments.items()]
        declared = f"Its arguments: {'; '.join(rules)}." if rules else "It takes no arguments."
        return ValidationFailed(
            f"The {self.what} {name} {why}. {declared}", next=did_you_mean(meant), details={self.what: name}
        )


@dataclass(frozen=True, slots=True)
class Launchers:
    """Every launcher of this server, by name."""

    known: Mapping[str, Launcher] = field(default_factory=dict[str, Launcher])

    def check(self, use: LauncherUse) -> None:
        """Refuse what names no launcher, or fills in what it does not take.

        Raises:
            ValidationFailed: naming what is declared.
        """
        launcher = self.known.get(use.name)
        if launcher is None:
            raise unknown_launcher(use.name, self.known)
        launcher.check(use.name, use.arguments)

    def require_number(self, name: str, instances: int) -> None:
        """Refuse more instances than a launcher allows. Of one that another server alone knows, that server does.

        Raises:
            LimitExceeded: naming how many.
        """
        launcher = self.known.get(name)
        if launcher is not None and instances > launcher.max_instances:
            raise LimitExceeded(
                f"The launcher {name} allows an agent {launcher.max_instances} instances, not {instances}.",
                next="Ask for fewer, or have the operator set max_instances.",
                details={"launcher": name, "max_instances": launcher.max_instances},
            )


def _misfit(rule: ArgumentRule, argument: str, given: Mapping[str, Any]) -> str | None:
    """What is wrong with what an argument is given; None where nothing is."""
    value = given.get(argument, rule.default)
    if value is None:
        return f"needs the argument {argument}"
    told = quoted(value) if isinstance(value, str) else value
    return None if rule.takes(value) else f"takes as {argument} {rule.says()}, not {told}"


def _problems(name: str, rule: ArgumentRule, known: Sequence[str]) -> list[str]:
    """What makes no sense about an argument."""
    found: list[str] = []
    if name in known:
        found.append("the desk fills it in itself")
    if rule.type == "choice" and not rule.choices:
        found.append("a choice needs `choices`")
    if rule.minimum > rule.maximum:
        found.append(f"no number is from {rule.minimum} to {rule.maximum}")
    found += [f"`{bound}` counts for nothing, since its type is {rule.type}" for bound in _idle_bounds(rule)]
    broken = wrong_pattern(rule.pattern)
    if broken:
        return found + broken
    if rule.default is not None and not rule.takes(rule.default):
        found.append(f"its default is not {rule.says()}")
    return found


def _idle_bounds(rule: ArgumentRule) -> list[str]:
    """What was said of its values that its type does not ask for: whoever wrote it believes that it holds."""
    return [bound for bound in _TYPES.keys() & _said(rule) if _TYPES[bound] != rule.type]


def _said(rule: ArgumentRule) -> set[str]:
    said, unsaid = asdict(rule), asdict(ArgumentRule())
    return {name for name, value in said.items() if value != unsaid[name]}


def unknown_launcher(name: str, known: Iterable[str]) -> ValidationFailed:
    """The refusal for a name of no launcher."""
    names = sorted(known)
    meant = near(name, names)
    declared = f"Declared: {', '.join(names)}." if names else "The operator of this server declared none."
    return ValidationFailed(
        f"There is no launcher {named(name)}. {declared}",
        next=did_you_mean(meant),
        details={"launcher": name, "declared": names} | ({"near": meant} if meant else {}),
    )


def _filled(match: re.Match[str], values: Mapping[str, str]) -> str:
    return match[0][0] if match[1] is None else values[match[1]]
