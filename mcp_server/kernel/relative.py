"""What was said of a time that hangs on when it is read, kept beside what it was read as: `in 1 hour` said again a
second later is the same request, though another moment. An idempotency key is bound to what was said."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self, TypeVar

from pydantic import BaseModel, WrapValidator

T = TypeVar("T", "MomentText", "SaidTime", "SecondsLeft", "SaidSeconds")


class MomentText(str):
    """A moment as ISO 8601, and the words it was read from."""

    words: str = ""

    @classmethod
    def read(cls, moment: str | None, words: str) -> Self | None:
        """The moment that words were read as; None stays none."""
        return None if moment is None else _with_words(cls(moment), words)


class SaidTime(datetime):
    """A time, and the words it was read from."""

    words: str = ""


class SecondsLeft(int):
    """How many seconds it is until a time, and the words that said which."""

    words: str = ""

    @classmethod
    def read(cls, seconds: int, words: str) -> Self:
        """The seconds until the time that words name."""
        return _with_words(cls(seconds), words)


class SaidSeconds(float):
    """A duration, and the words of the time at which it ends."""

    words: str = ""


def _with_words(value: T, words: str) -> T:
    value.words = " ".join(words.lower().split())
    return value


def keep_words(value: Any, at: datetime) -> datetime:
    """A time with the words it was read from, where it was."""
    return _with_words(SaidTime.fromisoformat(at.isoformat()), value.words) if isinstance(value, MomentText) else at


def _lasting(value: Any, check: Callable[[Any], Any]) -> Any:
    seconds = check(value)
    return _with_words(SaidSeconds(seconds), value.words) if isinstance(value, SecondsLeft) else seconds


UNTIL = WrapValidator(_lasting)
"""A duration that may be said by the time at which it ends, of a command with an idempotency key."""


def as_said(command: BaseModel) -> dict[str, str]:
    """The members of a command that hang on when they were read, in their words."""
    said = ((name, getattr(command, name)) for name in type(command).model_fields)
    return {name: value.words for name, value in said if isinstance(value, (SaidTime, SaidSeconds))}
