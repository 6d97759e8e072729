"""What is asked of the task queue, and what it answers: plain values between services and the store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from mcp_server.domain.errors import PermissionDenied, ValidationFailed
from mcp_server.domain.task_rules import TaskAction
from mcp_server.domain.task_spec import FailureSpec, TaskSpec, UsageSpec, sha256_text
from mcp_server.domain.values import Micros, RawJson, dump_json

TASK_ACTIONS: tuple[str, ...] = get_args(TaskAction)
Outcome = Literal["completed", "failed"]


class NewTask(NamedTuple):
    """A task to create under an id chosen beforehand."""

    id: str
    spec: TaskSpec
    asks: bool = True
    """Whether a task that needs an approval brings its own question; else the caller opens one for it."""


class CreateOutcome(NamedTuple):
    """One created task, by its number in the call."""

    number: int
    task: dict[str, Any]
    replayed: bool


class Claim(NamedTuple):
    """An agent asks for work. `kinds` is a JSON list or None; `jitter` a random number in [0, 1); `new_id` names the
    firings of schedules that turn out to be due."""

    agent_id: str
    instance_id: str | None
    max_tasks: int
    kinds: str | None
    lease_seconds: float
    jitter: float
    new_id: Callable[[str], str]


# Of the commands below, `worker_id` is the agent that the caller's credential is bound to, if it is an agent's.


class Report(NamedTuple):
    """A worker says how far it is."""

    task_id: str
    lease_token: int
    worker_id: str | None
    progress: RawJson | None
    extend_seconds: float | None


class Finish(NamedTuple):
    """A worker ends an attempt: failed when `failure` is given, else completed."""

    task_id: str
    lease_token: int
    worker_id: str | None
    result: RawJson | None
    failure: FailureSpec | None
    usage: UsageSpec | None
    jitter: float

    def digest(self) -> str:
        """What makes a repeated finish identical."""
        if self.result is None and self.failure is None:
            return _SAID_NOTHING
        return _digest(self.result, None if self.failure is None else self.failure.model_dump())


def _digest(result: str | None, failure: dict[str, Any] | None) -> str:
    return sha256_text(dump_json([result, failure]))[:16]


_SAID_NOTHING = _digest(None, None)


class GiveUp(NamedTuple):
    """A worker that must stop hands its task back."""

    task_id: str
    lease_token: int
    worker_id: str | None
    reason: str


def require_worker(command: Report | Finish | GiveUp, lease_agent_id: str | None) -> None:
    """Refuse an agent that speaks for another's lease.

    Raises:
        PermissionDenied: the lease is another agent's.
    """
    if command.worker_id is not None and lease_agent_id is not None and command.worker_id != lease_agent_id:
        raise PermissionDenied(
            f"Task {command.task_id} is leased to {lease_agent_id}, not to {command.worker_id}.",
            next="Work on tasks that you claimed yourself.",
            details={"task_id": command.task_id},
        )


class FinishOutcome(NamedTuple):
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
