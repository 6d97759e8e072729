"""What is no time: a number of another age, a day that is none. It is refused with why, and with times that do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel import moments
from mcp_server.kernel.amiss_times import amiss
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.times import iso, micros
from mcp_server.kernel.understanding import understood
from mcp_server.kernel.values import Frozen, Time

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
FIRST, LAST = datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


class At(Frozen):
    run_at: Time | None = None
    until: Time | None = None


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "system_clock", lambda: micros(NOW))


def at(value: Any, name: str = "run_at") -> datetime:
    return getattr(understood("t", At, {name: value}), name)


@given(micros_=st.integers(micros(FIRST), micros(LAST)))
def test_a_number_of_our_age_counts_seconds_milliseconds_or_microseconds(micros_: int):
    for per_second in (1, 1000, 1_000_000):
        number = micros_ * per_second // 1_000_000
        meant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number * 1_000_000 // per_second)
        assert at(number) == at(str(number)) == meant


@pytest.mark.parametrize("as_given", [lambda one: one, str, float], ids=["number", "text", "float"])
@pytest.mark.parametrize(
    "number", [0, -1, 1, 5, 3600, 2027, 86_400, 20270101, 978_307_199, 4_102_444_800, 253_402_300_799, 10**18]
)
def test_a_number_of_another_age_is_no_time(as_given: Any, number: int):
    if as_given(number) == "20270101":
        assert at("20270101") == datetime(2027, 1, 1, tzinfo=UTC)
        return
    for name in ("run_at", "until"):
        with pytest.raises(OpsError, match="is not accepted"):
            at(as_given(number), name)


@pytest.mark.parametrize("wrong", ["2027", "nan", "inf", "-inf", "1e3", "9" * 5000, True, 1.5, "202701011200", "٣٦٠٠"])
def test_figures_that_are_no_number_of_our_age_are_no_time(wrong: Any):
    with pytest.raises(OpsError, match="is not accepted"):
        at(wrong)


@pytest.mark.parametrize(
    ("name", "wrong", "why", "near", "distance"),
    [
        ("run_at", 3600, "that is 1970-01-01T01:00:00Z", ["2027-01-15T09:00:00Z"], "in 3600 seconds"),
        ("until", 3600, "that is 1970-01-01T01:00:00Z", ["2027-01-15T07:00:00Z"], "3600 seconds ago"),
        ("run_at", "2028", "that is 1970-01-01T00:33:48Z", ["2028-01-01T00:00:00Z"], "in 2028 seconds"),
        ("run_at", 20280229, "that is 1970-08-23", ["2028-02-29T00:00:00Z"], "in 20280229 seconds"),
        ("run_at", "202802291030", "", ["2028-02-29T10:30:00Z"], None),
        ("run_at", -1, "that is 1969-12-31T23:59:59Z", ["2027-01-15T09:00:00Z"], None),
        ("run_at", "2027-02-30", "February 2027 has 28 days", ["2027-02-28T00:00:00Z", "2027-03-01T00:00:00Z"], None),
        ("run_at", "2028-02-30T10:00+01:00", "has 29 days", ["2028-02-29T09:00:00Z", "2028-03-01T09:00:00Z"], None),
        ("run_at", "2027-12-00 10:00", "has 31 days", ["2027-12-31T10:00:00Z", "2028-01-01T10:00:00Z"], None),
        ("run_at", "23:59:60Z", "seconds go up to 59", ["2027-01-15T23:59:59Z"], None),
        ("run_at", "2027-06-30T23:59:60Z", "seconds go up to 59", ["2027-06-30T23:59:59Z"], None),
        ("run_at", "2027-12-31T24:00Z", "hours go up to 23", ["2028-01-01T00:00:00Z"], None),
        ("run_at", "2027-03-01T10.30Z", "a point", ["2027-03-01T10:30:00Z"], None),
        (
            "run_at",
            "2027-10-31 02:30 Europe/Berlin",
            "clocks in Europe/Berlin show it twice",
            ["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"],
            None,
        ),
        (
            "run_at",
            "2027-03-14 02:15 America/New_York",
            "clocks in America/New_York skip it",
            ["2027-03-14T06:15:00Z", "2027-03-14T07:15:00Z"],
            None,
        ),
    ],
)
def test_it_is_said_why_it_is_no_time_and_what_is_near(name: str, wrong: Any, why: str, near: list[str], distance: Any):
    found = amiss(name, wrong)
    assert why in found.why and (list(found.near), found.distance) == (near, distance)


@pytest.mark.parametrize("name", ["run_at", "until"])
@pytest.mark.parametrize(
    "wrong",
    [
        "2027-01-01T10.30Z",
        "2027-01-01T10:30,5Z",
        "0000-01-40",
        "9999-12-31T24:00Z",
        "9999-02-31",
        "soon",
        "10:30",
        7,
        "",
    ]
    + ["2027-13-01", "2027-02-30T25:00", "2027-10-31 02:30 Europe/Berlin", "1 Jan", None, {}, [], "2027", "0001-02-30"],
)
def test_each_example_of_a_refused_time_is_a_time_and_another_than_what_was_refused(name: str, wrong: Any):
    found = amiss(name, wrong)
    assert found.near and wrong not in found.near
    for one in (*found.near, *filter(None, [found.distance])):
        assert at(one, name).tzinfo is not None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2027-01-01T00Z", "2027-01-01T00:00:00.000Z"),
        ("2027-01-01T00+01", "2026-12-31T23:00:00.000Z"),
        ("20270101T120000Z", "2027-01-01T12:00:00.000Z"),
        ("2027-01-01 10:30:05.25 UTC", "2027-01-01T10:30:05.250Z"),
    ],
)
def test_a_plain_time_in_a_rare_spelling_is_taken(text: str, meant: str):
    assert iso(micros(at(text))) == meant


def test_a_year_has_four_figures():
    assert iso(micros(at("0001-01-01T00:00:00Z"))) == "0001-01-01T00:00:00.000Z"
    assert moments.shown_time(at("0987-06-05T00:00:00Z")) == "0987-06-05T00:00:00Z"
