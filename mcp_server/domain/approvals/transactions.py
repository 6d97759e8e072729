"""Transaction functions of approvals: request, answer, remind, expire; and what a task's life does to its approval."""

from typing import Any, NamedTuple

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.hooks import AGENT_TOLD
from mcp_server.domain.approvals.answers import Answer
from mcp_server.domain.approvals.commands import ApprovalSpec
from mcp_server.domain.approvals.handing import taken_over
from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.approvals.model import (
    Approval,
    Seen,
    approval_id_of,
    no_approval,
)
from mcp_server.domain.approvals.words import task_words, words_of
from mcp_server.domain.events.thinning import last_event
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_task
from mcp_server.domain.tasks.transactions import approve, reject
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import Conflict, InvalidTransition, OpsError
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros
from mcp_server.kernel.writes import Landing

APPROVAL_KIND = "system.approval"
"""The task behind an approval that stands for itself: it completes when approved, so that it can be waited for."""

CALLS_KIND = "system.calls."
"""The task that makes the calls of an approval; whose they are follows: not every process knows all principals."""


class Asked(NamedTuple):
    """An approval, the task that it is about, whether its people are being told of it now, or reminded, what the asker
    may not have meant, and which other task waits for the answer from now on."""

    approval: Approval
    task: Task
    told: bool = True
    reminds: bool = False
    warnings: list[str] | None = None
    waiting: str | None = None

    def for_task(self) -> str | None:
        """The task that waits for the answer, where it is another than that which is asked about."""
        return None if self.waiting == self.approval.task_id else self.waiting

    def waited(self) -> list[str]:
        """The task that was to wait for what was asked before under the same key."""
        return [] if self.told or self.waiting is None else [self.waiting]


class GiveAnswer(NamedTuple):
    """One person's answer to one approval, and what that person was shown."""

    approval_id: str
    answer: Answer
    seen: Seen


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
    return open_question(tx, origin, asked)


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
        open_question(tx, origin, Approval.adopt(known).reopened(origin.at, task))


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
    questions = [Approval.adopt(row) for row in tx.all("approvals_open_whole", requester=leaving.agent_id)]
    for question in questions:
        tx.record(origin, question.handed_over(to.agent_id, origin.at)[1].because(reason))
    if questions:
        tx.tell(AGENT_TOLD, origin, to, *taken_over(leaving.name, questions, reason))
    return Holding.of("questions", [question.id for question in questions])


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


def open_question(tx: Transaction, origin: Origin, asked: tuple[Approval, Event]) -> Approval:
    tx.record(origin, asked[1])
    tx.tell(PEOPLE_ASKED, origin, asked[0], False)
    return asked[0]


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
