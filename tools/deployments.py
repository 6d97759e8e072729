"""Tools of deployments."""

from functools import partial

from pydantic import Field

from mcp_server.domain.deployments.spec import (
    ApplyDeployment,
    ControlDeployment,
    DefineDeployment,
    FindDeployments,
    PlanDeployment,
)
from mcp_server.domain.deployments.views import (
    AppliedDeployment,
    ControlledDeployment,
    DefinedDeployment,
    DeploymentView,
    PlannedDeployment,
    PlanView,
)
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.meaning import DeploymentName
from mcp_server.kernel.paging import LIMIT_MAX, floors
from mcp_server.kernel.quoting import named
from mcp_server.kernel.views import View
from tools.hints import as_asked, hint
from tools.spec import DESTROY, READ, UPDATE, Alone, Hints, Part, Tool, counted, listed

_NAMED = ("name", "environment", "target")


class FindArguments(FindDeployments):
    """See `deployments_find`."""

    deployment_id: DeploymentName | None = None
    logs: bool = Field(default=False, description="With the end of its log")


class FoundDeployments(View):
    """One deployment, or a list."""

    deployment: DeploymentView | None = None
    deployments: list[DeploymentView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FoundDeployments:
    """One deployment, or a list."""
    if args.deployment_id is not None:
        found = await desk.deployments.get(call, args.deployment_id, logs=args.logs)
        none = (
            "There is no log: its target keeps none here, or nothing has run." if args.logs and not found.logs else None
        )
        amiss = as_asked(args, "deployment_id", found, {name: name for name in (*_NAMED, "status")})
        return FoundDeployments(deployment=found, hint=" ".join(filter(None, (none, amiss))) or None)
    deployments, next_cursor, omitted = await desk.deployments.find(call, args)
    why = (None if deployments else await _nothing_of(desk, call, args)) or (_NO_LOGS if args.logs else None)
    known = floors(omitted=omitted)
    return FoundDeployments(deployments=deployments, next_cursor=next_cursor, omitted=omitted, at_least=known, hint=why)


_NO_LOGS = "`logs` shows the log of one deployment: name it by deployment_id."


async def _nothing_of(desk: Desk, call: Call, args: FindArguments) -> str | None:
    there = (await desk.deployments.find(call, FindDeployments(limit=LIMIT_MAX))).items
    narrowed = {name: (getattr(args, name), {getattr(one, name) for one in there}) for name in _NAMED}
    return hint("deployment", narrowed)


async def ticket(desk: Desk, call: Call, args: ApplyDeployment) -> TaskView:
    """Carry out a plan for a client that takes handles."""
    return await desk.tasks.get(call, (await desk.deployments.apply(call, args)).task.id)


def _name(deployment: DeploymentView) -> str:
    return f"{deployment.id} ({deployment.name} in {deployment.environment})"


def _say_defined(result: DefinedDeployment) -> str:
    deployment = result.deployment
    changes = f"; {listed(len(result.changes), 'change', None)}" if result.changes else "."
    said = f"{_name(deployment)} has revision {result.revision}{changes}"
    warned = "".join(f" {one}" for one in result.warnings or ())
    return f"{said}{warned} Next: deployments_plan(deployment_id='{deployment.id}')."


def _say_found(result: FoundDeployments) -> str:
    if result.deployment is not None:
        told = (*(result.deployment.warnings or ()), *((result.hint,) if result.hint else ()))
        return " ".join((f"{_name(result.deployment)} is {result.deployment.status}.", *told))
    return f"{listed(len(result.deployments or ()), 'deployment', result.omitted)} {result.hint or ''}".rstrip()


def _steps(plan: PlanView) -> str:
    lines = [f"{number}. {step.action} {step.what}" for number, step in enumerate(plan.steps, 1)]
    return "; ".join(lines) or "nothing would change"


def _say_planned(result: PlannedDeployment) -> str:
    plan = result.plan
    if plan.operation == "destroy":
        call = f"deployments_control(deployment_id='{plan.deployment_id}', action='destroy', plan_hash='{plan.hash}')"
    else:
        call = f"deployments_apply(deployment_id='{plan.deployment_id}', plan_hash='{plan.hash}')"
    waits = f" It waits for {', '.join(plan.needs_approval_of)} to approve." if plan.needs_approval_of else ""
    warned = f" Read {counted(len(plan.warnings), 'warning')} first, in `warnings`." if plan.warnings else ""
    steps = f"To {plan.operation} revision {plan.revision}: {_steps(plan)}."
    return f"{steps} Nothing was touched.{warned} Next: {call}.{waits}"


def _say_applied(result: AppliedDeployment) -> str:
    run = result.deployment.run
    waits = f" It waits for a person's approval, {run.approval_id}." if run is not None and run.approval_id else ""
    return f"{result.task.id} carries it out.{waits} Next: tasks_wait(task_id='{result.task.id}')."


def _say_controlled(result: ControlledDeployment) -> str:
    if result.task is not None:
        return f"{_name(result.deployment)}: {result.task.id} carries it out. Next: tasks_wait."
    if result.plan is not None:
        return _say_planned(PlannedDeployment(plan=result.plan))
    drift = result.deployment.drift
    return f"{_name(result.deployment)} {'has drifted: ' + '; '.join(drift) if drift else 'is as it was brought live'}."


def _says_control(args: ControlDeployment) -> str:
    revision = f" to revision {args.revision}" if args.revision is not None else ""
    plan = f" by plan {named(args.plan_hash)}" if args.plan_hash is not None else ""
    return f"{args.action.replace('_', ' ').capitalize()} deployment {named(args.deployment_id)}{revision}{plan}."


def _only_looks(args: ControlDeployment) -> Alone | None:
    looks = args.action == "check_drift" or (args.action == "destroy" and args.plan_hash is None)
    return Alone("it only shows something") if looks else None


TOOLS = (
    Tool(
        name="deployments_define",
        title="Define a deployment",
        description="Say what shall run in an environment; each change is a new revision. Nothing runs yet: "
        "deployments_plan shows what would happen.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_DEFINE,
        hints=UPDATE,
        arguments=DefineDeployment,
        result=DefinedDeployment,
        write=lambda desk: desk.deployments.define,
        foreseen=lambda desk: desk.deployments.define,
        part=Part(
            lambda args: f"Define what {named(args.name)} runs in {named(args.environment)} (target {args.target}).",
            makes=lambda args: ["deployment"],
            made=lambda done: [done.deployment.id],
            refers={"target": "target"},
        ),
        say=_say_defined,
    ),
    Tool(
        name="deployments_find",
        title="Find deployments",
        description="What is deployed where: evidence, last run, logs. deployment_id may be name/environment.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FoundDeployments,
        does=lambda desk: partial(find, desk),
        say=_say_found,
    ),
    Tool(
        name="deployments_plan",
        title="Plan a deployment",
        description="What applying (or with destroy, removing) it would do; touches nothing. deployments_apply takes "
        "its hash.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_DEFINE,
        hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=True),
        arguments=PlanDeployment,
        result=PlannedDeployment,
        does=lambda desk: desk.deployments.plan,
        say=_say_planned,
    ),
    Tool(
        name="deployments_apply",
        title="Apply a plan",
        description="Carry out exactly the plan of that hash, as a task: build, deploy, check, promote, or roll back. "
        "Refused when something moved since.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_APPLY,
        hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=True),
        arguments=ApplyDeployment,
        result=AppliedDeployment,
        write=lambda desk: desk.deployments.apply,
        part=Part(
            lambda args: f"Carry out plan {named(args.plan_hash)} of deployment {named(args.deployment_id)}.",
            makes=lambda args: ["task"],
            made=lambda done: [done.task["id"]],
            asks_itself=True,
        ),
        others_words=False,
        say=_say_applied,
        ticket=ticket,
    ),
    Tool(
        name="deployments_control",
        title="Roll back, stop, start, destroy, check drift",
        description="Do something else to a deployment. destroy without plan_hash only shows its plan.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_CONTROL,
        hints=DESTROY,
        arguments=ControlDeployment,
        result=ControlledDeployment,
        write=lambda desk: desk.deployments.control,
        part=Part(
            _says_control,
            makes=lambda args: ["task"],
            made=lambda done: [done.task["id"]],
            asks_itself=True,
            alone=_only_looks,
        ),
        say=_say_controlled,
    ),
)
