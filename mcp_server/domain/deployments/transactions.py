"""Transaction functions of deployments: define, keep a plan, decide on a run, and what becomes of it."""

from typing import Any, NamedTuple

from mcp_server.domain.approvals.commands import ApprovalSpec
from mcp_server.domain.approvals.model import approval_id_of
from mcp_server.domain.approvals.transactions import open_approval, reason_of_no
from mcp_server.domain.deployments.holding import (
    Names,
    Room,
    require_label,
    require_names,
    require_room,
    require_was_live,
)
from mcp_server.domain.deployments.model import Deployment, Revision, being_changed, busy_with, revision_id_of
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.runs import OPEN, Run, RunStatus
from mcp_server.domain.deployments.spec import DefineDeployment
from mcp_server.domain.deployments.targets import Facts, Phase, Subject, no_deployment
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_task
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.kernel.errors import InvalidTransition, LeaseLost, NotFound
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, sha256_text
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.store import Transaction

DEPLOYMENT_KIND = "system.deployment"
"""The task that carries out a run."""

_RETRY = RetrySpec(max_attempts=100, delay_seconds=2, max_delay_seconds=60)
"""A phase is tried a few times; a restarted server goes on as often as it takes."""


class Defined(NamedTuple):
    """A deployment with its newest revision, and the configuration before it, where there was one."""

    deployment: Deployment
    config: str
    before: str | None
    is_new: bool


class NewDefinition(NamedTuple):
    """A definition that was checked, its configuration as text, how its target sees it, and how that names things."""

    command: DefineDeployment
    config: RawJson
    subject: Subject
    names: Names | None = None


class Decision(NamedTuple):
    """What was planned is to happen, perhaps once people have said yes, and if there is room for it."""

    plan: Plan
    approval: ApprovalSpec | None = None
    planned: Event | None = None
    room: Room = Room()


class Decided(NamedTuple):
    """A run, its deployment, its plan, and its task."""

    run: Run | None
    deployment: Deployment
    plan: Plan | None
    task: dict[str, Any] | None


class Attempt(NamedTuple):
    """A run as an attempt finds it, and what it is of."""

    run: Run
    deployment: Deployment
    plan: Plan
    config: str
    live_config: str | None
    then: Facts | None


def define(tx: Transaction, origin: Origin, new: NewDefinition) -> Defined:
    """Make a deployment, or a new revision of it where its configuration is another.

    Raises:
        Conflict: it would move to another target, or something of it would have a name that another has.
    """
    command, config = new.command, new.config
    row = tx.one("deployment_by_name", name=command.name, environment=command.environment)
    require_names(tx, new.subject, new.names)
    if row is None:
        require_label(tx, command)
        deployment, event = Deployment.defined(origin.new_id("deployment"), command, origin.actor, origin.at)
        tx.record(origin, event)
        tx.record(origin, Revision.of(deployment, config, origin.actor, origin.at)[1])
        return Defined(deployment, config, None, is_new=True)
    deployment = Deployment.adopt(row)
    before = load_revision(tx, deployment.id, deployment.revision)
    is_new = before.config_hash != sha256_text(config)
    moved = deployment.redefined(command, is_new=is_new, now=origin.at)
    if moved is not None:
        deployment = moved[0]
        tx.record(origin, moved[1])
    if is_new:
        tx.record(origin, Revision.of(deployment, config, origin.actor, origin.at)[1])
    return Defined(deployment, config, before.config, is_new=is_new)


def keep_plan(tx: Transaction, origin: Origin, planned: tuple[Plan, Event]) -> Plan:
    """Keep a plan, so that it can be carried out as it was shown; the same plan is kept once."""
    plan, event = planned
    load(tx, plan.deployment_id)
    earlier = tx.one("deployment_plan_by_id", id=plan.id)
    if earlier is not None:
        return Plan.adopt(earlier)
    tx.record(origin, event)
    return plan


def decide(tx: Transaction, origin: Origin, decision: Decision) -> Decided:
    """Have happen what was planned: a run, with the task that carries it out and the question to people, if any.

    Raises:
        Conflict: the plan is stale, or something else is done to the deployment.
        InvalidTransition: it would go back to what never was.
        LimitExceeded: there is no room for it.
    """
    plan = decision.plan
    if decision.planned is not None:
        plan = keep_plan(tx, origin, (plan, decision.planned))
    deployment = load(tx, plan.deployment_id)
    _require_idle(tx, deployment)
    plan.require_fresh(deployment)
    require_was_live(tx, deployment, plan)
    require_room(tx, deployment, plan, decision.room)
    task_id = origin.new_id("task")
    run, event = Run.decided(
        origin.new_id("run"),
        plan.operation,
        plan.revision,
        plan.id,
        deployment_id=deployment.id,
        status_before=deployment.status,
        task_id=task_id,
        approval_id=None if decision.approval is None else approval_id_of(task_id),
        by=origin.actor,
        now=origin.at,
    )
    caused = origin.caused_by(tx.record(origin, event))
    deployment, claimed = deployment.claimed(run.id, origin.at)
    tx.record(caused, claimed)
    if decision.approval is None:
        deployment = _start(tx, caused, deployment)
    task = create_one(tx, caused, _carrying_out(deployment, run, decision.approval is not None), task_id, asks=False)
    if decision.approval is not None:
        open_approval(tx, caused, decision.approval, task_id)
    return Decided(run, deployment, plan, task.task)


def note_drift(tx: Transaction, origin: Origin, compared: Deployment, found: list[str]) -> Decided:
    """Keep what a comparison with what is there came to.

    Raises:
        Conflict: it was changed meanwhile, so that nobody can say what was compared.
    """
    deployment = load(tx, compared.id)
    if "changing" in (compared.status, deployment.status) or compared.run_id != deployment.run_id:
        raise being_changed(deployment)
    moved = deployment.drifted(found, origin.at)
    if moved is not None:
        deployment = moved[0]
        tx.record(origin, moved[1])
    return Decided(None, deployment, None, None)


def attempt(tx: Transaction, origin: Origin, run_id: str, token: str) -> Attempt:
    """A run as one that carries it out finds it.

    Raises:
        LeaseLost: somebody else carries it out now.
    """
    run = _held(tx, origin, run_id, token)
    deployment = load(tx, run.deployment_id)
    plan = load_plan(tx, run.plan_hash)
    config = load_revision(tx, deployment.id, run.revision).config
    live = deployment.live_revision
    live_config = None if live is None else load_revision(tx, deployment.id, live).config
    then = tx.one("deployment_run_to", deployment_id=deployment.id, revision=run.revision)
    return Attempt(run, deployment, plan, config, live_config, None if then is None else Run.adopt(then).evidence())


def begin_phase(tx: Transaction, origin: Origin, run_id: str, token: str, phase: Phase) -> Run:
    """Write down that a phase is about to be tried.

    Raises:
        LeaseLost: somebody else carries the run out now.
        InvalidTransition: the run is over.
    """
    return _moved(tx, origin, _held(tx, origin, run_id, token).begun(phase, origin.at))


def end_phase(tx: Transaction, origin: Origin, run_id: str, token: str, phase: Phase, facts: Facts) -> Run:
    """Keep what a phase came to.

    Raises:
        LeaseLost: somebody else carries the run out now; it looks for itself what came of the phase.
    """
    return _moved(tx, origin, _held(tx, origin, run_id, token).ended(phase, facts, origin.at))


def fail_phase(tx: Transaction, origin: Origin, run_id: str, token: str, phase: Phase, why: str, facts: Facts) -> Run:
    """Give a phase up; what was begun is undone next.

    Raises:
        LeaseLost: somebody else carries the run out now.
    """
    return _moved(tx, origin, _held(tx, origin, run_id, token).gave_up(phase, why, facts, origin.at))


def require_held(tx: Transaction, origin: Origin, run_id: str, token: str) -> None:
    """Refuse to go on for somebody whose place another has taken.

    Raises:
        LeaseLost: another has.
    """
    _held(tx, origin, run_id, token)


def require_in_phase(tx: Transaction, run_id: str, phase: Phase) -> None:
    """Refuse what belongs to another moment of a run than it is in.

    Raises:
        LeaseLost: it is further by now, or over.
    """
    row = tx.one("deployment_run_for_update", id=run_id)
    run = None if row is None else Run.adopt(row)
    if run is None or run.status not in OPEN or run.next_phase() != phase:
        raise LeaseLost(f"Run {run_id} is not in its phase {phase} any more.", next="Leave it to who carries it out.")


def settle(
    tx: Transaction, origin: Origin, run_id: str, token: str, status: RunStatus, error: str | None, facts: Facts | None
) -> Run:
    """End a run; the deployment is what it came to.

    Raises:
        LeaseLost: somebody else carries the run out now.
    """
    return _settle(tx, origin, _held(tx, origin, run_id, token), status, error, facts)


def follow_approval(tx: Transaction, origin: Origin, task: Task) -> None:
    """People let a run happen."""
    run = _run_of(tx, task)
    if run is not None and run.status == "waiting":
        _moved(tx, origin, run.approved(origin.at))
        _start(tx, origin, load(tx, run.deployment_id))


def follow_end(tx: Transaction, origin: Origin, task: Task) -> None:
    """The task of a run ended before the run did: what was begun is undone by another task, else the run is over."""
    run = _run_of(tx, task)
    if run is None or run.status not in OPEN:
        return
    why = _why_over(tx, task)
    was_undoing = run.failure is not None
    if run.failure is None and run.has_begun():
        run = _moved(tx, origin, run.gave_up(None, why, {}, origin.at))
    if run.next_phase() == "revert" and not was_undoing:
        task_id = origin.new_id("task")
        run = _moved(tx, origin, run.taken_up(task_id, origin.at))
        create_one(tx, origin, _carrying_out(load(tx, run.deployment_id), run, False), task_id, asks=False)
        return
    touched = run.has_begun() and (run.operation not in ("apply", "rollback") or run.must_revert())
    _settle(tx, origin, run, "failed" if touched else "cancelled", why, None)


def load(tx: Transaction, deployment_id: str) -> Deployment:
    """A deployment, locked for this transaction.

    Raises:
        NotFound: there is none.
    """
    row = tx.one("deployment_for_update", id=deployment_id)
    if row is None:
        raise no_deployment(deployment_id)
    return Deployment.adopt(row)


def load_revision(tx: Transaction, deployment_id: str, revision: int) -> Revision:
    """One revision.

    Raises:
        NotFound: there is none of that number.
    """
    row = tx.one("deployment_revision_by_id", id=revision_id_of(deployment_id, revision))
    if row is None:
        raise no_revision(deployment_id, revision)
    return Revision.adopt(row)


def load_plan(tx: Transaction, plan_hash: str) -> Plan:
    """One plan.

    Raises:
        NotFound: there is none of that hash.
    """
    row = tx.one("deployment_plan_by_id", id=plan_hash)
    if row is None:
        raise no_plan(plan_hash)
    return Plan.adopt(row)


def no_revision(deployment_id: str, revision: int) -> NotFound:
    """The refusal for a number that no revision has."""
    return NotFound(
        f"{deployment_id} has no revision {revision}.",
        next=f"deployments_find(deployment_id='{deployment_id}') lists them.",
        details={"deployment_id": deployment_id, "revision": revision},
    )


def no_plan(plan_hash: str) -> NotFound:
    """The refusal for a hash that no plan of the deployment has."""
    return NotFound(
        f"There is no such plan as {quoted(plan_hash[:80])} for it.",
        next="deployments_plan shows what would happen, and tells the hash.",
        details={"plan_hash": plan_hash[:80]},
    )


def _require_idle(tx: Transaction, deployment: Deployment) -> None:
    row = None if deployment.run_id is None else tx.one("deployment_run_for_update", id=deployment.run_id)
    if row is not None and row["status"] in OPEN:
        raise busy_with(deployment, Run.adopt(row))


def _start(tx: Transaction, origin: Origin, deployment: Deployment) -> Deployment:
    deployment, event = deployment.started(origin.at)
    tx.record(origin, event)
    return deployment


def _carrying_out(deployment: Deployment, run: Run, waits: bool) -> TaskSpec:
    doing = "Undo" if run.failure is not None else run.operation.capitalize()
    return TaskSpec(
        title=f"{doing} {deployment.name} in {deployment.environment}, revision {run.revision}",
        kind=DEPLOYMENT_KIND,
        input={"run_id": run.id},
        retry=_RETRY,
        requires_approval=waits,
    )


def _held(tx: Transaction, origin: Origin, run_id: str, token: str) -> Run:
    row = tx.one("deployment_run_for_update", id=run_id)
    if row is None:
        raise InvalidTransition(f"There is no run {run_id}.", next="Nothing is left to do.")
    run = Run.adopt(row)
    load_task(tx, run.task_id).require_lease(token, origin.at)
    return run


def _moved(tx: Transaction, origin: Origin, moved: tuple[Run, Event]) -> Run:
    tx.record(origin, moved[1])
    return moved[0]


def _settle(
    tx: Transaction, origin: Origin, run: Run, status: RunStatus, error: str | None, facts: Facts | None
) -> Run:
    run, event = run.over(status, error, origin.at)
    caused = origin.caused_by(tx.record(origin, event))
    _, settled = load(tx, run.deployment_id).settled(run, facts, origin.at)
    tx.record(caused, settled)
    return run


def _run_of(tx: Transaction, task: Task) -> Run | None:
    row = tx.one("deployment_run_by_task", task_id=task.id) if task.kind == DEPLOYMENT_KIND else None
    return None if row is None else Run.adopt(row)


def _why_over(tx: Transaction, task: Task) -> str:
    said = list(filter(None, (task.cancel_reason, reason_of_no(tx, task.id) if task.approval == "rejected" else None)))
    if said:
        return ": ".join(said)
    return f"Its task {task.id} was {task.status}." if task.status != "failed" else f"Its task {task.id} failed."
