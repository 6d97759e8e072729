"""Sums of JSON's numbers that lose no count: whole numbers add exactly, however they are written."""

import contextlib
import math

from mcp_server.kernel.errors import ValidationFailed

_EXACT_UNTIL = 2**53
"""Up to here every whole number is a number with a fraction, too; beyond, a one that is added may be lost."""


def sum_of(one: float, other: float) -> int | float:
    """The sum of two numbers. Where one is whole, `1.0` counts as the whole number that it is.

    Raises:
        ValidationFailed: there is no number that is their sum.
    """
    if isinstance(one, int) or isinstance(other, int):
        one, other = _whole(one), _whole(other)
    with contextlib.suppress(OverflowError):
        total = one + other
        if isinstance(total, int) or (math.isfinite(total) and _is_exact(one, other, total)):
            return total
    raise ValidationFailed(
        "The sum is larger than a number with a fraction can be, which are exact up to 2**53.",
        next="Add whole numbers to a whole number: these are exact, however large.",
    )


def _whole(number: float) -> int | float:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _is_exact(one: float, other: float, total: float) -> bool:
    """Whether nothing is lost beyond what a fraction loses anyway."""
    from fractions import Fraction  # few sums need it

    is_small = max(abs(one), abs(other), abs(total)) < _EXACT_UNTIL
    return is_small or Fraction(one) + Fraction(other) == Fraction(total)
