"""Durations as people write them."""

import pytest

from mcp_server.kernel.durations import durations_like, is_duration, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("1,5 h", 5400), ("0,25 min", 15), ("1h, 30m", 5400), ("2,5 Tage", None)]
)
def test_a_comma_before_one_or_two_figures_is_a_decimal_point(text: str, seconds: float | None):
    assert (seconds_of(text) if is_duration(text) else None) == seconds


@pytest.mark.parametrize("text", ["1,500 s", "1:30", "1 month", "1,2,3 h", "1,5"])
def test_what_may_mean_two_lengths_is_no_duration(text: str):
    assert not is_duration(text)


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("1:30", ("90 minutes", "90 seconds")),
        ("12:05", ("725 minutes", "725 seconds")),
        ("a month", ("30 days",)),
        ("2 Years", ("730 days",)),
        ("1:60", ()),
        ("soon", ()),
    ],
)
def test_what_it_may_mean_is_offered_and_is_a_duration(text: str, like: tuple[str, ...]):
    assert durations_like(text) == like and all(map(is_duration, like))
