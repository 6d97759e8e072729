"""From settings to what runs elsewhere: launchers, targets of deployments, mirrors."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp_server.config import Settings, secret
from mcp_server.config.model import (
    ApproveSettings,
    CommandSettings,
    KeptSettings,
    LauncherArgument,
    LauncherSettings,
    ProcessSettings,
)
from mcp_server.config.places import deployments_folder, values_file
from mcp_server.domain.agents.launchers import PLAIN, ArgumentRule, Launcher, Launchers
from mcp_server.domain.approvals.rules import Condition, Rule, Rules
from mcp_server.domain.deployments.chores import Mirrors
from mcp_server.domain.deployments.configuration import REFERENCES, Probe
from mcp_server.domain.deployments.holders import Holders
from mcp_server.domain.deployments.holding import Room
from mcp_server.domain.deployments.mirrors import Remote
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.policy import DeploymentPolicy
from mcp_server.domain.deployments.programs import KNOWN, Ports, Program, Programs
from mcp_server.domain.deployments.targets import Facts, Target, Targets
from mcp_server.domain.desk import Desk
from mcp_server.domain.processes.running import Limits, Stop
from mcp_server.domain.state.commands import GetDocument
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.quoting import named
from mcp_server.runtime.local_service import LocalService

if TYPE_CHECKING:
    from mcp_server.integrations.cloudflare.calling import Account
    from mcp_server.integrations.workers.source import Sources

BUILT_IN = frozenset({"command", "process", "workerd", "cloudflare", "compose", "kubernetes"})
"""Names of targets that are the server's own."""

_ARGVS = {"build", "plan", "apply", "check", "promote", "rollback", "destroy", "stop", "start", "status", "logs"}


def launchers(settings: Settings) -> Launchers:
    """The commands that the operator declared.

    Raises:
        ValidationFailed: one cannot be run on this system, or leaves something open that it does not declare.
    """
    if settings.launchers and sys.platform == "win32":
        raise ValidationFailed("Launchers need Linux or macOS.", next="Leave [launchers] out on Windows.")
    made = {name: _launcher(one) for name, one in settings.launchers.items()}
    for name, one in made.items():
        _require_sound(name, one)
    return Launchers(made)


def _launcher(settings: LauncherSettings) -> Launcher:
    return replace(_kept(settings), share_database=settings.share_database, max_instances=settings.max_instances)


def _kept(settings: KeptSettings) -> Launcher:
    limits = settings.limits
    memory = None if limits.memory_mb is None else limits.memory_mb * 2**20
    return Launcher(
        argv=settings.argv,
        env=settings.env,
        cwd=None if settings.cwd is None else str(settings.cwd.expanduser()),
        limits=Limits(memory, limits.cpu_seconds, limits.open_files),
        stop=Stop(settings.stop_signal, settings.grace_seconds),
        arguments={name: _argument(one) for name, one in settings.arguments.items()},
    )


def _argument(settings: LauncherArgument) -> ArgumentRule:
    return ArgumentRule(
        type=settings.type,
        pattern=settings.pattern or PLAIN,
        minimum=settings.minimum,
        maximum=settings.maximum,
        choices=settings.choices,
        default=settings.default,
    )


def _require_sound(name: str, launcher: Launcher) -> None:
    problems = launcher.problems()
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is None:
        problems = ["its name must be a plain word", *problems]
    if problems:
        raise ValidationFailed(
            f"The launcher {named(name)} makes no sense: {'; '.join(problems)}.",
            next="Correct [launchers] in the configuration file; docs/launchers.md shows examples.",
        )


def deployment_policy(settings: Settings) -> DeploymentPolicy:
    """Which changes wait for whom, and which secrets deployments may name."""
    programs: list[KeptSettings | CommandSettings] = [*settings.launchers.values(), *settings.targets.values()]
    own = {text for program in programs for text in program.env.values() if text.startswith(REFERENCES)}
    return DeploymentPolicy(approve_rules(settings).all, settings.deployment_secrets, frozenset(own))


def room(settings: Settings) -> Room:
    """What deployments may have running on this machine. Where there is no docker, Compose's files are for another."""
    here = ("workerd", "compose") if shutil.which("docker") else ("workerd",)
    return Room(frozenset((*programs(settings).known, *here)), settings.deployments_max_replicas)


def approve_rules(settings: Settings) -> Rules:
    """Which calls wait for whom.

    Raises:
        ValidationFailed: a rule that makes no sense.
    """
    return Rules(tuple(_rule(number, said) for number, said in enumerate(settings.approve, 1)))


def _rule(number: int, said: ApproveSettings) -> Rule:
    told: dict[str, Any] = said.model_dump()
    told["arguments"] = tuple(_conditions(number, "", said.arguments))
    rule = Rule(**told)
    if isinstance(rule.quorum, int) and not 1 <= rule.quorum <= max(len(rule.people()), 1):
        raise _wrong_rule(number, f"a quorum of {rule.quorum} cannot be reached by {len(rule.people())} approvers")
    return rule


def _conditions(number: int, path: str, said: Mapping[str, Any]) -> Iterator[tuple[str, Condition]]:
    """The conditions in a table of arguments: what stands at a path, or below it."""
    for name, value in said.items():
        there = f"{path}{name}"
        if not isinstance(value, dict):
            yield there, Condition(equals=_values(value))
        elif value.keys() & {"equals", "glob", "over"}:
            yield there, _condition(number, there, cast("dict[str, Any]", value))
        else:
            yield from _conditions(number, f"{there}.", cast("dict[str, Any]", value))


def _condition(number: int, path: str, said: dict[str, Any]) -> Condition:
    glob, over, equals = (said.get(name) for name in ("glob", "over", "equals"))
    is_number = isinstance(over, (int, float)) and not isinstance(over, bool)
    if said.keys() - {"equals", "glob", "over"} or not isinstance(glob, str | None) or not (over is None or is_number):
        raise _wrong_rule(number, f"{path} takes {{equals = ..., glob = 'text', over = 10}}")
    return Condition(() if equals is None else _values(equals), glob, over)


def _values(said: Any) -> tuple[Any, ...]:
    return tuple(cast("list[Any]", said)) if isinstance(said, list) else (said,)


def _wrong_rule(number: int, why: str) -> ValidationFailed:
    return ValidationFailed(f"[[approve]] number {number} makes no sense: {why}.", next="Correct the TOML file.")


def declared_targets(settings: Settings) -> dict[str, Callable[[], Target]]:
    """The commands that the operator declared as targets, by name.

    Raises:
        ValidationFailed: one of them cannot work.
    """
    commands = {name: one for name, one in settings.targets.items() if isinstance(one, CommandSettings)}
    if not commands:
        return {}
    from mcp_server.integrations.kept import IS_POSSIBLE
    from mcp_server.integrations.targets.command import CommandTarget
    from mcp_server.integrations.targets.declared import Declared

    folder, made = deployments_folder(settings) / "runs", dict[str, Callable[[], Target]]()
    for name, said in commands.items():
        argvs = said.model_dump(exclude_none=True, include=_ARGVS)
        cwd = None if said.cwd is None else str(said.cwd.expanduser())
        declared = Declared(argvs, cwd, said.env, said.arguments, said.secrets, said.timeout_seconds)
        problems = declared.problems() or ([] if IS_POSSIBLE else ["commands need a system with process groups"])
        _require_target(name, problems)
        made[name] = partial(CommandTarget, name, declared, folder)
    return made


def _require_target(name: str, problems: list[str]) -> None:
    if name in BUILT_IN:
        problems = [*problems, "this name is one of the server's own targets"]
    if problems:
        raise ValidationFailed(f"[targets.{name}] cannot work: {'; '.join(problems)}.", next="Correct the TOML file.")


def programs(settings: Settings) -> Programs:
    """The programs that the operator lets run as replicas of services.

    Raises:
        ValidationFailed: one of them cannot work.
    """
    said = {name: one for name, one in settings.targets.items() if isinstance(one, ProcessSettings)}
    made = {name: _program(one) for name, one in said.items()}
    for name, one in made.items():
        possible = [] if sys.platform != "win32" else ["processes are kept on Linux and macOS only"]
        _require_target(name, possible + one.problems())
    return Programs(made)


def _program(settings: ProcessSettings) -> Program:
    return Program(
        replace(_kept(settings), known=KNOWN, what="target"),
        secrets=settings.secrets,
        listen=settings.listen,
        ports=Ports(*settings.ports),
        health=settings.health,
        health_command=settings.health_command,
        replicas_max=settings.max_replicas,
        start_seconds=settings.start_seconds,
        drain_seconds=settings.drain_seconds,
    )


class Workers:
    """What Workers and processes on this machine need of the desk, which is made after its targets."""

    def __init__(self, settings: Settings) -> None:
        self.desk: Desk | None = None
        self.service = LocalService(values_file(settings), self._application)

    async def document(self, namespace: str, key: str) -> Any:
        """The value of a document.

        Raises:
            NotFound: there is none.
        """
        return (await self.the_desk().state.get(SYSTEM_CALL, GetDocument(namespace=namespace, key=key))).value

    def _application(self, key: bytes) -> Callable[..., Any]:
        from mcp_server.integrations.workers.kv_service import KvService
        from mcp_server.integrations.workers.kv_tokens import KvTokens

        return KvService(self.the_desk().state, self.the_desk().context.clock, KvTokens(key))

    def the_desk(self) -> Desk:
        """The desk, once it is made."""
        assert self.desk is not None, "no desk was made yet"
        return self.desk


def targets(settings: Settings, workers: Workers) -> Targets:
    """Where this server deploys to."""
    folder = deployments_folder(settings)
    known, kept = declared_targets(settings), programs(settings).known
    kinds = (("command", list(known)), ("process", list(kept)))
    aliases = {kind: names[0] for kind, names in kinds if len(names) == 1}
    known |= {name: partial(_process, name, program, workers) for name, program in kept.items()}
    known |= {"compose": partial(_compose, folder), "kubernetes": partial(_kubernetes, folder)}
    known |= {"workerd": partial(_workerd, settings, workers), "cloudflare": partial(_cloudflare, settings, workers)}
    absent = {
        "command": "Which command is not said: the operator declares each under [targets.NAME].",
        "process": "Which program is not said: the operator declares each under [targets.NAME], kind = 'process'.",
    }
    own = {
        name: {variable: text for variable, text in said.env.items() if text.startswith(REFERENCES)}
        for name, said in settings.targets.items()
    }
    return Targets(known, absent, _probe, _resolve, aliases, own)


def _process(name: str, program: Program, workers: Workers) -> Target:
    from mcp_server.integrations.targets.process import ProcessTarget

    return ProcessTarget(name, program, workers.the_desk().get(Places), _probe)


def _workerd(settings: Settings, workers: Workers) -> Target:
    from mcp_server.integrations.targets.workerd import WorkerdTarget

    folder = deployments_folder(settings) / "workerd"
    return WorkerdTarget(folder, _sources(settings, workers), workers.service.address, workers.service.key)


def _cloudflare(settings: Settings, workers: Workers) -> Target:
    from mcp_server.integrations.targets.cloudflare import CloudflareTarget

    folder = deployments_folder(settings) / "cloudflare"
    sources, holder = _sources(settings, workers), workers.the_desk().get(Holders).holder
    return CloudflareTarget(folder, sources, account(settings), settings.cloudflare.dev_url, holder)


def mirrors(settings: Settings) -> Mirrors:
    """Which namespaces of state are kept alike with KV namespaces."""

    def open_remote() -> Remote:
        from mcp_server.integrations.cloudflare.mirror import CloudflareRemote

        return CloudflareRemote(account(settings))

    return Mirrors({namespace: said.kv for namespace, said in settings.mirrors.items()}, open_remote)


def mirrors_account(settings: Settings) -> object:
    """The account behind mirrors; None where there are none.

    Raises:
        ValidationFailed: a mirror or the account makes no sense.
    """
    strange = [name for name in settings.mirrors if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,56}", name)]
    if strange:
        raise ValidationFailed(f"[mirrors] {', '.join(strange)}: no namespace of state.", next="Correct the TOML file.")
    return account(settings) if settings.mirrors else None


def account(settings: Settings) -> "Account":
    """Whose Workers Cloudflare deploys.

    Raises:
        ValidationFailed: the account or its token is not set.
    """
    from mcp_server.integrations.cloudflare.calling import Account, Token

    said = settings.cloudflare
    token = secret(said.api_token, said.api_token_file, "CLOUDFLARE_API_TOKEN")
    if token is None or said.account_id is None:
        raise ValidationFailed(
            "The target cloudflare needs an account and a token.",
            next="The operator sets DATAMCP_CLOUDFLARE_ACCOUNT_ID, and DATAMCP_CLOUDFLARE_API_TOKEN or its _FILE.",
        )
    return Account(said.account_id, Token(token), said.base_url)


def _sources(settings: Settings, workers: Workers) -> "Sources":
    from mcp_server.integrations.workers.source import Sources

    said = settings.workers
    return Sources(tuple(map(Path, said.folders)), workers.document, said.esbuild, said.workerd)


def _compose(folder: Path) -> Target:
    from mcp_server.integrations.targets.compose import ComposeTarget

    return ComposeTarget(folder / "compose")


def _kubernetes(folder: Path) -> Target:
    from mcp_server.integrations.targets.kubernetes import KubernetesTarget

    return KubernetesTarget(folder / "kubernetes")


async def _probe(url: str, probe: Probe) -> Facts:
    from mcp_server.integrations.probing import probe as ask  # most servers never deploy

    return await ask(url, probe)


def _resolve(reference: str) -> str:
    from mcp_server.integrations.references import resolve

    return resolve(reference)
