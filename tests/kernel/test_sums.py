"""What is counted is exact, however whole numbers are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.sums import sum_of

LARGE = 2**53
whole = st.integers(-(10**30), 10**30)


@given(one=whole, other=st.integers(-LARGE, LARGE))
def test_a_whole_number_with_a_point_adds_as_a_whole_number(one: int, other: int):
    for total in (sum_of(one, float(other)), sum_of(float(other), one)):
        assert isinstance(total, int) and total == one + other


@given(one=st.floats(-LARGE, LARGE), count=st.integers(-10, 10))
def test_a_count_is_added_whole_or_refused(one: float, count: int):
    try:
        assert sum_of(one, count) == (int(one) if one.is_integer() else one) + count
        assert one.is_integer() or abs(one) < LARGE
    except ValidationFailed:
        assert abs(one) + 10 >= LARGE


@pytest.mark.parametrize(
    ("one", "other"),
    [(LARGE + 1, 0.5), (2.0**60, 0.5), (float(LARGE), 1.0), (1e300, 2.5), (10**400, 0.5), (1e308, 1e308)],
)
def test_a_sum_that_no_number_is_is_refused(one: float, other: float):
    for pair in ((one, other), (other, one)):
        with pytest.raises(ValidationFailed, match="larger than"):
            sum_of(*pair)


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [(LARGE, 1.0, LARGE + 1), (1, 1.0, 2), (1, 0.5, 1.5), (0.1, 0.2, 0.1 + 0.2), (1.0, 1.0, 2.0)],
)
def test_sums(one: float, other: float, total: float):
    found = sum_of(one, other)
    assert (found, type(found)) == (total, type(total))
