"""What an answer tells of that was granted to its caller, and is given back where the answer cannot be written."""

from collections.abc import Callable
from contextvars import ContextVar

_GRANTED: ContextVar[list[Callable[[], None]] | None] = ContextVar("granted", default=None)


def collect() -> None:
    """From now on, what is granted in this request is kept until its answer is out. Nobody else's is."""
    _GRANTED.set([])


def granted(give_back: Callable[[], None]) -> None:
    """Something was granted, of which the answer tells."""
    kept = _GRANTED.get()
    if kept is not None:
        kept.append(give_back)


def give_back() -> None:
    """The answer did not reach its caller, who has read nothing of it."""
    kept = _GRANTED.get() or []
    while kept:
        kept.pop()()
