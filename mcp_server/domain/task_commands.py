"""What is asked of the task queue, and what it answers: plain values between services and the store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mcp_server.domain.errors import PermissionDenied, ValidationFailed
from mcp_server.domain.task_rules import TaskAction
from mcp_server.domain.task_spec import FailureSpec, TaskSpec, UsageSpec, sha256_text
from mcp_server.domain.values import Micros, RawJson, dump_json

TASK_ACTIONS: tuple[str, ...] = get_args(TaskAction)
Outcome = Literal["completed", "failed"]


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create under an id chosen beforehand."""

    id: str
    spec: TaskSpec
    asks: bool = True
    """Whether a task that needs an approval brings its own question; else the caller opens one for it."""


@dataclass(frozen=True, slots=True)
class CreateOutcome:
    """One created task, by its number in the call."""

    number: int
    task: dict[str, Any]
    replayed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """An agent asks for work. `kinds` is a JSON list or None; `jitter` a random number in [0, 1); `new_id` names the
    firings of schedules that turn out to be due."""

    agent_id: str
    instance_id: str | None
    max_tasks: int
    kinds: str | None
    lease_seconds: float
    jitter: float
    new_id: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _LeaseCommand:
    task_id: str
    lease_token: int
    worker_id: str | None
    """The agent that the caller's credential is bound to, if it is an agent's."""

    def require_worker(self, lease_agent_id: str | None) -> None:
        """Refuse an agent that speaks for another's lease.

        Raises:
            PermissionDenied: the lease is another agent's.
        """
        if self.worker_id is not None and lease_agent_id is not None and self.worker_id != lease_agent_id:
            raise PermissionDenied(
                f"Task {self.task_id} is leased to {lease_agent_id}, not to {self.worker_id}.",
                next="Work on tasks that you claimed yourself.",
                details={"task_id": self.task_id},
            )


@dataclass(frozen=True, slots=True)
class Report(_LeaseCommand):
    """A worker says how far it is."""

    progress: RawJson | None
    extend_seconds: float | None


@dataclass(frozen=True, slots=True)
class Finish(_LeaseCommand):
    """A worker ends an attempt: failed when `failure` is given, else completed."""

    result: RawJson | None
    failure: FailureSpec | None
    usage: UsageSpec | None
    jitter: float

    def digest(self) -> str:
        """What makes a repeated finish identical."""
        failure = None if self.failure is None else self.failure.model_dump()
        return sha256_text(dump_json([self.result, failure]))[:16]


@dataclass(frozen=True, slots=True)
class GiveUp(_LeaseCommand):
    """A worker that must stop hands its task back."""

    reason: str


@dataclass(frozen=True, slots=True)
class FinishOutcome:
    """The task after the attempt, the ids it released, and whether this finish was a repeat."""

    task: dict[str, Any]
    released: list[str]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Control:
    """One action on several tasks."""

    task_ids: tuple[str, ...]
    action: TaskAction
    reason: str | None
    priority: str
    run_at: Micros


@dataclass(frozen=True, slots=True)
class ControlOutcome:
    """The tasks the action changed, and those it was refused for: `{id, code, message}`."""

    tasks: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def refuse_cycles(specs: tuple[TaskSpec, ...]) -> None:
    """Refuse references within one call that do not exist or go in a circle.

    Raises:
        ValidationFailed: naming the reference, or the cycle.
    """
    children = [_references(number, spec, len(specs)) for number, spec in enumerate(specs)]
    done: set[int] = set()
    for start in range(len(specs)):
        path: list[int] = []
        _walk(start, children, path, done)


def _walk(number: int, children: list[list[int]], path: list[int], done: set[int]) -> None:
    if number in path:
        cycle = " -> ".join(f"#{n}" for n in [*path[path.index(number) :], number])
        raise ValidationFailed(
            f"The tasks depend on each other in a circle: {cycle}.", next="Remove one of these dependencies."
        )
    if number in done:
        return
    path.append(number)
    for child in children[number]:
        _walk(child, children, path, done)
    path.pop()
    done.add(number)


def _references(number: int, spec: TaskSpec, count: int) -> list[int]:
    references = [int(reference[1:]) for reference in spec.depends_on if reference.startswith("#")]
    for reference in references:
        if reference >= count:
            raise ValidationFailed(
                f"Task #{number} depends on #{reference}, but this call has only #0 to #{count - 1}.",
                next="Count the tasks of this call from 0.",
            )
    return references
