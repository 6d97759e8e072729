"""What people answer, whether it is an answer to what is asked, and what it comes to."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from mcp_server.domain.approvals.commands import ApprovalStatus
from mcp_server.kernel.errors import ValidationFailed


class Answer(NamedTuple):
    """One person's answer: yes or no; to a question that is open to more, a choice or a text, or no answer."""

    by: str
    granted: bool
    via: str
    at: str
    note: str | None = None
    choice: str | None = None
    text: str | None = None

    @property
    def said(self) -> str | None:
        """What was answered beside yes or no."""
        return self.text if self.choice is None else self.choice

    @property
    def verb(self) -> str:
        """What the person did."""
        if not self.granted:
            return "rejected"
        return "approved" if self.said is None else "answered"

    def kept(self) -> dict[str, Any]:
        """As it is stored: what was not said beside yes or no is left out."""
        told = self._asdict()
        return {name: value for name, value in told.items() if value is not None or name == "note"}


class Answers(NamedTuple):
    """What may be answered, by how many, and how many have to agree."""

    choices: tuple[str, ...]
    free_text: bool
    people: int
    needed: int

    @property
    def is_open(self) -> bool:
        """Whether more than yes or no is asked for."""
        return bool(self.choices) or self.free_text

    def require_fits(self, answer: Answer) -> None:
        """Refuse an answer to something else than what is asked.

        Raises:
            ValidationFailed: saying what may be answered.
        """
        is_yes = answer.granted and self.is_open
        if not (self._has(answer) if is_yes else answer.said is None):
            what = self._said() if is_yes else "yes or no alone"
            raise ValidationFailed(
                f"That is no answer to this question, which takes {what}; so nothing was decided.", next="Answer again."
            )

    def _has(self, answer: Answer) -> bool:
        if answer.choice is not None:
            return answer.choice in self.choices and answer.text is None
        return self.free_text and bool((answer.text or "").strip())

    def _said(self) -> str:
        takes = [f"one of {json.dumps(list(self.choices), ensure_ascii=False)}"] if self.choices else []
        return " or ".join([*takes, "a text of one's own"] if self.free_text else takes)

    def status(self, given: Sequence[Answer]) -> ApprovalStatus:
        """What the answers so far come to. Where there are choices, so many have to choose the same."""
        needed = min(self.needed, self.people)  # an old question may count one person twice
        alike = Counter(answer.said if self.choices else None for answer in given if answer.granted)
        most = max(alike.values(), default=0)
        if most >= needed:
            return "approved"
        return "pending" if most + self.people - len(given) >= needed else "rejected"


def answered(given: Sequence[Answer]) -> str | None:
    """What was answered beside yes or no, once it is decided."""
    alike = Counter(answer.said for answer in given if answer.granted and answer.said is not None)
    return alike.most_common(1)[0][0] if alike else None


def said_yes(kept: str) -> list[str]:
    """Who granted, out of the answers as a row keeps them, in the order in which they did."""
    return [one.by for one in (Answer(**one) for one in json.loads(kept)) if one.granted]


def as_told(kept: Mapping[str, Any]) -> dict[str, Any]:
    """One answer as it is told: what was chosen or said may be a no of its own, so that nothing is granted by it."""
    is_open = kept.get("choice", kept.get("text")) is not None
    return {name: value for name, value in kept.items() if not (is_open and name == "granted")}


def retold(data: dict[str, Any]) -> dict[str, Any]:
    """The data of an event about a question, in the same words."""
    kept: Any = data.get("answers")
    # An event that does not say what it ought to is told as it stands: all others are read with it.
    if not (isinstance(kept, list) and all(isinstance(one, dict) for one in cast("list[Any]", kept))):
        return data
    answers = [as_told(one) for one in cast("list[dict[str, Any]]", kept)]
    is_answered = data.get("status") == "approved" and any("granted" not in one for one in answers)
    return data | {"answers": answers} | ({"status": "answered"} if is_answered else {})
