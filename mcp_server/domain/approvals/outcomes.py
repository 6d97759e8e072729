"""What came of a question, as data and in words: what was answered, what its calls made, or why nothing was done."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.approvals.answers import Answer, answered
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.store import Row

_SHOWN_MAX = 5
_THINGS = ("agent_id", "name", "deployment_id")
"""The arguments by which calls name the one thing that they are about."""

_REFERENCE = re.compile(r"@(\d+)\.(\d+)")


class Outcome(NamedTuple):
    """What came of a question.

    Attributes:
        status: of the question.
        task_id: of the task behind it.
        answer: what was answered beside yes or no.
        calls: how many a yes runs.
        told: what those have done and made, or what has moved, or why it was withdrawn.
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
    done: list[str] = told.get("done", [])
    more = f"; and {len(done) - _SHOWN_MAX} more" if len(done) > _SHOWN_MAX else ""
    return f": {'; '.join(done[:_SHOWN_MAX])}{more}" if done else ""


def outcome_of(row: Row) -> Outcome:
    """What came of a question, from its row."""
    calls: list[dict[str, Any]] = json.loads(row["calls"] or "[]")
    told: dict[str, Any] | None = None if row["outcome"] is None else json.loads(row["outcome"])
    if told is not None and row["ran_at"] is not None:
        told = _what_was_done(told["made"], calls)
    given = [Answer(**one) for one in json.loads(row["answers"])] if row["status"] == "approved" else []
    return Outcome(row["status"], row["task_id"], answered(given), len(calls), told)


def _what_was_done(made: list[list[str]], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """What each call did in a few words; what calls have made, by ids in their order, and the documents that they
    changed, which have none."""
    done = [_done(one["tool"], one["arguments"], ids, made) for one, ids in zip(calls, made, strict=False)]
    documents = list(dict.fromkeys(filter(None, (_document(one["tool"], one["arguments"]) for one in calls))))
    return {"done": done} | ({"made": made} if any(made) else {}) | ({"documents": documents} if documents else {})


def _done(tool: str, said: Mapping[str, Any], ids: Sequence[str], made: Sequence[Sequence[str]]) -> str:
    """`agents_control pause lena`: what was called, and what it made, or was about."""
    about = [_real(one, made) for one in ids or _named_in(tool, said)]
    more = [f"and {len(about) - _SHOWN_MAX} more"] if len(about) > _SHOWN_MAX else []
    what = ", ".join((*map(named, about[:_SHOWN_MAX]), *more))
    return " ".join(filter(None, (tool, said.get("action"), what)))


def _named_in(tool: str, said: Mapping[str, Any]) -> Sequence[str]:
    """What a call that makes nothing is about."""
    document = _document(tool, said)
    if document is not None or "task_ids" in said:
        return [document] if document is not None else said["task_ids"]
    return list(filter(None, (said.get(name) for name in _THINGS)))


def _document(tool: str, said: Mapping[str, Any]) -> str | None:
    return f"{said['namespace']}/{said['key']}" if tool.startswith("state_") else None


def _real(name: str, made: Sequence[Sequence[str]]) -> str:
    """The id of what a call before made, where that is named so."""
    found = _REFERENCE.fullmatch(name)
    return name if found is None else made[int(found[1])][int(found[2])]
