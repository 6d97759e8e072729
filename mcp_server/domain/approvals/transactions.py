"""Transaction functions of approvals: request, answer, remind, expire; and what a task's life does to its approval."""

import json
from typing import Any, NamedTuple

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.approvals.answers import Answer
from mcp_server.domain.approvals.commands import ApprovalSpec, RequestApproval
from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.approvals.model import (
    Approval,
    Seen,
    approval_id_of,
    key_of,
    no_approval,
)
from mcp_server.domain.approvals.words import Runs, Words, task_words, words_of
from mcp_server.domain.events.thinning import last_event
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.editing import wait_for_answer
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_anywhere, load_task
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.domain.tasks.transactions import approve, gate, reject
from mcp_server.kernel.authority import Permission, Speaker, principal_of
from mcp_server.kernel.errors import Conflict, InvalidTransition, OpsError, PermissionDenied
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.keys import Key, key_conflict
from mcp_server.kernel.store import Row, Transaction
from mcp_server.kernel.times import Micros, iso
from mcp_server.kernel.writes import Landing

APPROVAL_KIND = "system.approval"
"""The task behind an approval that stands for itself: it completes when approved, so that it can be waited for."""

CALLS_KIND = "system.calls."
"""The task that makes the calls of an approval; whose they are follows: not every process knows all principals."""

_RETRY = RetrySpec(max_attempts=100, delay_seconds=2, max_delay_seconds=60)
"""What is approved is done, however often its server is killed."""


class Asked(NamedTuple):
    """An approval, the task that it is about, whether its people are being told of it now, or reminded, what the asker
    may not have meant, and which other task waits for the answer from now on."""

    approval: Approval
    task: Task
    told: bool = True
    reminds: bool = False
    warnings: list[str] | None = None
    waiting: str | None = None


class GiveAnswer(NamedTuple):
    """One person's answer to one approval, and what that person was shown."""

    approval_id: str
    answer: Answer
    seen: Seen


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
    command, runs, kind, *_ = new
    key = key_of(command, origin.principal)
    earlier = _earlier(tx, key)
    if earlier is not None:
        return Asked(earlier, load_anywhere(tx, earlier.task_id), told=False)
    if command.task_id is not None and (not command.is_open() or _is_question(tx, command.task_id)):
        return _request_for_task(tx, origin, command, load_task(tx, command.task_id), key)
    waiting = _own(tx, origin, command.task_id)
    words = words_of(command, runs=runs, waiting=waiting)
    alike = tx.one("approval_asked_alike", requester=origin.party, action_hash=words.digest())
    if alike is not None and waiting is not None and alike["task_id"] in json.loads(waiting.depends_on):
        # Were it asked twice, taking one back would end the task that waits for both.
        return _remind(tx, origin, command, words, Approval.adopt(alike))._replace(waiting=waiting.id)
    task_id = origin.new_id("task")
    title = "Carry out what people approve" if runs is not None and runs.is_private else command.title
    create_one(tx, origin, TaskSpec(title=title, kind=kind, requires_approval=True, retry=_RETRY), task_id, asks=False)
    opened = _open(tx, origin, Approval.requested(words, task_id, origin, new.asked(), key, runs=runs))
    if waiting is not None:
        wait_for_answer(tx, origin, waiting, task_id)
    warnings = [*_twice(alike, task_id), *(new.warnings or ())]
    return Asked(opened, load_task(tx, task_id), warnings=warnings, waiting=command.task_id)


def run(approval_id: str, tx: Transaction, origin: Origin, apply: Landing) -> Approval:
    """Make the calls that people said yes to, and note that they were made: in one transaction, so once.

    Raises:
        OpsError: they were made, or may not be, or one of them is refused; nothing was done.
    """
    approval = _load(tx, approval_id)
    approval.require_runnable()
    approval, event = approval.ran(apply(last_event(tx, "approval.approved", approval_id)), origin.at)
    tx.record(origin, event)
    return approval


def overtake(tx: Transaction, origin: Origin, approval_id: str, error: OpsError) -> None:
    """Note why what people said yes to cannot be done any more as it was asked.

    Raises:
        InvalidTransition: it was done, or has been noted already.
    """
    tx.record(origin, _load(tx, approval_id).overtaken(error, origin.at)[1])


def open_approval(tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str) -> Approval:
    """Ask those whom the operator named about a task that was created to wait for them."""
    asked = Approval.requested(words_of(spec), task_id, origin, spec, named_by_operator=True)
    return _open(tx, origin, asked)


def answer(tx: Transaction, origin: Origin, command: GiveAnswer) -> Asked:
    """Take in one person's answer; when it decides, the task goes on or is cancelled in the same transaction.

    Raises:
        NotFound: no such approval.
        InvalidTransition: it is decided already, or expired.
        PermissionDenied: this person is not asked.
        Conflict: what was shown is not what is asked, or not what would happen.
    """
    approval = _load(tx, command.approval_id)
    approval.require_open(origin.at)
    approval.require_seen(command.seen)
    task = load_task(tx, approval.task_id)
    if task.approval != "required":
        raise InvalidTransition(f"Task {task.id} is {task.status} and waits for no approval.")
    _require_bound(approval, task)
    approval, event = approval.answered(command.answer, origin.at)
    cause = tx.record(origin, event)
    if approval.status != "pending":
        task = _settle(tx, origin.caused_by(cause), approval, task, command.answer.note)
    return Asked(approval, task)


def settle_due(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Remind of an approval that is open for half its time; end one whose time is over."""
    approval = Approval.adopt(row)
    if approval.expires_at is not None and approval.expires_at <= origin.at:
        approval, event = approval.expired(origin.at)
        cause = tx.record(origin, event)
        task = load_task(tx, approval.task_id)
        if task.approval == "required":
            _settle(tx, origin.caused_by(cause), approval, task, None)
    else:
        approval, event = approval.reminded(origin.at)
        cause = tx.record(origin, event)
        tx.tell(PEOPLE_ASKED, origin.caused_by(cause), approval, True)


def open_for(tx: Transaction, origin: Origin, task: Task) -> None:
    """Ask whether a task may start, or ask anew."""
    known = tx.one("approval_for_update", id=approval_id_of(task.id))
    if known is None:
        _, event = Approval.requested(task_words(task), task.id, origin, None)
    else:
        _, event = Approval.adopt(known).reopened(origin.at, task)
    tx.record(origin, event)


def ask_about_changed(tx: Transaction, origin: Origin, task: Task) -> None:
    """Ask about a task as it is now: nobody decides on what it was, and what was answered then does not count."""
    known = tx.one("approval_for_update", id=approval_id_of(task.id))
    if known is not None:
        _open(tx, origin, Approval.adopt(known).reopened(origin.at, task))


def ask_again(tx: Transaction, origin: Origin, retried: Task) -> None:
    """A task that is retried and needs an approval needs a new one."""
    if retried.approval == "required":
        open_for(tx, origin, retried)


def withdraw(tx: Transaction, origin: Origin, ended: Task) -> None:
    """Nobody needs to decide any more on a task that has ended."""
    if ended.approval != "required":
        return
    row = tx.one("approval_for_update", id=approval_id_of(ended.id))
    if row is not None and row["status"] == "pending":
        _, event = Approval.adopt(row).withdrawn(origin.actor, ended.cancel_reason, origin.at)
        tx.record(origin, event)


def reason_of_no(tx: Transaction, task_id: str) -> str | None:
    """What the last person said who answered no about a task."""
    row = tx.one("approval_for_update", id=approval_id_of(task_id))
    given = [] if row is None else Approval.adopt(row).given()
    return next((answer.note for answer in reversed(given) if not answer.granted), None)


def held_by(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The open questions of an agent."""
    del origin
    open_ones = [row["id"] for row in tx.all("approvals_open_of", requester=agent_id)]
    return Holding.of("questions", open_ones)


def hand_over(
    tx: Transaction, origin: Origin, leaving: Speaker, to: Speaker, reason: str | None, at_work: bool
) -> Holding | None:
    """The open questions of an agent that leaves become those of another, who may then remind."""
    rows = tx.all("approvals_open_whole", requester=leaving.agent_id)
    for row in rows:
        tx.record(origin, Approval.adopt(row).handed_over(to.agent_id, origin.at)[1].because(reason))
    return Holding.of("questions", [row["id"] for row in rows])


def signing_key(tx: Transaction, origin: Origin, name: str, fresh: str) -> str:
    """The secret of that name; `fresh` where there is none yet."""
    del origin
    tx.run("signing_key_insert", name=name, secret=fresh)
    row = tx.one("signing_key", name=name)
    assert row is not None, "just inserted"
    return row["secret"]


def spend_seal(tx: Transaction, origin: Origin, seal_id: str, expires_at: Micros) -> bool:
    """Count a sealed state as used; whether it had not been. Those whose time is over are forgotten."""
    tx.run("spent_seals_forget", now=origin.at)
    return tx.run("spent_seal_insert", id=seal_id, expires_at=expires_at) == 1


def _load(tx: Transaction, approval_id: str) -> Approval:
    row = tx.one("approval_for_update", id=approval_id)
    if row is None:
        raise no_approval(approval_id)
    return Approval.adopt(row)


def _open(tx: Transaction, origin: Origin, asked: tuple[Approval, Event]) -> Approval:
    tx.record(origin, asked[1])
    tx.tell(PEOPLE_ASKED, origin, asked[0], False)
    return asked[0]


def _earlier(tx: Transaction, key: Key) -> Approval | None:
    """The question that was asked under this key."""
    if key.idempotency_key is None:
        return None
    row = tx.one("approval_by_key", key=key.idempotency_key, owner=key.key_owner)
    if row is not None and row["content_hash"] != key.content_hash:
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
        return Asked(_open(tx, origin, Approval.requested(words, task.id, origin, command, key)), task)
    approval = Approval.adopt(row)
    stays = not approval.differences(command, words) or not _may_put_anew(origin, approval)
    if approval.is_addressed() and stays:
        return _remind(tx, origin, command, words, approval)
    task = gate(tx, origin, task)
    return Asked(_open(tx, origin, approval.put_to(command, words, origin)), task)


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


def _own(tx: Transaction, origin: Origin, task_id: str | None) -> Task | None:
    """The task that is to wait for an answer, if one is."""
    if task_id is None:
        return None
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
        return Asked(_open(tx, origin, approval.renewed(words, origin.at)), task)
    if approval.remind_at is None:
        return Asked(approval, task, told=False)
    reminded, event = approval.reminded(origin.at)
    tx.tell(PEOPLE_ASKED, origin.caused_by(tx.record(origin, event)), reminded, True)
    return Asked(reminded, task, reminds=True)


def _settle(tx: Transaction, origin: Origin, approval: Approval, task: Task, note: str | None) -> Task:
    by = ", ".join(given.by for given in approval.given())
    if approval.status == "approved":
        return approve(tx, origin, task, by, "answered" if approval.takes().is_open else "granted")
    if approval.status == "expired":
        return reject(tx, origin, task, None, None)
    # The task is seen by more than a question about a mail is, which the operator alone has people asked: nothing is
    # said of their reason there, not even that there is none.
    return reject(tx, origin, task, by, None if approval.named_by_operator else note or "no reason was given")


def _require_bound(approval: Approval, task: Task) -> None:
    """What is approved is what will happen: compared with the task as it is now, unless the question is about something
    else, for which the task only stands."""
    if approval.bound_to(task) != approval.action_hash:
        raise Conflict(f"Task {task.id} is no longer what {approval.id} asks about.", next="Ask anew.")
