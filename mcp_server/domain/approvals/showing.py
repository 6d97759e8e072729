"""A question as it is put to one person, and why it is not."""

from typing import NamedTuple

from mcp_server.domain.approvals.model import Approval, Seen
from mcp_server.domain.approvals.question import DIALOG_CHARACTERS_MAX
from mcp_server.kernel.call import Question
from mcp_server.kernel.errors import Conflict, Unavailable


class Shown(NamedTuple):
    """A question as a channel puts it to one voter: the whole text, and why a yes would do nothing, where that is
    known."""

    approval: Approval
    text: str
    stale: str | None = None

    @property
    def seen(self) -> Seen:
        """What was shown, as an answer names it."""
        return Seen(self.approval.action_hash, self.approval.opened_at)

    def require_useful(self) -> None:
        """Refuse to have a person asked in vain.

        Raises:
            Conflict: what is asked about has been overtaken.
        """
        if self.stale is not None:
            raise Conflict(
                f"Nobody was asked about {self.approval.id}: {self.stale}",
                next=f"tasks_control(action='cancel', task_ids=['{self.approval.task_id}']) withdraws it; "
                "approvals_request asks anew about what is there now.",
                details={"approval_id": self.approval.id},
            )


def cannot_ask(shown: Shown, question: Question) -> Unavailable:
    """The refusal to have a client ask its user that cannot, or cannot show all of it."""
    why = "This client cannot ask its user"
    if question.form is None:
        why = f"The question has {len(shown.text)} characters, and a dialog shows {DIALOG_CHARACTERS_MAX}"
    return Unavailable(
        f"{why}, and a model does not decide.",
        next=f"People decide where the operator has them asked: tasks_wait(task_id='{shown.approval.task_id}').",
        details={"approval_id": shown.approval.id, "task_id": shown.approval.task_id},
    )
