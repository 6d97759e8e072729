"""What an agent is told that takes over open questions: nothing else brings them before it."""

from collections.abc import Sequence

from mcp_server.domain.approvals.model import Approval
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.times import iso

_NAMED_MAX = 10


def taken_over(left: str, questions: Sequence[Approval], reason: str | None) -> tuple[str, str]:
    """Subject and words of the message.

    Args:
        left: the name of the agent whose questions they were.
        questions: all of them.
        reason: why they were handed over, where that was said.
    """
    why = "" if reason is None else f" The reason: {quoted(reason)}."
    more = (
        f"\nand {len(questions) - _NAMED_MAX} more: approvals_find(status='pending')"
        if len(questions) > _NAMED_MAX
        else ""
    )
    lines = "\n".join(map(_line, questions[:_NAMED_MAX]))
    return (
        f"Open questions of {named(left)} are yours now",
        f"What {named(left)} asked people, and nobody has answered, is yours: tasks_wait(task_id=...) waits for each, "
        f"approvals_request(task_id=...) reminds its people.{why}\n{lines}{more}",
    )


def _line(question: Approval) -> str:
    until = "" if question.expires_at is None else f", open until {iso(question.expires_at)}"
    whom = ", ".join(map(named, question.people())) or "anyone who may decide"
    return f"{question.id} {quoted(question.title)} (task_id {question.task_id}), asked of {whom}{until}"
