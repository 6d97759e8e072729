"""What is asked of approvals: to ask people, to find what was asked; and what a person answers."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictStr, ValidationError, field_validator

from mcp_server.domain.approvals.people import distinct, is_mailbox, mailbox
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import canonical_hash
from mcp_server.kernel.meaning import TaskId
from mcp_server.kernel.values import Frozen, Line, Text

EXPIRES_IN_SECONDS_DEFAULT = 7 * 86_400.0
REASON_CHARACTERS_MAX = 2000
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "withdrawn"]


class ApprovalSpec(Frozen):
    """What a caller asks people."""

    title: Line = Field(examples=["Delete the old backups"])
    action: Text = Field(
        min_length=1, description="What exactly will happen", examples=["Delete the 3 backups of 2024 in bucket b"]
    )
    details: Any = None
    approvers: tuple[Line, ...] = Field(
        max_length=20,
        description="User names or email addresses; empty: anyone",
        examples=[["ann@example.org"]],
    )
    quorum: Literal["any", "all"] | int = Field(default="any", description="Or how many")
    expires_in_seconds: float = Field(default=EXPIRES_IN_SECONDS_DEFAULT, ge=1, le=90 * 86_400, allow_inf_nan=False)

    @field_validator("approvers")
    @classmethod
    def _addresses_are_addresses(cls, approvers: tuple[str, ...]) -> tuple[str, ...]:
        for one in approvers:
            if is_mailbox(one):
                mailbox(one)
        return approvers

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


class RequestApproval(ApprovalSpec):
    """People are asked, about an action of the caller's own or whether a task may start."""

    task_id: TaskId | None = Field(default=None, description="Let this task wait for it")
    idempotency_key: Line | None = None

    def content_hash(self) -> str:
        """What an idempotency key is bound to: everything else that was said."""
        said = self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
        return canonical_hash(said | {"approvers": self.people()})


class FindApprovals(Listing):
    """Approvals are listed, narrowed by what is given."""

    status: ApprovalStatus | None = None
    approver: str | None = None
    task_id: TaskId | None = None


class Vote(Frozen):
    """What a person answers."""

    approve: StrictBool
    reason: Annotated[StrictStr, Field(max_length=REASON_CHARACTERS_MAX)] | None = None


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve"},
        "reason": {"type": "string", "title": "Reason", "maxLength": REASON_CHARACTERS_MAX},
    },
    "required": ["approve"],
}
"""The form for a vote, as a client shows it."""


def read_vote(action: Any, content: Any) -> Vote | None:
    """What a client's user answered to the form. To decline is a no: the protocol has it that this user explicitly
    declined, where one who looks away cancels; then there is no vote.

    Raises:
        ValidationFailed: it is not what the form asks for, so it decides nothing.
    """
    if action in ("cancel", "decline") and not content:
        return None if action == "cancel" else Vote(approve=False)
    if action != "accept":
        raise _not_the_form(f"an action {action!r} with that content")
    try:
        return Vote.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "content"
        raise _not_the_form(f"{path}: {first['msg']}") from None


def _not_the_form(why: str) -> ValidationFailed:
    return ValidationFailed(
        f"The client's answer is not what the form asks for ({why}), so nothing was decided.",
        next="The question stays open: have the user asked again.",
        details={"form": FORM},
    )
