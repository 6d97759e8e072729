"""What is asked, as a person reads it: the words of who asks, what a task will do, the calls that a yes runs, and what
may be answered. A hash binds the answer to all of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mcp_server.domain.approvals.commands import ApprovalSpec, RequestApproval
from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.call import Call
from mcp_server.kernel.composing import Composed
from mcp_server.kernel.json_text import RawJson, check_json, dump_json, sha256_text
from mcp_server.kernel.quoting import quoted

_RUNS = "Make these calls: all of them, or none."


class Words(NamedTuple):
    """What is asked: title, action and details in the words of who asks; what a task asked about will do; the calls
    that run once it is granted; and what else than yes or no may be answered."""

    title: str
    action: str
    details: RawJson | None
    about: RawJson | None = None
    calls: RawJson | None = None
    choices: RawJson | None = None
    free_text: int = 0

    def digest(self) -> str:
        """SHA-256 over what is approved."""
        told: list[Any] = [self.title, self.action, self.details]
        if self.about is not None:
            told.append(self.about)
        more = {"calls": self.calls, "choices": self.choices, "free_text": self.free_text}
        if any(more.values()):
            told.append(more)
        return sha256_text(dump_json(told))

    def told(self) -> dict[str, Any]:
        """What of it changes where a question about a task is put anew."""
        return {"title": self.title, "action": self.action, "details": self.details, "about": self.about}


class AskedAs(NamedTuple):
    """Who had calls asked about, and what they could do then: more is never done in their name.

    Attributes:
        kind: of the principal.
        id: of the principal.
        is_local: whether it was the local user of a process.
        permissions: what it could do.
        speaker: the id of the agent that spoke, if one did.
        key_id: the key that proved it, if one did; without that they are not done either.
        scope: what narrowed it beside its permissions; nothing is unsaid.
    """

    kind: Literal["user", "agent", "system", "deployment"]
    id: str
    is_local: bool
    permissions: list[str]
    speaker: str | None
    key_id: str | None = None
    scope: Mapping[str, Any] | None = None


class Runs(NamedTuple):
    """The calls that a yes runs, in whose name, and whether those alone see them who take part."""

    calls: RawJson
    asked_as: RawJson
    is_private: bool


def asked_as(call: Call) -> AskedAs:
    """Who has calls asked about."""
    actor, speaker = call.actor, call.speaker
    can = sorted(permission.value for permission in actor.permissions)
    agent_id = None if speaker is None else speaker.agent_id
    scope = actor.scope.model_dump(mode="json", exclude_none=True) or None
    return AskedAs(actor.kind, actor.id, actor.is_local, can, agent_id, actor.key_id, scope)


def words_of(
    spec: ApprovalSpec, task: Task | None = None, runs: Runs | None = None, waiting: Task | None = None
) -> Words:
    """The words of who asks; with a task, what that will do stands beside them; with calls, those; with one that waits
    for the answer, which that is, where they do not say what the answer is for."""
    details = None if spec.details is None else check_json(spec.details, "details")
    about = None if task is None else _facts(task, {"title": task.title})
    if not isinstance(spec, RequestApproval):
        return Words(spec.title, spec.action, details, about)
    action = spec.action or (_answered(waiting) if runs is None else _RUNS)
    choices = RawJson(dump_json(list(spec.choices))) if spec.choices else None
    return Words(spec.title, action, details, about, None if runs is None else runs.calls, choices, int(spec.free_text))


def _answered(waiting: Task | None) -> str:
    told = "." if waiting is None else f": {waiting.id} ({quoted(waiting.title)}) waits for it."
    return f"Answer this question{told}"


def task_words(task: Task) -> Words:
    """The question that a task brings itself: everything that says what it will do."""
    return Words(task.title, "Let this task start.", _facts(task, {}))


def words_about(words: Words, task: Task) -> Words:
    """The same about a task as it is now."""
    return words._replace(about=_facts(task, {"title": task.title}))


def called(changes: Sequence[Composed]) -> RawJson:
    """The calls as they are kept, each with what it says to people.

    Raises:
        LimitExceeded: they are too long to be shown whole.
    """
    content = [{} if one.content is None else {"content": one.content} for one in changes]
    return check_json(
        [one.shown() | {"says": one.says} | more for one, more in zip(changes, content, strict=True)], "list of calls"
    )


def _facts(task: Task, named: dict[str, Any]) -> RawJson:
    told = named | {"kind": task.kind, "description": task.description, "agent_id": task.agent_id}
    facts: dict[str, Any] = {name: value for name, value in told.items() if value}
    if task.input is not None:
        facts["input"] = json.loads(task.input)
    return RawJson(dump_json(facts))
