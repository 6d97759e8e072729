"""Use cases of deployments: configure, plan, carry out what was planned, look."""

import json
from functools import partial
from typing import Any, NamedTuple

from mcp_server.domain.deployments import transactions
from mcp_server.domain.deployments.configuration import Config, given_openly
from mcp_server.domain.deployments.hiding import Secrets
from mcp_server.domain.deployments.holding import Room
from mcp_server.domain.deployments.model import Deployment, Revision, revision_id_of
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.policy import DeploymentPolicy, require_documents
from mcp_server.domain.deployments.programs import Programs
from mcp_server.domain.deployments.question import question
from mcp_server.domain.deployments.runs import Run
from mcp_server.domain.deployments.spec import (
    ApplyDeployment,
    ControlDeployment,
    DefineDeployment,
    FindDeployments,
    Operation,
    PlanDeployment,
)
from mcp_server.domain.deployments.targets import (
    Facts,
    Falling,
    Naming,
    Showing,
    Subject,
    Targets,
    no_deployment,
    require_taken,
)
from mcp_server.domain.deployments.transactions import Decided, Decision, Defined, NewDefinition, no_plan, no_revision
from mcp_server.domain.deployments.views import (
    AppliedDeployment,
    ControlledDeployment,
    DefinedDeployment,
    DeploymentView,
    PlannedDeployment,
    PlanView,
    RevisionView,
    deployment_view,
    plan_view,
    run_view,
    shown_config,
)
from mcp_server.domain.tasks.standing import task_state
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import Conflict, InvalidTransition, ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_tools import differences
from mcp_server.kernel.paging import Listed, Query, decode_cursor, fetch_page
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import iso
from mcp_server.kernel.writes import Write

REVISIONS_SHOWN = 10
CHANGES_SHOWN = 50

LOGS_CHARACTERS_MAX = 64 * 1024
"""Of the end of logs that is shown, whatever a target says."""


class Made(NamedTuple):
    """A plan that was just made, and of what."""

    plan: Plan
    event: Event
    subject: Subject


class Action(NamedTuple):
    """What a control comes to: a decision, a plan to look at, or a comparison with what is there."""

    decision: Decision | None = None
    planned: Made | None = None
    drift: tuple[Deployment, list[str]] | None = None


class DeploymentService:
    """Define, plan, apply, control and find deployments."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._targets = services.option(Targets)
        self._policy = services.option(DeploymentPolicy)
        self._programs = services.option(Programs)
        self._room = services.option(Room)
        self.define = Write(context, Permission.DEPLOYMENTS_DEFINE, self._checked, transactions.define, self._defined)
        self.apply = Write(context, Permission.DEPLOYMENTS_APPLY, self._decision, transactions.decide, self._applied)
        self.control = Write(context, Permission.DEPLOYMENTS_CONTROL, self._action, _act, self._controlled)

    async def plan(self, call: Call, command: PlanDeployment) -> PlannedDeployment:
        """What would happen; nothing but the plan itself is kept.

        Raises:
            NotFound: no such deployment or revision.
            OpsError: the target cannot be asked.
        """
        call.actor.require(Permission.DEPLOYMENTS_DEFINE)
        deployment = await self.named(command.deployment_id)
        if command.destroy and command.revision is not None:
            raise ValidationFailed("A removal has no `revision`.", next="Leave one of the two out.")
        operation: Operation = "destroy" if command.destroy else "apply"
        made = await self._made(call, deployment, operation, command.revision)
        await self._context.write(call, transactions.keep_plan, (made.plan, made.event))
        return PlannedDeployment(plan=self._plan_view(call, made.plan, deployment))

    async def find(self, call: Call, command: FindDeployments) -> Listed[DeploymentView]:
        """Deployments by name."""
        call.actor.require(Permission.DEPLOYMENTS_READ)
        query = (
            Query("deployments_find")
            .where("deployment_name", deployment_name=command.name)
            .where("deployment_environment", deployment_environment=command.environment)
            .where("deployment_target", deployment_target=command.target)
            .where("deployment_status", deployment_status=command.status)
        )
        if command.cursor is not None:
            name, environment = decode_cursor(query.listed, command.cursor, (str, str))
            query = query.where("deployment_after", after_name=name, after_environment=environment)
        page = await fetch_page(self._database, query, command.limit, ("name", "environment"))
        return Listed([deployment_view(row) for row in page.rows], page.next_cursor, page.omitted)

    async def get(self, call: Call, deployment_id: str, *, logs: bool = False) -> DeploymentView:
        """One deployment with its configuration, its evidence, its last run, and perhaps its logs.

        Raises:
            NotFound: no such deployment.
        """
        call.actor.require(Permission.DEPLOYMENTS_READ)
        deployment = await self.named(deployment_id)
        revision = await self._revision(deployment.id, deployment.revision)
        more: dict[str, Any] = {
            "config": shown_config(revision.config),
            "live": None if deployment.live is None else json.loads(deployment.live),
            "created_by": deployment.created_by,
            "revisions": await self._revisions(deployment.id),
            "warnings": self._targets.lacking(deployment.subject(revision.revision, revision.config, None)) or None,
        }
        if fallen := await self.fallen(deployment):
            more["drift"] = fallen
        if deployment.run_id is not None:
            row = await self._database.fetch_one("deployment_run_by_id", id=deployment.run_id)
            more["run"] = None if row is None else run_view(Run.adopt(dict(row)))
        return deployment_view(deployment, **more, **await self._now(call, deployment, logs=logs))

    async def _now(self, call: Call, deployment: Deployment, *, logs: bool) -> dict[str, Any]:
        """How what runs is at this moment, as far as its target can say; and the end of its logs."""
        told: dict[str, Any] = {}
        if logs or deployment.target in self._programs.known:
            target = self._targets.get(deployment.target)
            subject = await self._subject(deployment, deployment.live_revision or deployment.revision)
            secrets = self._secrets(subject)
            if isinstance(target, Showing):
                told["replicas"] = await secrets.told(target.replicas(subject)) or None
            if logs:
                call.actor.require(Permission.DEPLOYMENTS_APPLY)  # a program may print anything, its keys too
                told["logs"] = _end_of(await secrets.told(target.logs(subject)))
        return told

    async def fallen(self, deployment: Deployment, *, trims: bool = False) -> list[str]:
        """What of a live deployment should run on this machine and does not, in words; its logs are perhaps bounded."""
        known = self._targets.known.keys()
        target = self._targets.get(deployment.target) if deployment.target in known else None
        if deployment.status != "live" or not isinstance(target, Falling):
            return []
        subject = await self._subject(deployment, _live(deployment))
        if trims:
            target.trim(subject)
        return target.fallen(subject)

    async def named(self, reference: str) -> Deployment:
        """The deployment of an id, of a name that only one has, or of `name/environment`.

        Raises:
            NotFound: there is none.
            Conflict: several environments have one of that name.
        """
        row = await self._database.fetch_one("deployment_by_id", id=reference)
        found = [row] if row is not None else await self._database.fetch_all("deployments_named", name=reference)
        if not found:
            raise no_deployment(reference)
        if len(found) > 1:
            raise Conflict(
                f"{reference} is in {len(found)} environments: {', '.join(one['environment'] for one in found)}.",
                next=f"Say which one: {found[0]['id']} or '{reference}/{found[0]['environment']}'.",
                details={"deployments": [{key: one[key] for key in ("id", "name", "environment")} for one in found]},
            )
        return Deployment.adopt(dict(found[0]))

    async def _checked(self, call: Call, command: DefineDeployment) -> NewDefinition:
        text, name = command.text(), self._targets.aliases.get(command.target, command.target)
        command = command.model_copy(update={"target": name})
        config = Config.read(text)
        subject = Subject("", command.name, command.environment, command.target, 1, config)
        check_all(
            partial(self._policy.require_secrets, config, is_local=call.actor.is_local),
            partial(require_documents, config, call.actor.scope),
            partial(self._require_target, subject),
        )
        target = self._targets.get(command.target)
        return NewDefinition(command, text, subject, target.names if isinstance(target, Naming) else None)

    def _require_target(self, subject: Subject) -> None:
        """Refuse a target that there is not, or what it does not take."""
        target = self._targets.get(subject.target)
        check_all(partial(require_taken, target, subject), partial(target.check, subject))

    async def _defined(self, call: Call, done: Defined) -> DefinedDeployment:
        del call
        lacking = self._targets.lacking(done.deployment.subject(done.deployment.revision, done.config, None))
        warnings = [*lacking, *given_openly(Config.read(done.config))]
        # Whoever defines a new one knows what it said.
        before = done.config if done.before is None else done.before
        changes = differences(json.loads(before), json.loads(done.config), CHANGES_SHOWN)
        view = deployment_view(done.deployment)
        revision = done.deployment.revision
        return DefinedDeployment(deployment=view, revision=revision, changes=changes, warnings=warnings or None)

    async def _decision(self, call: Call, command: ApplyDeployment) -> Decision:
        deployment = await self.named(command.deployment_id)
        plan = await self._plan(deployment, command.plan_hash)
        if plan.operation == "destroy":
            raise ValidationFailed(
                "This plan removes the deployment.",
                next=f"That is deployments_control(deployment_id='{deployment.id}', action='destroy', plan_hash=...).",
            )
        return await self._decided(call, deployment, plan)

    async def _decided(self, call: Call, deployment: Deployment, plan: Plan) -> Decision:
        """What was planned is to happen, if it is still what was shown."""
        plan.require_fresh(deployment)
        subject = await self._subject(deployment, plan.revision)
        require_documents(subject.config, call.actor.scope)
        plan.require_same(await self._observed(subject))
        self._require_allowed(subject, plan.operation)
        return self._decision_on(call, plan, subject)

    def _require_allowed(self, subject: Subject, operation: Operation) -> None:
        """What was defined under other rules of the operator's has to be what they take now."""
        if operation in ("apply", "rollback"):
            self._targets.get(subject.target).check(subject)

    def _decision_on(self, call: Call, plan: Plan, subject: Subject, planned: Event | None = None) -> Decision:
        self._policy.require_secrets(subject.config, is_local=call.actor.is_local)
        rule = self._policy.rule(call, plan, subject)
        return Decision(plan, question(rule, plan, subject), planned, self._room)

    async def _action(self, call: Call, command: ControlDeployment) -> Action:
        deployment = await self.named(command.deployment_id)
        if command.action == "check_drift":
            return Action(drift=(deployment, await self._drift(deployment)))
        revision = _rollback_to(deployment, command) if command.action == "rollback" else None
        if command.action in ("stop", "start"):
            revision = _live(deployment)
        if command.plan_hash is not None:
            plan = await self._plan(deployment, command.plan_hash)
            if plan.operation != command.action:
                raise ValidationFailed(
                    f"This plan is one to {plan.operation}, not to {command.action}.",
                    next="Make the plan for it, or leave plan_hash out.",
                )
            return Action(await self._decided(call, deployment, plan))
        made = await self._made(call, deployment, command.action, revision)
        if command.action == "destroy":
            return Action(planned=made)
        return Action(self._decision_on(call, made.plan, made.subject, made.event))

    async def _drift(self, deployment: Deployment) -> list[str]:
        subject = await self._subject(deployment, _live(deployment))
        return self._targets.get(deployment.target).drift(subject, await self._observed(subject))

    async def _observed(self, subject: Subject) -> Facts:
        return await self._secrets(subject).told(self._targets.get(subject.target).observe(subject))

    def _secrets(self, subject: Subject) -> Secrets:
        return Secrets(self._targets, subject)

    async def _applied(self, call: Call, done: Decided) -> AppliedDeployment:
        del call
        assert done.task is not None
        return AppliedDeployment(task=task_state(done.task), deployment=_with_run(done))

    async def _controlled(self, call: Call, done: Decided) -> ControlledDeployment:
        plan = None if done.plan is None else self._plan_view(call, done.plan, done.deployment)
        task = None if done.task is None else task_state(done.task)
        return ControlledDeployment(deployment=_with_run(done), task=task, plan=plan)

    async def _made(self, call: Call, deployment: Deployment, operation: Operation, revision: int | None) -> Made:
        if operation == "destroy":
            revision = deployment.live_revision
        subject = await self._subject(deployment, revision or deployment.revision)
        require_documents(subject.config, call.actor.scope)
        target = self._targets.get(deployment.target)
        if operation not in target.operations:
            known = ", ".join(sorted(target.operations))
            raise ValidationFailed(
                f"The target {deployment.target} cannot {operation}; it can {known}.",
                next="Do one of these. What a declared target can do is what the operator declared a command for.",
            )
        self._require_allowed(subject, operation)
        observed, secrets = await self._observed(subject), self._secrets(subject)
        outlook = await secrets.told(target.outlook(subject, operation, observed))
        if operation != "destroy":
            warnings = [*dict.fromkeys((*self._targets.lacking(subject), *outlook.warnings))]
            outlook = outlook._replace(warnings=warnings)
        by = self._context.origin(call).actor
        made = Plan.made(subject, deployment.revision, operation, observed, outlook, by, self._context.clock())
        return Made(*made, subject)

    async def _subject(self, deployment: Deployment, revision: int) -> Subject:
        meant, live = await self._revision(deployment.id, revision), deployment.live_revision
        live_config = None if live is None else (await self._revision(deployment.id, live)).config
        row = await self._database.fetch_one("deployment_run_to", deployment_id=deployment.id, revision=revision)
        then = None if row is None else Run.adopt(dict(row)).evidence()
        return deployment.subject(revision, meant.config, live_config, then)

    async def _revision(self, deployment_id: str, revision: int) -> Revision:
        row = await self._database.fetch_one("deployment_revision_by_id", id=revision_id_of(deployment_id, revision))
        if row is None:
            raise no_revision(deployment_id, revision)
        return Revision.adopt(dict(row))

    async def _revisions(self, deployment_id: str) -> list[RevisionView]:
        rows = await self._database.fetch_all(
            "deployment_revisions_of", deployment_id=deployment_id, limit=REVISIONS_SHOWN
        )
        return [
            RevisionView(revision=row["revision"], created_by=row["created_by"], created_at=iso(row["created_at"]))
            for row in rows
        ]

    async def _plan(self, deployment: Deployment, plan_hash: str) -> Plan:
        row = await self._database.fetch_one("deployment_plan_by_id", id=plan_hash)
        if row is None or row["deployment_id"] != deployment.id:
            raise no_plan(plan_hash)
        return Plan.adopt(dict(row))

    def _plan_view(self, call: Call, plan: Plan, deployment: Deployment) -> PlanView:
        rule = self._policy.rule(call, plan, deployment)
        return plan_view(plan, None if rule is None else rule.approvers)


def _act(tx: Transaction, origin: Origin, action: Action) -> Decided:
    """Do what a control comes to."""
    if action.drift is not None:
        return transactions.note_drift(tx, origin, *action.drift)
    if action.decision is not None:
        return transactions.decide(tx, origin, action.decision)
    assert action.planned is not None
    plan = transactions.keep_plan(tx, origin, (action.planned.plan, action.planned.event))
    return Decided(None, transactions.load(tx, plan.deployment_id), plan, None)


def _with_run(done: Decided) -> DeploymentView:
    return deployment_view(done.deployment, run=None if done.run is None else run_view(done.run))


def _live(deployment: Deployment, wanted: int = 0) -> int:
    """The revision that is live; a refusal names how another is brought live."""
    if deployment.live_revision is None:
        revision = f", revision={wanted}" if wanted else ""
        raise InvalidTransition(
            f"Nothing of {deployment.name} in {deployment.environment} is live; it is {deployment.status}.",
            next=f"Bring it live: deployments_plan(deployment_id='{deployment.id}'{revision}), then deployments_apply.",
            details={"deployment_id": deployment.id, "status": deployment.status},
        )
    return deployment.live_revision


def _rollback_to(deployment: Deployment, command: ControlDeployment) -> int:
    revision = command.revision or deployment.previous_revision
    if revision is None:
        live = _live(deployment, deployment.revision - 1)
        raise InvalidTransition(
            f"{deployment.name} in {deployment.environment} has nothing to go back to by itself: its live revision "
            f"({live}) is the first, or was gone back to.",
            next=f"Name one that was live: revision=...; deployments_find(deployment_id='{deployment.id}') lists them. "
            f"What never was is applied: deployments_plan(deployment_id='{deployment.id}', revision=...).",
            details={"deployment_id": deployment.id, "live_revision": deployment.live_revision},
        )
    return revision


def _end_of(text: str | None) -> str | None:
    return text and text[-LOGS_CHARACTERS_MAX:]
