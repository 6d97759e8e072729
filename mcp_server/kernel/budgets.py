"""A bound on what a computation may cost, in steps that are counted before they are made, whatever drives it."""

from dataclasses import dataclass
from typing import Any, cast

from mcp_server.kernel.errors import LimitExceeded, ValidationFailed
from mcp_server.kernel.json_text import JSON_DEPTH_MAX


@dataclass
class Budget:
    """How much something has cost so far.

    Attributes:
        what: the thing, in messages: `The text`.
        steps_max: how many steps it may take: a character, item or part each.
        remedy: what to do instead.
        taken: steps so far.
    """

    what: str
    steps_max: int
    remedy: str
    taken: int = 0

    def take(self, count: int) -> None:
        """Count steps before they are made.

        Raises:
            LimitExceeded: there are too many.
        """
        self.taken += count
        if self.taken > self.steps_max:
            raise LimitExceeded(
                f"{self.what} takes more than {self.steps_max} steps.",
                next=self.remedy,
                details={"steps_max": self.steps_max},
            )

    def spend(self, value: Any) -> Any:
        """Count what it takes to copy, write or compare a JSON value; returns the value.

        Raises:
            ValidationFailed: it is nested too deep.
        """
        level: list[Any] = [value]
        for _ in range(JSON_DEPTH_MAX + 1):
            self.take(len(level) + sum(map(size, level)))
            level = [part for item in level for part in _parts(item)]
            if not level:
                return value
        raise ValidationFailed(f"{self.what} holds a value nested deeper than {JSON_DEPTH_MAX} levels.")


def size(value: Any) -> int:
    """How many characters, items or members a value has itself; none where it is no text, list or object."""
    return len(cast("list[Any]", value)) if isinstance(value, (str, list, tuple, dict)) else 0


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        held = cast("dict[Any, Any]", item)
        return [*held, *held.values()]
    return list(cast("list[Any]", item)) if isinstance(item, (list, tuple)) else []
