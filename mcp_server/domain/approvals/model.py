"""Approvals: what a person is asked, bound by a hash to exactly what will happen, and the answers.

Silence is never consent: what is not answered in time has expired. The first rejection that leaves too few approvers to
reach the quorum rejects; with one answer needed of anyone, the first answer decides.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from mcp_server.domain.approvals.answers import Answer, Answers
from mcp_server.domain.approvals.commands import ApprovalSpec, ApprovalStatus, RequestApproval
from mcp_server.domain.approvals.outcomes import outcome_of
from mcp_server.domain.approvals.people import distinct, is_mailbox, person_key
from mcp_server.domain.approvals.words import Runs, Words, task_words, words_about
from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.addresses import is_allowed
from mcp_server.kernel.errors import Conflict, InvalidTransition, NotFound, OpsError, PermissionDenied
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, check_json, dump_json
from mcp_server.kernel.keys import Key
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration, iso_or_none


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """What the operator allows, and where people decide.

    Attributes:
        allow: patterns of addresses that may be asked; none allow everyone.
        approvers: who may be asked beside them.
        links_base: where a person reaches this server's pages; None where there are none.
        mails_leave: whether mails go to real mailboxes; where they stay in a folder, they hold no link.
        command_line: how a person at this machine's terminal decides, for such mails; None where it cannot be said.
    """

    allow: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    links_base: str | None = None
    mails_leave: bool = False
    command_line: str | None = None

    def mails_links(self) -> bool:
        """Whether the mail to an approver holds a link."""
        return self.mails_leave and self.links_base is not None

    def require_reachable(self, spec: ApprovalSpec) -> None:
        """An approver's address gets mail too: naming one must not be a way around the operator's list.

        Raises:
            PermissionDenied: naming those who may not be asked.
        """
        known = {person_key(person) for person in self.approvers}
        named = [person for person in spec.people() if is_mailbox(person)]
        outside = [person for person in named if person not in known and not is_allowed(person, self.allow)]
        if outside:
            raise PermissionDenied(
                f"This server may not send to {', '.join(outside)}, so they cannot be asked.",
                next=f"Allowed: {', '.join(self.allow)} (DATAMCP_EMAIL_ALLOW).",
                details={"refused": outside, "allowed": list(self.allow)},
            )


class Seen(NamedTuple):
    """What a person was shown before answering: which question, and since when it is open."""

    action_hash: str
    opened_at: Micros


class Approval(Record):
    """The aggregate: one question to people. `opened_at` moves when it is asked anew; then old links are void."""

    id: str
    title: str
    action: str
    details: str | None
    about: str | None
    calls: str | None
    choices: str | None
    free_text: int
    action_hash: str
    approvers: str
    named_by_operator: int
    needed: int
    status: ApprovalStatus
    answers: str
    task_id: str
    requested_by: str
    requester: str
    idempotency_key: str | None
    key_owner: str | None
    content_hash: str | None
    asked_as: str | None
    private: int
    outcome: str | None
    ran_at: Micros | None
    expires_at: Micros | None
    remind_at: Micros | None
    due_at: Micros | None
    opened_at: Micros
    created_at: Micros
    updated_at: Micros
    decided_at: Micros | None
    version: int

    @staticmethod
    def requested(
        words: Words,
        task_id: str,
        origin: Origin,
        spec: ApprovalSpec | None,
        key: Key = Key(),  # noqa: B008
        *,
        named_by_operator: bool = False,
        runs: Runs | None = None,
    ) -> tuple["Approval", Event]:
        """A new question. Without a spec it is put to anyone who may decide, for as long as it takes."""
        now = origin.at
        data: dict[str, Any] = {
            **words._asdict(),
            "action_hash": words.digest(),
            **_addressed(spec, now),
            "named_by_operator": int(named_by_operator),
            "status": "pending",
            "answers": RawJson("[]"),
            "task_id": task_id,
            "requested_by": origin.actor,
            "requester": origin.party,
            **key.columns(),
            "asked_as": None if runs is None else runs.asked_as,
            "private": int(runs is not None and runs.is_private),
            "outcome": None,
            "ran_at": None,
            "opened_at": now,
            "created_at": now,
            "updated_at": now,
            "decided_at": None,
        }
        approval_id = approval_id_of(task_id)
        approval = Approval.adopt({"id": approval_id, "version": 1} | data)
        return approval, Event("approval.requested", "approval", approval_id, 1, data, creates=True)

    def people(self) -> list[str]:
        """Who is asked; nobody named means anyone who may decide."""
        return distinct(json.loads(self.approvers))

    def is_addressed(self) -> bool:
        """Whether somebody was named, or words of who asks were given; else it is the question that a task brings."""
        return bool(self.people()) or self.about is not None or bool(self.named_by_operator)

    def given(self) -> list[Answer]:
        """The answers so far."""
        return [Answer(**answer) for answer in json.loads(self.answers)]

    def takes(self) -> Answers:
        """What may be answered, and by how many."""
        choices = () if self.choices is None else tuple(json.loads(self.choices))
        return Answers(choices, bool(self.free_text), max(len(self.people()), 1), self.needed)

    def words(self) -> Words:
        """What is asked."""
        details, about, calls, choices = map(_raw, (self.details, self.about, self.calls, self.choices))
        return Words(self.title, self.action, details, about, calls, choices, self.free_text)

    def asks(self, name: str, now: Micros) -> str:
        """The person of that name, who is asked and has not answered yet.

        Raises:
            InvalidTransition: it is decided, its time is over, or this person has answered.
            PermissionDenied: this person is not asked.
        """
        self.require_open(now)
        person = self._person(name)
        if any(person_key(earlier.by) == person_key(person) for earlier in self.given()):
            raise InvalidTransition(
                f"{person} has answered {self.id} already: {self.described()}.", next="One answer counts for each."
            )
        return person

    def answered(self, answer: Answer, now: Micros) -> tuple[Self, Event]:
        """One more answer, which may decide.

        Raises:
            InvalidTransition: it is decided, or its time is over; the message says by whom and when.
            PermissionDenied: this person is not asked.
        """
        takes = self.takes()
        takes.require_fits(answer)
        given = [*self.given(), answer._replace(by=self.asks(answer.by, now))]
        status = takes.status(given)
        changes: dict[str, Any] = {"answers": RawJson(dump_json([a.kept() for a in given])), "status": status}
        if status != "pending":
            changes |= {"decided_at": now, "due_at": None}
        return self._moved("approval.answered" if status == "pending" else f"approval.{status}", now, **changes)

    def expired(self, now: Micros) -> tuple[Self, Event]:
        """Nobody decided in time."""
        return self._moved("approval.expired", now, status="expired", decided_at=now, due_at=None)

    def ran(self, made: Sequence[Sequence[str]], now: Micros) -> tuple[Self, Event]:
        """Its calls were made; the ids of what each has made.

        Raises:
            InvalidTransition: they were made before, or may not be.
            Conflict: they are not what people said yes to.
        """
        self.require_runnable()
        outcome = RawJson(dump_json({"made": [list(ids) for ids in made]}))
        return self._moved("approval.ran", now, outcome=outcome, ran_at=now)

    def has_run(self) -> bool:
        """Whether the calls that were approved have been made, or cannot be any more."""
        return self.ran_at is not None or self.status != "approved"

    def require_runnable(self) -> None:
        """Refuse to make calls that were made, or that nobody said yes to.

        Raises:
            InvalidTransition: it is not approved, or they were made.
            Conflict: they are not what people said yes to.
        """
        if self.status != "approved" or self.ran_at is not None:
            raise InvalidTransition(f"{self.id} is {self.status}, so its calls are not made now.")
        if self.words().digest() != self.action_hash:
            raise Conflict(f"What {self.id} holds is not what people said yes to.")

    def overtaken(self, error: OpsError, now: Micros) -> tuple[Self, Event]:
        """Granted, and not possible any more as it was asked: nothing was done, and it says what moved."""
        self.require_runnable()
        told = check_json({"code": error.code, "message": error.message, "details": error.details}, "outcome")
        return self._moved("approval.stale", now, status="stale", outcome=told)

    def withdrawn(self, by: str, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """What was asked about will not happen anyway: by whom that is so, and for a reason if one was given."""
        outcome = RawJson(dump_json({"by": by} | ({} if reason is None else {"reason": reason})))
        return self._moved("approval.withdrawn", now, status="withdrawn", decided_at=now, due_at=None, outcome=outcome)

    def reminded(self, now: Micros) -> tuple[Self, Event]:
        """The people were reminded."""
        return self._moved("approval.reminded", now, remind_at=None, due_at=self.expires_at)

    def righted(self, now: Micros) -> tuple[Self, Event]:
        """Opened by a clock that was ahead: asked from now on, for as long as it was to be asked."""
        ahead = self.opened_at - now
        late = {name: getattr(self, name) for name in ("expires_at", "remind_at", "due_at")}
        changes = {name: at - ahead for name, at in late.items() if at is not None}
        return self._moved("approval.righted", now, opened_at=now, **changes)

    def reopened(self, now: Micros, task: Task) -> tuple[Self, Event]:
        """Asked anew, of the task as it is now, with nothing of the old answers."""
        changes: dict[str, Any] = {"status": "pending", "answers": RawJson("[]"), "decided_at": None, "opened_at": now}
        if self.ran_at is None:
            changes["outcome"] = None
        if self.bound_to(task) != self.action_hash:
            words = self._words_about(task)
            changes |= words.told() | {"action_hash": words.digest()}
        if self.expires_at is not None:
            lasts = self.expires_at - self.opened_at
            changes |= {"expires_at": now + lasts, "remind_at": now + lasts // 2, "due_at": now + lasts // 2}
        return self._moved("approval.reopened", now, **changes)

    def put_to(self, spec: ApprovalSpec, words: Words, origin: Origin) -> tuple[Self, Event]:
        """Put to other people, or in other words, as long as nobody has answered.

        Raises:
            Conflict: somebody has.
        """
        self.require_open(origin.at)
        if self.given():
            raise Conflict(f"{self.id} has been answered in part: {self.described()}.", next="Wait for the others.")
        changes = _addressed(spec, origin.at) | {"opened_at": origin.at}
        if words.digest() != self.action_hash:
            changes |= words.told() | {"action_hash": words.digest(), "requested_by": origin.actor}
        return self._moved("approval.put_to", origin.at, **changes)

    def renewed(self, words: Words, now: Micros) -> tuple[Self, Event]:
        """Asked anew of the same people, since the task asked about is no longer what they were shown."""
        changes = words.told() | {"action_hash": words.digest(), "answers": RawJson("[]"), "opened_at": now}
        return self._moved("approval.put_to", now, **changes)

    def handed_over(self, requester: str, now: Micros) -> tuple[Self, Event]:
        """Another has taken over what was asked."""
        return self._moved("approval.handed_over", now, requester=requester)

    def differences(self, command: RequestApproval, words: Words) -> list[str]:
        """The arguments by which a request differs from what is asked already; what it leaves out does not."""
        lasts = None if self.expires_at is None else self.expires_at - self.opened_at
        said = command.model_fields_set
        asked, same = words._asdict(), self.words()._asdict()
        same |= {"approvers": {*map(person_key, self.people())}, "quorum": self.needed, "expires_in_seconds": lasts}
        asked |= {"approvers": {*map(person_key, command.people())}, "quorum": command.needed()}
        asked |= {"expires_in_seconds": duration(command.expires_in_seconds)}
        compared = ("title", "action", "details", "choices", "free_text", "approvers", "quorum", "expires_in_seconds")
        return [name for name in compared if name in said and asked[name] != same[name]]

    def bound_to(self, task: Task) -> str:
        """The hash of what is asked, with the task as it is now; a task of the server's own only stands for what is
        asked."""
        return self.action_hash if task.system and self.about is None else self._words_about(task).digest()

    def _words_about(self, task: Task) -> Words:
        return task_words(task) if self.about is None else words_about(self.words(), task)

    def require_open(self, now: Micros) -> None:
        """Refuse an answer to what is decided.

        Raises:
            InvalidTransition: saying who decided, and when.
        """
        late = self.expires_at is not None and self.expires_at <= now
        if self.status != "pending" or late:
            raise InvalidTransition(
                f"{self.id} is {'expired' if late and self.status == 'pending' else self.described()}, so nothing is "
                f"left to decide. {outcome_of(self.fields()).said()}",
                next=f"approvals_find(approval_id='{self.id}') tells all of it; approvals_request asks anew.",
                details={"approval_id": self.id, "status": self.status, "decided_at": iso_or_none(self.decided_at)},
            )

    def require_seen(self, seen: Seen) -> None:
        """Refuse an answer to something else than what is asked, or to an earlier asking of it.

        Raises:
            Conflict: what the person saw is not what is asked.
        """
        if seen != Seen(self.action_hash, self.opened_at):
            raise Conflict(f"What {self.id} asks has changed since it was shown.", next="Look at it again.")

    def described(self) -> str:
        """`approved (ann approved on the command line at ...)`."""
        answers = "; ".join(f"{answer.by} {answer.verb} by {answer.via} at {answer.at}" for answer in self.given())
        status = "answered" if self.status == "approved" and self.takes().is_open else self.status
        return f"{status} ({answers})" if answers else status

    def _person(self, by: str) -> str:
        people = self.people()
        if not people:
            return by
        found = next((person for person in people if person_key(person) == person_key(by)), None)
        if found is None:
            raise PermissionDenied(
                f"{by} is not asked to decide on {self.id}; only {', '.join(people)}.",
                next="Wait for an answer from there.",
                details={"approval_id": self.id, "approvers": people},
            )
        return found

    def _moved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        # Whoever reads of an answer has to know what was asked.
        changes = {"title": self.title} | changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(changes | {"version": version}), Event(kind, "approval", self.id, version, changes)


def approval_id_of(task_id: str) -> str:
    """A task has at most one approval, whose id follows from its own."""
    return f"approval_{task_id.removeprefix('task_')}"


def key_of(command: RequestApproval, owner: str) -> Key:
    """The idempotency key of a request."""
    if command.idempotency_key is None:
        return Key()
    return Key(command.idempotency_key, owner, command.content_hash(), command.content_hash_before())


def no_approval(approval_id: str) -> NotFound:
    """The refusal for an id that names no approval."""
    return NotFound(
        f"There is no approval {named(approval_id)}.",
        next="List approvals with approvals_find.",
        details={"approval_id": approval_id},
    )


def _raw(text: str | None) -> RawJson | None:
    return None if text is None else RawJson(text)


def _addressed(spec: ApprovalSpec | None, now: Micros) -> dict[str, Any]:
    """Whom a question is put to and for how long, with a reminder after half its time."""
    if spec is None:
        return {"approvers": RawJson("[]"), "needed": 1} | dict.fromkeys(("expires_at", "remind_at", "due_at"))
    lasts = duration(spec.expires_in_seconds)
    return {
        "approvers": RawJson(dump_json(spec.people())),
        "needed": spec.needed(),
        "expires_at": now + lasts,
        "remind_at": now + lasts // 2,
        "due_at": now + lasts // 2,
    }
