"""How a question comes to be put to people: anew, about a task, for one that waits, or once more: that reminds them."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.approvals.model import (
    Approval,
    approval_id_of,
    key_of,
)
from mcp_server.domain.approvals.people import person_key
from mcp_server.domain.approvals.transactions import APPROVAL_KIND, Asked, open_question
from mcp_server.domain.approvals.words import Runs, Words, words_of
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.editing import wait_for_answer
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_anywhere, load_task
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.domain.tasks.transactions import gate
from mcp_server.kernel.authority import Permission, principal_of
from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.events import Origin
from mcp_server.kernel.keys import Key, key_conflict
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Row, Transaction
from mcp_server.kernel.times import iso

_RETRY = RetrySpec(max_attempts=100, delay_seconds=2, max_delay_seconds=60)
"""What is approved is done, however often its server is killed."""


class NewRequest(NamedTuple):
    """A question, the calls that a yes runs, if any, and the kind of the task behind it."""

    command: RequestApproval
    runs: Runs | None = None
    kind: str = APPROVAL_KIND
    lasts_seconds: float | None = None
    warnings: list[str] | None = None

    def asked(self) -> RequestApproval:
        """What is asked, for no longer than the operator's rules have it."""
        said = self.command.expires_in_seconds
        return self.command.model_copy(update={"expires_in_seconds": min(said, self.lasts_seconds or said)})


def request(tx: Transaction, origin: Origin, new: NewRequest) -> Asked:
    """Ask people: about an action of the caller's own, under a new task, or whether a task may start. Asked again about
    the same task, who asked reminds the people. A question that is open to more than yes and no is always a task of its
    own, whose result is the answer; a task that is to wait for it depends on that.

    Raises:
        NotFound: there is no such task.
        InvalidTransition: the task has started or ended.
        Conflict: somebody has answered already.
        PermissionDenied: the task is not the caller's own, or the question was put otherwise.
        IdempotencyConflict: the key was used for another question.
    """
    command = new.command
    key = key_of(command, origin.principal)
    earlier = _earlier(tx, key)
    if earlier is not None:
        return Asked(earlier, load_anywhere(tx, earlier.task_id), told=False, waiting=command.task_id)
    if command.task_id is None:
        return _ask(tx, origin, new, key)
    if not command.is_open() or _is_question(tx, command.task_id):
        return _request_for_task(tx, origin, command, load_task(tx, command.task_id), key)
    return _ask_for(tx, origin, new, key, _own(tx, origin, command.task_id))


def _ask(tx: Transaction, origin: Origin, new: NewRequest, key: Key) -> Asked:
    words = words_of(new.command, runs=new.runs)
    return _open_anew(tx, origin, new, words, key, _asked_alike(tx, origin, words))


def _ask_for(tx: Transaction, origin: Origin, new: NewRequest, key: Key, waiting: Task) -> Asked:
    """Ask, and let a task wait for the answer."""
    words = words_of(new.command, waiting=waiting)
    alike = _asked_alike(tx, origin, words)
    if alike is not None and alike["task_id"] in json.loads(waiting.depends_on):
        # Were it asked twice, taking one back would end the task that waits for both.
        return _remind(tx, origin, new.command, words, Approval.adopt(dict(alike)))._replace(waiting=waiting.id)
    asked = _open_anew(tx, origin, new, words, key, alike)
    wait_for_answer(tx, origin, waiting, asked.task.id)
    return asked._replace(waiting=waiting.id)


def _open_anew(tx: Transaction, origin: Origin, new: NewRequest, words: Words, key: Key, alike: Row | None) -> Asked:
    """A new question under a task of its own."""
    task_id, runs = origin.new_id("task"), new.runs
    title = "Carry out what people approve" if runs is not None and runs.is_private else words.title
    spec = TaskSpec(title=title, kind=new.kind, requires_approval=True, retry=_RETRY)
    create_one(tx, origin, spec, task_id, asks=False)
    opened = open_question(tx, origin, Approval.requested(words, task_id, origin, new.asked(), key, runs=runs))
    return Asked(opened, load_task(tx, task_id), warnings=[*_twice(alike, task_id), *(new.warnings or ())])


def _asked_alike(tx: Transaction, origin: Origin, words: Words) -> Row | None:
    """The first question that is open in the very words of the same asker."""
    return tx.one("approval_asked_alike", requester=origin.party, action_hash=words.digest())


def _earlier(tx: Transaction, key: Key) -> Approval | None:
    """The question that was asked under this key."""
    if key.idempotency_key is None:
        return None
    row = tx.one("approval_by_key", key=key.idempotency_key, owner=key.key_owner)
    if row is not None and not key.is_bound_to(row["content_hash"]):
        refusal = key_conflict(key.idempotency_key, "approval", row["id"], row["title"])
        if row["status"] in ("expired", "withdrawn"):
            refusal.message += f" That one is {row['status']} since {iso(row['decided_at'])}, and not asked any more."
        raise refusal
    return None if row is None else Approval.adopt(row)


def _request_for_task(tx: Transaction, origin: Origin, command: RequestApproval, task: Task, key: Key) -> Asked:
    _require_own(origin, task)
    row = tx.one("approval_for_update", id=approval_id_of(task.id))
    words = words_of(command, task)
    if row is None:
        task = gate(tx, origin, task)
        return Asked(open_question(tx, origin, Approval.requested(words, task.id, origin, command, key)), task)
    approval = Approval.adopt(row)
    is_same = approval.status == "pending" and not approval.differences(command, words)
    if approval.is_addressed() and (is_same or not _may_put_anew(origin, approval)):
        return _remind(tx, origin, command, words, approval)
    task, before = gate(tx, origin, task), approval.people()
    opened = open_question(tx, origin, approval.put_to(command, words, origin))
    return Asked(opened, task, warnings=_asked_no_more(before, opened.people()))


def _asked_no_more(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Who was asked and is not any more, since the question is put to others."""
    left = [named(one) for one in before if person_key(one) not in map(person_key, now)]
    return [f"it is taken from those who were asked before: {', '.join(left)}."] if left else []


def _is_question(tx: Transaction, task_id: str) -> bool:
    """Whether a task stands for a question that takes more than yes and no: asked about it, that is asked again."""
    row = tx.one("approval_for_update", id=approval_id_of(task_id))
    return row is not None and Approval.adopt(row).takes().is_open


def _twice(alike: Row | None, task_id: str) -> list[str]:
    """That its asker asks people the same already, and has not been answered: they would do so twice."""
    if alike is None:
        return []
    return [
        f"{alike['id']} asks the same, is open since {iso(alike['opened_at'])}, and people are now asked twice. "
        f"tasks_control(action='cancel', task_ids=['{task_id}']) takes this one back; asked with "
        f"task_id='{alike['task_id']}', the first reminds them."
    ]


def _own(tx: Transaction, origin: Origin, task_id: str) -> Task:
    """The task that is to wait for an answer."""
    task = load_task(tx, task_id)
    _require_own(origin, task)
    return task


def _require_own(origin: Origin, task: Task) -> None:
    """A question holds a task up, and a no ends it: that is for whom the task belongs to.

    Raises:
        PermissionDenied: it is another's.
    """
    own = principal_of(task.created_by) == principal_of(origin.actor)
    if not own and not origin.may(Permission.TASKS_CONTROL):
        raise PermissionDenied(
            f"{task.id} is {task.created_by}'s, and a question would hold it up.",
            next="Ask its owner, or somebody with the permission tasks:control.",
            details={"permission": Permission.TASKS_CONTROL.value, "created_by": task.created_by},
        )


def _may_put_anew(origin: Origin, approval: Approval) -> bool:
    """Whether the caller may change whom an open question is put to. Who asked may not; whom the operator named, nobody
    replaces; and what may be answered stays with calls and choices."""
    asked_it = origin.agent_id is not None and origin.agent_id == approval.requester
    stays = approval.named_by_operator or approval.calls is not None or approval.takes().is_open
    return origin.may(Permission.APPROVALS_CONTROL) and not asked_it and not stays


def _remind(tx: Transaction, origin: Origin, command: RequestApproval, words: Words, approval: Approval) -> Asked:
    """Remind the people of a question that stays as it is; once, since people are not to be worn down.

    Raises:
        PermissionDenied: the request differs from what is asked.
        InvalidTransition: it is decided.
    """
    approval.require_open(origin.at)
    differs = approval.differences(command, words)
    if differs:
        who = (
            "The operator named who decides on it, so nobody"
            if approval.named_by_operator
            else "Only approvals:control"
        )
        raise PermissionDenied(
            f"{approval.id} is asked already, and differs in {', '.join(differs)}. {who} may change that.",
            next="Repeat the question as it is to remind its people, or wait for them.",
            details={"approval_id": approval.id, "differs": differs, "approvers": approval.people()},
        )
    task = load_task(tx, approval.task_id)
    if approval.bound_to(task) != approval.action_hash:
        return Asked(open_question(tx, origin, approval.renewed(words, origin.at)), task)
    if approval.remind_at is None:
        return Asked(approval, task, told=False)
    reminded, event = approval.reminded(origin.at)
    tx.tell(PEOPLE_ASKED, origin.caused_by(tx.record(origin, event)), reminded, True)
    return Asked(reminded, task, reminds=True)
