"""What counts as a number in JSON."""

from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number, which JSON's true is not, though Python counts with it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
