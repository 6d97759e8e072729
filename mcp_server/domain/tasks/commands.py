"""What is asked of the task queue: the arguments of the tools as service and transaction take them."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mcp_server.domain.tasks.agreeing import (
    BESIDE,
    EDITS,
    as_a_rest,
    by_what_it_waits_for,
    require_one_or_several,
    require_outcome,
    require_readiness,
    require_taken,
    with_outcome,
)
from mcp_server.domain.tasks.otherwise import refuse_times_apart
from mcp_server.domain.tasks.rules import TaskAction, TaskStatus
from mcp_server.domain.tasks.schedules import ScheduleChanges
from mcp_server.domain.tasks.spec import (
    SYSTEM_KIND,
    FailureSpec,
    Priority,
    ProgressSpec,
    TaskChanges,
    TaskSpec,
    UsageSpec,
)
from mcp_server.kernel.arguments import Listing, Waiting
from mcp_server.kernel.checks import check_all, refuse
from mcp_server.kernel.composing import Calls
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import canonical_text, dump_json, sha256_text
from mcp_server.kernel.meaning import AgentName, InstanceId, Meant, TaskId
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.together import LIKE, not_together
from mcp_server.kernel.values import Frozen, LeaseToken, Line, Time, checked_json, plain

LEASE_SECONDS_DEFAULT = 300.0
RESULT_BYTES_MAX = 256 * 1024
FINISHED_MAX = 100
"""How many attempts end in one call."""
LeaseSeconds = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]
Until = Literal["terminal", "running", "any_change"]
Outcome = Annotated[
    Literal["completed", "failed"],
    Meant(
        also={
            "complete": "completed",
            "done": "completed",
            "ok": "completed",
            "success": "completed",
            "succeeded": "completed",
            "finished": "completed",
            "error": "failed",
            "fail": "failed",
            "failure": "failed",
        }
    ),
]


class CreateTasks(Frozen):
    """Tasks are created, all or none."""

    tasks: tuple[TaskSpec, ...] = Field(min_length=1, max_length=100)


_TO_ONE = "tasks_control(action='assign', agent_id=...) gives a task to one"


def _any_kind(given: Any) -> Any:
    """`*` narrows nothing: no kind can be called so."""
    return None if given in ("*", ["*"], ("*",)) else given


class ClaimTasks(Waiting):
    """An agent asks for work."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("task_id", "task_ids"), f"who claims gets the best that it can do; {_TO_ONE}"),
        **dict.fromkeys(("tag", "tags"), f"kinds narrow it; {_TO_ONE}"),
    }

    agent_id: AgentName | None = None
    instance_id: InstanceId | None = None
    max_tasks: int = Field(default=1, ge=1, le=100)
    kinds: Annotated[tuple[str, ...] | None, BeforeValidator(_any_kind)] = Field(
        default=None, min_length=1, max_length=64
    )
    lease_seconds: LeaseSeconds = LEASE_SECONDS_DEFAULT
    resume: bool = Field(default=False, description="Fresh tokens for what you hold, not more work")


class ClaimSystemTasks(NamedTuple):
    """The server's own worker asks for system tasks: how many of each kind it has room for."""

    room: dict[str, int]
    lease_seconds: float


class ReportTask(Frozen):
    """A worker says how far it is."""

    INSTEAD: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("status", "outcome", "result", "error"), "tasks_finish ends it; `progress` says how far it is"
    )

    task_id: TaskId
    lease_token: LeaseToken
    progress: ProgressSpec | None = None
    extend_seconds: LeaseSeconds | None = None


_OF_EACH = WithJsonSchema(
    {
        "type": "array",
        "items": {"type": "object"},
        "description": "Instead, several: [{task_id, lease_token, outcome, result, error, usage}]",
    }
)


class EndAttempt(Frozen):
    """A worker ends an attempt. `result` is kept as its checked JSON text."""

    INSTEAD: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("retry", "retryable"), 'error={"message": ..., "retryable": ...} says whether it is worth another try'
    ) | {"also": "it lands with one attempt that is ended alone; by commit several ends and other calls land as one"}

    task_id: TaskId
    lease_token: LeaseToken
    outcome: Outcome
    result: Annotated[Any, checked_json("result", RESULT_BYTES_MAX)] = None
    error: FailureSpec | None = None
    usage: UsageSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_what_it_holds(cls, given: Any) -> Any:
        return with_outcome(given)

    @model_validator(mode="after")
    def _says_what_its_outcome_takes(self) -> Self:
        require_outcome(self.outcome, self.result, self.error)
        return self

    def digest(self) -> str:
        """What makes a repeated finish identical, alone or among several."""
        return self._digest("")

    def _digest(self, more: str) -> str:
        result = "null" if self.result is None else canonical_text(self.result)
        failure = "null" if self.error is None else canonical_text(dump_json(self.error.model_dump()))
        return sha256_text(f"[{result},{failure}{more}]")[:16]


class FinishTask(EndAttempt):
    """The same, with what is to land with it."""

    also: Calls = Field(default=(), description="[{tool, arguments}]: writes that land with it")

    def digest(self) -> str:
        """What makes a repeated finish identical."""
        return self._digest(f",{canonical_text(dump_json(plain(self.also)))}" if self.also else "")


class FinishTasks(Frozen):
    """A worker ends several attempts, each for itself."""

    tasks: tuple[EndAttempt, ...] = Field(min_length=1, max_length=FINISHED_MAX)


class FinishSome(Frozen):
    """A worker ends one attempt, or several."""

    INSTEAD = EndAttempt.INSTEAD

    task_id: TaskId | None = Field(default=None, examples=["task_9k2m4p7q8r3t"])
    lease_token: LeaseToken | None = Field(default=None, examples=["lease_9k2m4p7q8r3t5v6w7x8z"])
    outcome: Outcome | None = Field(default=None, examples=["completed"])
    result: Annotated[Any, checked_json("result", RESULT_BYTES_MAX)] = None
    error: FailureSpec | None = None
    usage: UsageSpec | None = None
    also: Calls = Field(default=(), description="[{tool, arguments}]: writes that land with it")
    tasks: Annotated[tuple[EndAttempt, ...], Field(max_length=FINISHED_MAX), _OF_EACH] = ()

    @model_validator(mode="before")
    @classmethod
    def _by_what_it_holds(cls, given: Any) -> Any:
        return with_outcome(given)

    @model_validator(mode="after")
    def _is_one_or_several(self) -> Self:
        said = [name for name in type(self).model_fields if name in self.model_fields_set and getattr(self, name)]
        require_one_or_several(said)
        if not self.tasks:
            require_outcome(self.outcome or "", self.result, self.error)
        return self

    def one(self) -> FinishTask:
        """The finish of one attempt, where it is not of several."""
        said = self.model_fields_set - {"tasks"}
        return FinishTask.model_construct(said, **{name: getattr(self, name) for name in FinishTask.model_fields})

    def all(self) -> FinishTasks:
        """The finishes, where it is of several attempts."""
        return FinishTasks.model_construct(tasks=self.tasks)


class GiveUpTask(NamedTuple):
    """A worker that must stop hands its task back."""

    task_id: TaskId
    lease_token: str
    reason: str


def _as_at_creation(what: str) -> WithJsonSchema:
    """A part of a task's definition, which `tasks_create` describes: once is enough in a list of tools."""
    return WithJsonSchema({"type": "object", "description": f"{what}: as in tasks_create"})


_BY_ID: Mapping[str, str] = dict.fromkeys(("tag", "kind", "status", "text"), "tasks_find gives the ids of such tasks")


class ControlTasks(Frozen):
    """One action on several tasks."""

    INSTEAD: ClassVar[Mapping[str, str]] = _BY_ID

    task_ids: tuple[TaskId, ...] = Field(min_length=1, max_length=100)
    action: TaskAction
    priority: Priority | None = None
    run_at: Time | None = None
    schedule: Annotated[ScheduleChanges | None, _as_at_creation("For reschedule, edit; what is unsaid stays")] = None
    agent_id: AgentName | None = Field(default=None, description="For assign; null: to anybody")
    changes: Annotated[TaskChanges | None, _as_at_creation("For edit (never depends_on)")] = None
    reason: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _rests(cls, given: Any) -> Any:
        refuse_times_apart(given)
        return as_a_rest(given)

    @model_validator(mode="after")
    def _says_what_its_action_takes(self) -> Self:
        require_taken(self.action, set(filter(self._says, EDITS)))
        return self

    def _says(self, name: str) -> bool:
        """Whether an argument was given. That a task is for anybody is said by null."""
        return getattr(self, name) is not None or (name == "agent_id" and name in self.model_fields_set)

    def edits(self) -> TaskChanges:
        """What is to be different, wherever it was said."""
        beside = {name: getattr(self, name) for name in BESIDE if self._says(name)}
        return (self.changes or TaskChanges()).model_copy(update=beside)


class FindTasks(Listing):
    """Tasks are listed, narrowed by what is given."""

    INSTEAD: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("since", "created_after", "until"),
        "the newest come first, so go on by cursor; events_read(type='task.*', since=...) tells what happened since",
    )

    status: TaskStatus | None = None
    agent_id: AgentName | None = None
    kind: str | None = None
    tag: Sought | None = None
    parent_id: TaskId | None = None
    text: Sought | None = None
    ready: bool | None = None
    blocked: bool | None = Field(default=None, description="Behind dependencies")
    schedules: bool = Field(default=False, description="Only schedules")
    include_system: bool = False

    @model_validator(mode="before")
    @classmethod
    def _by_what_it_waits_for(cls, given: Any) -> Any:
        return by_what_it_waits_for(given)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        require_readiness(self.ready, bool(self.blocked), self.status)
        return self


class WaitForTasks(Frozen):
    """Somebody waits for tasks to end, to start, or to change at all: for all of them, or for any."""

    INSTEAD: ClassVar[Mapping[str, str]] = _BY_ID

    task_id: TaskId | None = Field(default=None, examples=["task_9k2m4p7q8r3t"])
    task_ids: tuple[TaskId, ...] = Field(default=(), max_length=100)
    until: Until = "terminal"
    any: bool = Field(default=False, description="Until one has, not all")
    wait_seconds: float = Field(default=30, ge=0, le=50, allow_inf_nan=False)

    @model_validator(mode="after")
    def _names_some(self) -> Self:
        if not self.ids():
            raise not_together("Nothing to wait for.", next="Give task_id, or task_ids for several.", task_id=LIKE)
        return self

    def ids(self) -> list[str]:
        """Those that are waited for, each once."""
        return list(dict.fromkeys((*filter(None, (self.task_id,)), *self.task_ids)))

    def one(self) -> str | None:
        """The only one; None where several are waited for."""
        return self.task_id if not self.task_ids else None


def worker_of(command: ClaimTasks) -> str:
    """The agent that asks for work; the service has made sure that there is one named."""
    assert command.agent_id is not None, "the service names who claims"
    return command.agent_id


def refuse_cycles(specs: tuple[TaskSpec, ...]) -> None:
    """Refuse references within one call that do not exist or go in a circle.

    Raises:
        ValidationFailed: naming the reference, or the cycle.
    """
    check_all(*(partial(_require_there, number, spec, len(specs)) for number, spec in enumerate(specs)))
    _refuse_circle("The tasks depend on each other", "dependencies", [spec.waits_for_here() for spec in specs])
    above = [spec.parent_here() for spec in specs]
    _refuse_circle("The tasks are each other's parents", "parents", [[] if one is None else [one] for one in above])


def refuse_system_kinds(specs: tuple[TaskSpec, ...]) -> None:
    """Refuse tasks of the server's own kinds.

    Raises:
        ValidationFailed: naming them.
    """
    refuse(
        ValidationFailed(
            f"tasks[{number}].kind: {quoted(spec.kind)} is reserved: what begins with {quoted(SYSTEM_KIND)} is the "
            "server's.",
            next="Choose another kind.",
        )
        for number, spec in enumerate(specs)
        if spec.is_system()
    )


def _refuse_circle(said: str, what: str, children: list[list[int]]) -> None:
    done: set[int] = set()
    for start in range(len(children)):
        if cycle := _walk(start, children, [], done):
            shown = " -> ".join(f"#{number}" for number in cycle)
            raise ValidationFailed(
                f"{said} in a circle: {shown}.",
                next=f"Remove one of these {what}; in commit, what a call before makes is @call.thing, such as @0.0.",
            )


def _walk(number: int, children: list[list[int]], path: list[int], done: set[int]) -> list[int]:
    """The first circle that is met from a task on; the path that leads to it is the caller's."""
    if number in path:
        return [*path[path.index(number) :], number]
    if number in done:
        return []
    path.append(number)
    for child in children[number]:
        if cycle := _walk(child, children, path, done):
            return cycle
    path.pop()
    done.add(number)
    return []


def _beyond(places: list[int], count: int) -> str:
    return " and ".join(f"#{one}" for one in places if one >= count)


def _require_there(number: int, spec: TaskSpec, count: int) -> None:
    parent = spec.parent_here()
    named = {"depends on": spec.waits_for_here(), "is part of": [] if parent is None else [parent]}
    said = [f"{how} {strange}" for how, places in named.items() if (strange := _beyond(places, count))]
    if said:
        raise ValidationFailed(
            f"Task #{number} {' and '.join(said)}, but this call has only #0 to #{count - 1}.",
            next="Count the tasks of this call from 0.",
        )
