"""What is asked of approvals: to ask people, to find what was asked; and what a person answers."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from mcp_server.domain.approvals.people import ANYONE, as_person, distinct
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.composing import Calls
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, check_text
from mcp_server.kernel.meaning import Meant, TaskId
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.relative import UNTIL, as_said
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.together import LIKE, not_together
from mcp_server.kernel.values import Frozen, Line, Text

EXPIRES_IN_SECONDS_DEFAULT = 7 * 86_400.0
REASON_CHARACTERS_MAX = 2000
TEXT_CHARACTERS_MAX = 10_000
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "withdrawn", "stale"]
SoughtStatus = Annotated[
    Literal["pending", "approved", "answered", "rejected", "expired", "withdrawn", "stale"],
    Meant(
        also={
            "open": "pending",
            "granted": "approved",
            "accepted": "approved",
            "declined": "rejected",
            "denied": "rejected",
            "refused": "rejected",
            "cancelled": "withdrawn",
            "canceled": "withdrawn",
            "timed_out": "expired",
        }
    ),
]
Approver = Annotated[Line, Meant("a user's name or an email address", "ann@example.org", parts=r"^[^,;<>]+$")]


Choice = Annotated[Line, Meant("one line of text", parts=r"^[^,;]+$")]


class ApprovalSpec(Frozen):
    """What a caller asks people."""

    title: Line = Field(examples=["Delete the old backups"])
    action: Text = Field(
        min_length=1, description="What exactly will happen", examples=["Delete the 3 backups of 2024 in bucket b"]
    )
    details: Any = None
    approvers: tuple[Approver, ...] = Field(
        default=(),
        max_length=20,
        description="User names or email addresses; [] asks anyone, such as the user here",
        examples=[["ann@example.org"]],
    )
    quorum: Literal["any", "all"] | int = Field(default="any", description="Or how many")
    expires_in_seconds: Annotated[float, Field(ge=1, le=90 * 86_400, allow_inf_nan=False), UNTIL] = (
        EXPIRES_IN_SECONDS_DEFAULT
    )

    @field_validator("approvers")
    @classmethod
    def _who_can_answer(cls, approvers: tuple[str, ...]) -> tuple[str, ...]:
        people = tuple(map(as_person, approvers))
        if ANYONE.isdisjoint(map(str.casefold, people)):
            return people
        if len(people) > 1:
            raise ValidationFailed("`approvers` are anyone, which is [], or those who are named: not both.")
        return ()

    def people(self) -> list[str]:
        """Who is asked, each person once."""
        return distinct(self.approvers)

    def needed(self) -> int:
        """How many must approve.

        Raises:
            ValidationFailed: more than there are, or none.
        """
        people = len(self.people())
        needed = {"any": 1, "all": max(people, 1)}.get(str(self.quorum), self.quorum)
        if not isinstance(needed, int) or not 1 <= needed <= max(people, 1):
            raise ValidationFailed(
                f"A quorum of {self.quorum} cannot be reached by {people} approvers.", next="Choose any, all or fewer."
            )
        return needed


def _as_read(choice: str) -> str:
    """A choice as a person reads it: without what is not seen, and whatever its letters are made of."""
    seen = (letter for letter in unicodedata.normalize("NFKC", choice) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(seen).split()).casefold()


class RequestApproval(ApprovalSpec):
    """People are asked: about an action of the caller's own, whether a task may start, whether calls shall be made, or
    what to choose or do."""

    action: Text = Field(
        default="",
        description="What exactly will happen; or give calls",
        examples=["Delete the 3 backups of 2024 in bucket b"],
    )
    calls: Calls = Field(default=(), description="[{tool, arguments}]: run once granted, all or none")
    choices: tuple[Choice, ...] = Field(default=(), max_length=20, description="Answers instead of yes and no")
    free_text: bool = Field(default=False, description="Let them write their answer")
    task_id: TaskId | None = Field(default=None, description="Let this task wait for it")
    idempotency_key: Line | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        check_all(self._asks_something, self._can_be_answered)
        return self

    def _asks_something(self) -> None:
        asks = self.is_open()
        if not (self.action or self.calls or asks):
            raise not_together(
                "Say in `action` what exactly will happen, or give the `calls` that shall run.", action=LIKE
            )
        if self.calls:
            self._runs_at_a_yes_alone(asks)

    def is_open(self) -> bool:
        """Whether it is answered by more than yes and no."""
        return bool(self.choices) or self.free_text

    def _runs_at_a_yes_alone(self, asks: bool) -> None:
        """Refuse calls beside what a yes does not answer. What shall be done is the point: that stays."""
        if asks or self.task_id is not None:
            raise not_together(
                "`calls` run by themselves at a yes, which choices, free_text and task_id do not have: leave these "
                "out. A yes or no may carry a reason anyway. To ask what to choose, ask without calls, and make "
                "those that the answer means.",
                **dict.fromkeys(("choices", "free_text", "task_id")),
            )

    def _can_be_answered(self) -> None:
        if len(self.choices) == 1 or len(set(map(_as_read, self.choices))) < len(self.choices):
            raise ValidationFailed("`choices` takes at least two answers, all different.")
        if self.free_text and self.quorum not in ("any", 1):
            raise not_together("`free_text` takes one answer: leave quorum out.", quorum=None)

    def content_hash(self) -> str:
        """What an idempotency key is bound to: everything else that was said, in whichever order people are named."""
        return self._content_hash(sorted(self.people()))

    def content_hash_before(self) -> str:
        """The same as it was made while the order counted; rows of then still have it."""
        return self._content_hash(self.people())

    def _content_hash(self, people: list[str]) -> str:
        said = self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
        return canonical_hash(said | {"approvers": people} | as_said(self))


def _storable(text: str) -> str:
    check_text(text)
    return text


class FindApprovals(Listing):
    """Approvals are listed, narrowed by what is given."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("since", "until", "before", "after"),
            "the list has the newest first; events_read(type='approval.*', since=...) tells by time",
        ),
        **dict.fromkeys(("text", "title", "query", "search"), "what is asked is not searched: narrow by status"),
        **dict.fromkeys(("requested_by", "requester", "agent_id"), "the list names each one's requested_by"),
    }

    status: SoughtStatus | None = None
    approver: Sought | None = None
    task_id: TaskId | None = None


class Vote(Frozen):
    """What a person answers: yes or no; to a question that is open to more, a choice or a text."""

    approve: StrictBool
    reason: Annotated[StrictStr, Field(max_length=REASON_CHARACTERS_MAX)] | None = None
    choice: Annotated[StrictStr, Field(max_length=200)] | None = None
    text: Annotated[StrictStr, AfterValidator(_storable), Field(max_length=TEXT_CHARACTERS_MAX)] | None = None


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve"},
        "reason": {"type": "string", "title": "Reason", "maxLength": REASON_CHARACTERS_MAX},
    },
    "required": ["approve"],
}
"""The form for a vote, as a client shows it."""


def form_of(choices: Sequence[str], *, free_text: bool) -> dict[str, Any]:
    """The form for an answer, as a client shows it."""
    if not (choices or free_text):
        return FORM
    fields: dict[str, Any] = {}
    if choices:
        fields["choice"] = {"type": "string", "title": "Your choice", "enum": list(choices)}
    if free_text:
        title = "Or your own answer" if choices else "Your answer"
        fields["text"] = {"type": "string", "title": title, "maxLength": TEXT_CHARACTERS_MAX}
    required = [] if choices and free_text else list(fields)
    return {"type": "object", "properties": fields, "required": required}


def read_vote(action: Any, content: Any, form: Mapping[str, Any] = FORM) -> Vote | None:
    """What a client's user answered to the form. To decline is a no: the protocol has it that this user explicitly
    declined, where one who looks away cancels; then there is no vote.

    Raises:
        ValidationFailed: it is not what the form asks for, so it decides nothing.
    """
    if action in ("cancel", "decline") and not content:
        return None if action == "cancel" else Vote(approve=False)
    if action != "accept":
        raise _not_the_form(f"an action {quoted(str(action))} with that content", form)
    try:
        return Vote.model_validate(_voted(content, form))
    except ValidationError as error:
        raise _not_the_form(complaints(error), form) from None


def _voted(content: Any, form: Mapping[str, Any]) -> Any:
    """The content of an answer as a vote; where the form asks for more than yes or no, whatever is said is a yes."""
    if form is FORM or not isinstance(content, dict):
        return content
    said = {name: value for name, value in cast("dict[str, Any]", content).items() if value != ""}
    if not said or not said.keys() <= form["properties"].keys():
        raise _not_the_form(f"it answers {', '.join(sorted(said)) or 'nothing'}", form)
    return said | {"approve": True}


def _not_the_form(why: str, form: Mapping[str, Any]) -> ValidationFailed:
    return ValidationFailed(
        f"The client's answer is not what the form asks for ({why}), so nothing was decided.",
        next="The question stays open: have the user asked again.",
        details={"form": dict(form)},
    )
