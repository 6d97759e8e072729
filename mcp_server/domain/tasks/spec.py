"""What a caller says of a task: its definition, and how an attempt ended."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator

from mcp_server.domain.tasks.otherwise import refuse_an_operation, refuse_retries, refuse_times_apart
from mcp_server.domain.tasks.schedules import ScheduleChanges, ScheduleSpec
from mcp_server.kernel.checks import refuse
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import RawJson, canonical_hash, check_json, dump_json, json_list, sha256_text
from mcp_server.kernel.meaning import AgentName, Meant, TaskId, of_a_task, task_id
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.relative import as_said
from mcp_server.kernel.times import micros
from mcp_server.kernel.together import not_together
from mcp_server.kernel.values import Frozen, Line, Seconds, Text, Time, Word, checked_json

Priority = Annotated[
    Literal["low", "normal", "high", "critical"],
    Meant(also={"medium": "normal", "important": "high", "urgent": "critical", "highest": "critical", "lowest": "low"}),
]
PRIORITIES: dict[str, int] = {"low": 0, "normal": 1, "high": 2, "critical": 3}
PRIORITY_NAMES = {rank: name for name, rank in PRIORITIES.items()}
MAX_ATTEMPTS_DEFAULT = 3
RETRY_DELAY_SECONDS_DEFAULT = 5.0
RETRY_MAX_DELAY_SECONDS_DEFAULT = 3600.0
PARENTS_MAX = 100
"""On so many tasks one may depend."""

SYSTEM_KIND = "system."
"""How the kinds of tasks begin that the server itself works on."""

SYSTEM_WORKER = "system"
"""Who holds the lease on such a task."""


def shown_kind(kind: str) -> str:
    """A kind as callers see it. Of the server's own, which server does it, or how, is no part of its name:
    `system.calls.local.9f86d081884c` is `system.calls`."""
    return ".".join(kind.split(".")[:2]) if kind.startswith(SYSTEM_KIND) else kind


ShownKind = Annotated[str, PlainSerializer(shown_kind)]


Reference = Annotated[
    str,
    BeforeValidator(of_a_task),
    BeforeValidator(task_id),
    StringConstraints(pattern=r"^(#\d{1,3}|task_[a-z0-9]{12})$"),
    Meant("a task's id, or #n for the n-th task of this call, from 0, or in commit @0.0 for what call 0 makes", "#0"),
]
_HERE = re.compile(r"#(\d{1,3})")


def place_here(reference: str) -> int | None:
    """The place of a task of the same call, from 0; None where a task is named by its id."""
    found = _HERE.fullmatch(reference)
    return None if found is None else int(found[1])


Skill = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}(@[A-Za-z0-9._/-]{1,64})?$"),
    Meant("a capability, name or name@version", "python"),
]


def queue_name(kind: str, agent_id: str | None, capabilities: Iterable[str]) -> str:
    """The queue of tasks that the same agents can claim."""
    return "|".join((kind, agent_id or "", ",".join(sorted(set(capabilities)))))


class RetrySpec(Frozen):
    """How often and how soon a failed attempt is repeated."""

    BARE: ClassVar[tuple[str, ...]] = ("max_attempts",)

    max_attempts: int = Field(default=MAX_ATTEMPTS_DEFAULT, ge=1, le=100, examples=[5])
    delay_seconds: float = Field(default=RETRY_DELAY_SECONDS_DEFAULT, ge=0, le=86_400, allow_inf_nan=False)
    max_delay_seconds: float = Field(default=RETRY_MAX_DELAY_SECONDS_DEFAULT, ge=0, le=864_000, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _counts_attempts(cls, given: Any) -> Any:
        refuse_retries(given)
        return given

    def columns(self, said: Collection[str] = ("max_attempts", "delay_seconds", "max_delay_seconds")) -> dict[str, Any]:
        """The policy, or what is said of it, as stored columns."""
        return {name if name == "max_attempts" else f"retry_{name}": getattr(self, name) for name in said}


_RETRY_UNSAID = {
    "max_attempts": None,
    "retry_delay_seconds": RETRY_DELAY_SECONDS_DEFAULT,
    "retry_max_delay_seconds": RETRY_MAX_DELAY_SECONDS_DEFAULT,
}

USUAL = {name: value for name, value in _RETRY_UNSAID.items() if value} | {
    "on_parent_failure": "wait",
    "concurrency_limit": 1,
}
"""What a task is created with unless somebody says otherwise, under the names of its columns."""


class TaskSpec(Frozen):
    """The definition of one task to create. `input` is kept as its checked JSON text."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("subtasks", "children", "steps"), "each is a task of its own in the list, with parent_id or depends_on"
        ),
        **dict.fromkeys(
            ("deadline", "due", "due_at", "due_date", "due_by"),
            "a task has no deadline: timeout_seconds bounds an attempt, priority has it taken up sooner, and run_at is "
            "when it may begin",
        ),
        **dict.fromkeys(
            ("status", "state"),
            "a task's status is not set: tasks_finish ends what is claimed, tasks_control(action='cancel', 'pause', "
            "...) does the rest",
        ),
        **dict.fromkeys(
            ("approvers", "approver", "reviewers"),
            "requires_approval=true asks anyone; approvals_request(task_id=..., approvers=[...]) asks these",
        ),
        "name": "the title is its name",
        "id": "it is given one",
    }

    title: Line = Field(examples=["Write the report"])
    kind: Word = "task"
    description: Text = ""
    input: Annotated[Any, checked_json("input")] = None
    priority: Priority = "normal"
    agent_id: AgentName | None = None
    required_capabilities: tuple[Skill, ...] = Field(default=(), max_length=16)
    depends_on: tuple[Reference, ...] = Field(
        default=(), max_length=PARENTS_MAX, description="Task ids, or #n for the n-th task of this call, from 0"
    )
    on_parent_failure: Literal["wait", "cancel", "run_anyway"] = "wait"
    parent_id: TaskId | None = None
    run_at: Time | None = None
    schedule: ScheduleSpec | None = None
    timeout_seconds: Seconds | None = None
    retry: RetrySpec | None = None
    concurrency_key: Line | None = None
    concurrency_limit: int = Field(default=1, ge=1, le=1000)
    requires_approval: bool = False
    tags: tuple[Word, ...] = Field(default=(), max_length=32)
    idempotency_key: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_said_as_here(cls, given: Any) -> Any:
        refuse_retries(given, "retry")
        refuse_times_apart(given)
        return given

    @model_validator(mode="after")
    def _limits_what_has_a_key(self) -> Self:
        if self.concurrency_limit != 1 and self.concurrency_key is None:  # one is what is so unsaid
            raise ValidationFailed(
                "`concurrency_limit` is of the tasks that have one `concurrency_key`, and none is given.",
                next="Give the key, too, or leave the limit out.",
            )
        return self

    @model_validator(mode="after")
    def _schedules_wait_for_time_only(self) -> Self:
        if self.schedule is not None and self.depends_on:
            raise not_together(
                "A task with a `schedule` cannot have `depends_on`; its firings start on time.", depends_on=None
            )
        return self

    def waits_for_here(self) -> list[int]:
        """The places of the tasks of the same call that it depends on."""
        return [place for place in map(place_here, self.depends_on) if place is not None]

    def parent_here(self) -> int | None:
        """The place of its parent, where that is a task of the same call."""
        return None if self.parent_id is None else place_here(self.parent_id)

    def is_system(self) -> bool:
        """Whether the server itself works on it."""
        return self.kind.startswith(SYSTEM_KIND)

    def queue(self) -> str:
        """The queue's name: tasks with one name can be claimed by the same agents."""
        return queue_name(self.kind, self.agent_id, self.required_capabilities)

    def columns(self) -> dict[str, Any]:
        """The definition as stored columns."""
        return {
            "title": self.title,
            "kind": self.kind,
            "description": self.description,
            "input": self.input,
            "priority": PRIORITIES[self.priority],
            "queue": self.queue(),
            "agent_id": self.agent_id,
            "required_capabilities": json_list(sorted(set(self.required_capabilities))),
            "on_parent_failure": self.on_parent_failure,
            "parent_id": self.parent_id,
            "run_at": None if self.run_at is None else micros(self.run_at),
            "timeout_seconds": self.timeout_seconds,
            "concurrency_key": self.concurrency_key,
            "concurrency_limit": self.concurrency_limit,
            "tags": json_list(self.tags),
            "schedule": None if self.schedule is None else RawJson(self.schedule.model_dump_json()),
            "approval": self._approval(),
            **(_RETRY_UNSAID if self.retry is None else self.retry.columns()),
        }

    def _approval(self) -> str | None:
        if not self.requires_approval:
            return None
        return "each" if self.schedule is not None else "required"

    def content_hash(self, parents: Sequence[str]) -> str:
        """What an idempotency key is bound to: all else, as values, and as it resolves. References within the call are
        the ids of `parents`, an agent's name is its id, a time is an instant, or the words that hang on the clock. The
        order of tags and parents, and blanks in a cron expression, say nothing."""
        said = self._said()
        cron = {"cron": " ".join(self.schedule.cron.split())} if self.schedule is not None else {}
        plain = {"schedule": said["schedule"] | cron} if cron else {}
        return self._hash_of(said | plain | {"tags": sorted(set(self.tags))}, sorted(parents))

    def content_hashes_before(self, parents: Sequence[str]) -> tuple[str, str]:
        """The same as it was made while all order counted, and up to 0.1.0 of what was said to the letter; rows of then
        still have them."""
        letter = self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
        if self.input is not None:
            letter["input"] = json.loads(self.input)
        return self._hash_of(self._said(), list(parents)), sha256_text(dump_json(letter))

    def _said(self) -> dict[str, Any]:
        return {name: _value(value) for name, value in self.columns().items() if value is not None}

    def _hash_of(self, said: Mapping[str, Any], parents: Sequence[str]) -> str:
        return canonical_hash({**said, "depends_on": list(parents)} | as_said(self))


_FIXED = {
    "depends_on": "on_parent_failure='run_anyway' lets it run without what has ended badly; else cancel the task and "
    "create another: others may wait for it as it is.",
    "parent_id": "Cancel the task and create another.",
    "requires_approval": "Have people asked with approvals_request(task_id=...).",
    "idempotency_key": "It goes on naming this task, whatever becomes of it.",
}
"""What stays as it was said at creation, and what to do instead."""


class TaskChanges(TaskSpec):
    """What is to be different about a task: the parts of its definition that are given, and nothing else."""

    FIXED: ClassVar[Mapping[str, str]] = _FIXED

    title: Line = "as it was"
    # What is fixed is refused for that, whatever it says: its form is nobody's business.
    depends_on: Any = ()
    parent_id: Any = None
    requires_approval: Any = False
    idempotency_key: Any = None
    schedule: ScheduleChanges | None = None  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="before")
    @classmethod
    def _is_no_operation(cls, given: Any) -> Any:
        refuse_an_operation(given)
        return given

    @model_validator(mode="after")
    def _limits_what_has_a_key(self) -> Self:
        return self  # the task may have one

    @model_validator(mode="after")
    def _leaves_what_is_fixed(self) -> Self:
        fixed = sorted(self.model_fields_set & _FIXED.keys())
        found = [_not_changed(name, is_all=self.model_fields_set == set(fixed)) for name in fixed]
        if self.is_system():
            said = f"Kind {quoted(self.kind)} is reserved for the server's own tasks."
            found.append(ValidationFailed(said, next="Choose another."))
        refuse(found)
        return self

    def said_columns(self, *, but: frozenset[str] = frozenset(), retries: bool = False) -> dict[str, Any]:
        """What was given, as stored columns; some may be left out. Of a policy of retries that is there, only what is
        said of it."""
        columns = self.columns()
        names = self.model_fields_set - but - {"retry"}
        retry = self._retry(columns, is_there=retries) if "retry" in self.model_fields_set else {}
        return {name: columns[name] for name in names} | retry

    def _retry(self, columns: Mapping[str, Any], *, is_there: bool) -> dict[str, Any]:
        if self.retry is None or not is_there:
            return {name: columns[name] for name in _RETRY_UNSAID}
        return self.retry.columns(self.retry.model_fields_set)


def _not_changed(name: str, *, is_all: bool) -> ValidationFailed:
    said = f"`{name}` cannot be changed once a task is there."
    if is_all:  # without it, the call would change nothing
        return ValidationFailed(said, next=_FIXED[name])
    left_out: dict[str, Any] = {name: None}
    return not_together(said, next=_FIXED[name], **left_out)


def _value(stored: Any) -> Any:
    return json.loads(stored) if isinstance(stored, RawJson) else stored


class FailureSpec(Frozen):
    """Why an attempt failed. `retryable` unsaid means: retry if the task was created with a retry policy."""

    message: Text = Field(examples=["The build broke: exit code 2"])
    code: Word | None = None
    retryable: bool | None = None
    retry_after_seconds: float | None = Field(default=None, ge=0, le=86_400, allow_inf_nan=False)


class UsageSpec(Frozen):
    """What an attempt cost: tokens, and US dollars."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"total_tokens": "input_tokens and output_tokens say them apart"}

    input_tokens: int | None = Field(default=None, ge=0, le=10**12, examples=[1200])
    output_tokens: int | None = Field(default=None, ge=0, le=10**12)
    cost_usd: float | None = Field(default=None, ge=0, le=10**9, allow_inf_nan=False)

    @property
    def tokens(self) -> int:
        """In and out together."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def stored(self) -> RawJson:
        """What was said of it, as JSON text."""
        return check_json(self.model_dump(exclude_none=True), "usage")


class ProgressSpec(Frozen):
    """How far an attempt has come."""

    BARE: ClassVar[tuple[str, ...]] = ("percent", "message")

    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False, examples=[50])
    step: Line | None = None
    message: Text | None = None

    def stored(self) -> RawJson:
        """What was said of it, as JSON text."""
        return check_json(self.model_dump(exclude_none=True), "progress")
