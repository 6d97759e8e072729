"""What came of a question, as data and in words: what was answered, what its calls made, or why nothing was done."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcp_server.domain.approvals.answers import Answer, answered
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.store import Row

_SHOWN_MAX = 5


class Outcome(NamedTuple):
    """What came of a question.

    Attributes:
        status: of the question.
        task_id: of the task behind it.
        answer: what was answered beside yes or no.
        calls: how many a yes runs.
        told: what those have made, or what has moved, or why it was withdrawn.
    """

    status: str
    task_id: str
    answer: str | None
    calls: int
    told: Mapping[str, Any] | None

    def word(self) -> str:
        """Its status as callers read it: a choice or a text is an answer, and says yes to nothing."""
        return self.status if self.answer is None else "answered"

    def said(self) -> str:
        """It in words; nothing where the status says all."""
        if self.status == "stale":
            return overtaken_words((self.told or {})["message"])
        if self.status == "withdrawn" and self.told is not None:
            return f"It was withdrawn{_by_whom(self.told)}."
        if self.calls:
            return self._said_of_calls(self.calls)
        return "" if self.answer is None else f"Answered: {quoted(self.answer)}."

    def _said_of_calls(self, calls: int) -> str:
        what = "Its call" if calls == 1 else f"Its {calls} calls"
        if self.told is not None:
            return f"{what} landed{_made(self.told)}."
        if self.status == "approved":
            return f"{what} will run as {self.task_id}, not done yet: tasks_wait(task_id='{self.task_id}') tells."
        if self.status == "pending":
            return ""
        return "Its call was not made." if calls == 1 else "None of its calls was made."


def _by_whom(told: Mapping[str, Any]) -> str:
    # Rows of 0.1.0 say the reason alone.
    by = f" by {named(told['by'])}" if "by" in told else ""
    return f"{by}: {quoted(told['reason'])}" if "reason" in told else by


def overtaken_words(why: str) -> str:
    """What is said where people said yes, and it could not be done: whether anything moved, `why` tells."""
    return f"It was approved, and nothing was done, since it could not be done any more: {why}"


def _made(told: Mapping[str, Any]) -> str:
    made = [one for ids in told.get("made", ()) for one in ids] + list(told.get("documents", ()))
    more = f" and {len(made) - _SHOWN_MAX} more" if len(made) > _SHOWN_MAX else ""
    return f": {', '.join(map(named, made[:_SHOWN_MAX]))}{more}" if made else ""


def outcome_of(row: Row) -> Outcome:
    """What came of a question, from its row."""
    calls: list[dict[str, Any]] = json.loads(row["calls"] or "[]")
    told: dict[str, Any] | None = None if row["outcome"] is None else json.loads(row["outcome"])
    if told is not None and row["ran_at"] is not None:
        told = _with_documents(told["made"], calls)
    given = [Answer(**one) for one in json.loads(row["answers"])] if row["status"] == "approved" else []
    return Outcome(row["status"], row["task_id"], answered(given), len(calls), told)


def _with_documents(made: list[list[str]], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """What calls have made, by ids in their order, and the documents that they changed, which have none."""
    written = [one["arguments"] for one in calls if one["tool"].startswith("state_")]
    documents = list(dict.fromkeys(f"{one['namespace']}/{one['key']}" for one in written))
    return ({"made": made} if any(made) else {}) | ({"documents": documents} if documents else {})
