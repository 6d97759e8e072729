"""Approvals: what a person is asked, bound by a hash to exactly what will happen, and the answers.

Silence is never consent: what is not answered in time has expired. The first rejection that leaves too few approvers to
reach the quorum rejects; with one answer needed of anyone, the first answer decides.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field

from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.addresses import is_allowed
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.errors import Conflict, InvalidTransition, NotFound, PermissionDenied, ValidationFailed
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, check_json, dump_json, sha256_text
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration, iso, iso_or_none
from mcp_server.kernel.values import Frozen, Line, Text, several

EXPIRES_IN_SECONDS_DEFAULT = 7 * 86_400.0
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "withdrawn"]
Via = Literal["client", "command line", "link"]


class ApprovalSpec(Frozen):
    """What a caller asks people."""

    title: Line
    action: Text = Field(min_length=1, description="What exactly will happen")
    details: Any = None
    approvers: Annotated[tuple[Line, ...], BeforeValidator(several)] = Field(
        max_length=20, description="User names or email addresses; empty: anyone"
    )
    quorum: Literal["any", "all"] | int = Field(default="any", description="Or how many")
    expires_in_seconds: float = Field(default=EXPIRES_IN_SECONDS_DEFAULT, ge=1, le=90 * 86_400, allow_inf_nan=False)

    def needed(self) -> int:
        """How many must approve.

        Raises:
            ValidationFailed: more than there are, or none.
        """
        people = len(_people(self.approvers))
        needed = {"any": 1, "all": max(people, 1)}.get(str(self.quorum), self.quorum)
        if not isinstance(needed, int) or not 1 <= needed <= max(people, 1):
            raise ValidationFailed(
                f"A quorum of {self.quorum} cannot be reached by {people} approvers.", next="Choose any, all or fewer."
            )
        return needed


class RequestApproval(ApprovalSpec):
    """People are asked, about an action of the caller's own or whether a task may start."""

    task_id: str | None = Field(default=None, description="Let this task wait for it")


class FindApprovals(Listing):
    """Approvals are listed, narrowed by what is given."""

    status: ApprovalStatus | None = None
    approver: str | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """What the operator allows, and where people decide.

    Attributes:
        allow: patterns of addresses that may be asked; none allow everyone.
        approvers: who may be asked beside them.
        links_base: where a person reaches this server's pages; None where there are none.
    """

    allow: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    links_base: str | None = None

    def require_reachable(self, spec: ApprovalSpec) -> None:
        """An approver's address gets mail too: naming one must not be a way around the operator's list.

        Raises:
            PermissionDenied: naming those who may not be asked.
        """
        named = [person for person in spec.approvers if "@" in person]
        known = {person.casefold() for person in self.approvers}
        outside = [p for p in named if p.casefold() not in known and not is_allowed(p, self.allow)]
        if outside:
            raise PermissionDenied(
                f"This server may not send to {', '.join(outside)}, so they cannot be asked.",
                next=f"Allowed: {', '.join(self.allow)} (DATAMCP_EMAIL_ALLOW).",
                details={"refused": outside, "allowed": list(self.allow)},
            )


class Answer(NamedTuple):
    """One person's answer."""

    by: str
    granted: bool
    via: str
    at: str
    note: str | None = None


class Approval(Record):
    """The aggregate: one question to people. `opened_at` moves when it is asked anew; then old links are void."""

    id: str
    title: str
    action: str
    details: str | None
    action_hash: str
    approvers: str
    needed: int
    status: ApprovalStatus
    answers: str
    task_id: str
    requested_by: str
    expires_at: Micros | None
    remind_at: Micros | None
    due_at: Micros | None
    opened_at: Micros
    created_at: Micros
    updated_at: Micros
    decided_at: Micros | None
    version: int

    @staticmethod
    def requested(approval_id: str, spec: ApprovalSpec, task_id: str, by: str, now: Micros) -> tuple["Approval", Event]:
        """A new question, with a reminder after half its time."""
        lasts = duration(spec.expires_in_seconds)
        details = None if spec.details is None else check_json(spec.details, "details")
        return _opened(
            approval_id,
            now,
            title=spec.title,
            action=spec.action,
            details=details,
            action_hash=action_hash(spec.title, spec.action, details),
            approvers=RawJson(dump_json(_people(spec.approvers))),
            needed=spec.needed(),
            task_id=task_id,
            requested_by=by,
            expires_at=now + lasts,
            remind_at=now + lasts // 2,
        )

    @staticmethod
    def of_task(task: Task, by: str, now: Micros) -> tuple["Approval", Event]:
        """The question whether a task may start: to anyone who may decide, for as long as it takes."""
        title, action, details = task_question(task)
        return _opened(
            approval_id_of(task.id),
            now,
            title=title,
            action=action,
            details=details,
            action_hash=action_hash(title, action, details),
            approvers=RawJson("[]"),
            needed=1,
            task_id=task.id,
            requested_by=by,
            expires_at=None,
            remind_at=None,
        )

    def people(self) -> list[str]:
        """Who is asked; nobody named means anyone who may decide."""
        return json.loads(self.approvers)

    def given(self) -> list[Answer]:
        """The answers so far."""
        return [Answer(**answer) for answer in json.loads(self.answers)]

    def answered(self, answer: Answer, now: Micros) -> tuple[Self, Event]:
        """One more answer, which may decide.

        Raises:
            InvalidTransition: it is decided, or its time is over; the message says by whom and when.
            PermissionDenied: this person is not asked.
        """
        self.require_open(now)
        person = self._person(answer.by)
        given = self.given()
        if any(earlier.by == person for earlier in given):
            raise InvalidTransition(
                f"{person} has answered {self.id} already: {self.described()}.", next="One answer counts for each."
            )
        given.append(answer._replace(by=person))
        status = self._status(given)
        changes: dict[str, Any] = {"answers": RawJson(dump_json([a._asdict() for a in given])), "status": status}
        if status != "pending":
            changes |= {"decided_at": now, "due_at": None}
        return self._moved("approval.answered" if status == "pending" else f"approval.{status}", now, **changes)

    def expired(self, now: Micros) -> tuple[Self, Event]:
        """Nobody decided in time."""
        return self._moved("approval.expired", now, status="expired", decided_at=now, due_at=None)

    def withdrawn(self, now: Micros) -> tuple[Self, Event]:
        """What was asked about will not happen anyway."""
        return self._moved("approval.withdrawn", now, status="withdrawn", decided_at=now, due_at=None)

    def reminded(self, now: Micros) -> tuple[Self, Event]:
        """The people were reminded."""
        return self._moved("approval.reminded", now, remind_at=None, due_at=self.expires_at)

    def reopened(self, now: Micros) -> tuple[Self, Event]:
        """Asked anew, with nothing of the old answers."""
        changes: dict[str, Any] = {"status": "pending", "answers": RawJson("[]"), "decided_at": None, "opened_at": now}
        if self.expires_at is not None:
            lasts = self.expires_at - self.opened_at
            changes |= {"expires_at": now + lasts, "remind_at": now + lasts // 2, "due_at": now + lasts // 2}
        return self._moved("approval.reopened", now, **changes)

    def put_to(self, spec: ApprovalSpec, now: Micros) -> tuple[Self, Event]:
        """Put to other people, as long as nobody has answered.

        Raises:
            Conflict: somebody has.
        """
        self.require_open(now)
        if self.given():
            raise Conflict(f"{self.id} has been answered in part: {self.described()}.", next="Wait for the others.")
        lasts = duration(spec.expires_in_seconds)
        return self._moved(
            "approval.put_to",
            now,
            approvers=RawJson(dump_json(_people(spec.approvers))),
            needed=spec.needed(),
            expires_at=now + lasts,
            remind_at=now + lasts // 2,
            due_at=now + lasts // 2,
            opened_at=now,
        )

    def require_open(self, now: Micros) -> None:
        """Refuse an answer to what is decided.

        Raises:
            InvalidTransition: saying who decided, and when.
        """
        late = self.expires_at is not None and self.expires_at <= now
        if self.status != "pending" or late:
            raise InvalidTransition(
                f"{self.id} is {'expired' if late and self.status == 'pending' else self.described()}.",
                next="Nothing is left to decide.",
                details={"approval_id": self.id, "status": self.status, "decided_at": iso_or_none(self.decided_at)},
            )

    def require_hash(self, seen: str | None) -> None:
        """Refuse an answer to something else than what will happen.

        Raises:
            Conflict: what the person saw is not what is asked.
        """
        if seen is not None and seen != self.action_hash:
            raise Conflict(f"What {self.id} asks has changed since it was shown.", next="Look at it again.")

    def described(self) -> str:
        """`approved (ann approved on the command line at ...)`."""
        answers = "; ".join(
            f"{answer.by} {'approved' if answer.granted else 'rejected'} by {answer.via} at {answer.at}"
            for answer in self.given()
        )
        return f"{self.status} ({answers})" if answers else self.status

    def _person(self, by: str) -> str:
        people = self.people()
        if not people:
            return by
        found = next((person for person in people if person.casefold() == by.casefold()), None)
        if found is None:
            raise PermissionDenied(
                f"{by} is not asked to decide on {self.id}; {', '.join(people)} are.",
                next="Let one of them answer: by the link mailed, in their own client, or with "
                "`data-mcp-server-agent approvals`.",
                details={"approval_id": self.id, "approvers": people},
            )
        return found

    def _status(self, given: list[Answer]) -> ApprovalStatus:
        granted = sum(answer.granted for answer in given)
        if granted >= self.needed:
            return "approved"
        left = max(len(self.people()), 1) - len(given)
        return "pending" if granted + left >= self.needed else "rejected"

    def _moved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        changes["updated_at"] = now
        version = self.version + 1
        return self.evolved(changes | {"version": version}), Event(kind, "approval", self.id, version, changes)


def approval_id_of(task_id: str) -> str:
    """A task has at most one approval, whose id follows from its own."""
    return f"approval_{task_id.removeprefix('task_')}"


def task_question(task: Task) -> tuple[str, str, RawJson]:
    """Title, action and details of the question whether a task may start: everything that says what it will do."""
    told = {"kind": task.kind, "description": task.description, "agent_id": task.agent_id}
    facts: dict[str, Any] = {name: value for name, value in told.items() if value}
    if task.input is not None:
        facts["input"] = json.loads(task.input)
    return task.title, "Let this task start.", RawJson(dump_json(facts))


def action_hash(title: str, action: str, details: str | None) -> str:
    """SHA-256 over what is approved."""
    return sha256_text(dump_json([title, action, details]))


def no_approval(approval_id: str) -> NotFound:
    """The refusal for an id that names no approval."""
    return NotFound(
        f"There is no approval {named(approval_id)}.",
        next="List approvals with approvals_find.",
        details={"approval_id": approval_id},
    )


def answer_of(by: str, granted: bool, via: Via, note: str | None, now: Micros) -> Answer:
    """One person's answer, given now."""
    return Answer(by, granted, via, iso(now), note)


def _people(approvers: tuple[str, ...]) -> list[str]:
    return list({person.strip().casefold(): person.strip() for person in approvers}.values())


def _opened(approval_id: str, now: Micros, **fields: Any) -> tuple[Approval, Event]:
    data: dict[str, Any] = fields | {
        "status": "pending",
        "answers": RawJson("[]"),
        "due_at": fields["remind_at"],
        "opened_at": now,
        "created_at": now,
        "updated_at": now,
        "decided_at": None,
    }
    approval = Approval.adopt({"id": approval_id, "version": 1} | data)
    return approval, Event("approval.requested", "approval", approval_id, 1, data, creates=True)
