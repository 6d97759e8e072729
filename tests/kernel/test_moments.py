"""Moments as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel import moments
from mcp_server.kernel.moments import distance_of, moment_like, moment_of
from mcp_server.kernel.times import micros

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "system_clock", lambda: micros(NOW))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1 hour ago", timedelta(hours=-1)),
        ("an hour ago", timedelta(hours=-1)),
        (" 30 min  ago ", timedelta(minutes=-30)),
        ("1h30m ago", timedelta(minutes=-90)),
        ("A day ago", timedelta(days=-1)),
        ("2 weeks ago", timedelta(weeks=-2)),
        ("in 2 hours", timedelta(hours=2)),
        ("In a minute", timedelta(minutes=1)),
        ("now", timedelta()),
        ("two days ago", timedelta(days=-2)),
        ("half an hour ago", timedelta(minutes=-30)),
        ("in 1h30", timedelta(minutes=90)),
        ("in PT2H", timedelta(hours=2)),
        ("three hours from now", timedelta(hours=3)),
        ("1 hour and 30 minutes ago", timedelta(minutes=-90)),
    ],
)
def test_a_distance_from_now_is_taken(text: str, meant: timedelta):
    assert moment_of(text) == f"{NOW + meant:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("+2h", timedelta(hours=2)),
        ("+ 30m", timedelta(minutes=30)),
        ("+1h30m", timedelta(minutes=90)),
        ("PT90M", timedelta(minutes=90)),
        ("P1D", timedelta(days=1)),
    ],
)
def test_a_length_of_time_lies_ahead_where_the_argument_means_what_is_to_come(text: str, meant: timedelta):
    for name in ("run_at", "send_at"):
        assert moment_of(text, name) == f"{NOW + meant:%Y-%m-%dT%H:%M:%SZ}"
    assert moment_of(text) is None and moment_of(text, "until") is None


def test_an_hour_of_one_digit_is_taken():
    assert (
        moment_of("tomorrow 9:05 Europe/Berlin") == moment_of("tomorrow 09:05 Europe/Berlin") == "2027-01-16T08:05:00Z"
    )
    assert moment_of("2027-01-16 9:05:07 UTC") == "2027-01-16T09:05:07Z"


@pytest.mark.parametrize(
    "text", ["ago", "in", "hour", "2 months ago", "last hour", "in 99999999999999 days", "2 hours"]
)
def test_what_is_no_distance_or_leads_out_of_the_calendar_is_not(text: str):
    assert moment_of(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("last hour", timedelta(hours=-1)),
        ("Last 2 hours", timedelta(hours=-2)),
        ("the past 30 minutes", timedelta(minutes=-30)),
        ("past week", timedelta(weeks=-1)),
        ("24h", timedelta(days=-1)),
        ("-90m", timedelta(minutes=-90)),
        ("Yesterday", timedelta(hours=-32)),
        ("today", timedelta(hours=-8)),
        ("-PT1H", timedelta(hours=-1)),
    ],
)
def test_a_length_of_time_and_a_days_name_say_since_when_and_nothing_anywhere_else(text: str, meant: timedelta):
    assert moment_of(text, "since") == f"{NOW + meant:%Y-%m-%dT%H:%M:%SZ}"
    assert [moment_of(text, other) for other in ("until", "run_at", "send_at")] == [None] * 3


@pytest.mark.parametrize("text", ["tomorrow", "last year", "last", "past month", "last in 2 hours", "monday", ""])
def test_what_does_not_say_since_when_is_not_taken_for_it(text: str):
    assert moment_of(text, "since") is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2027/01/15", "2027-01-15T00:00:00Z"),
        ("15 Jan 2027", "2027-01-15T00:00:00Z"),
        ("January 15, 2027", "2027-01-15T00:00:00Z"),
        ("Jan 15 2027", "2027-01-15T00:00:00Z"),
        ("2027-01-15 10:30 UTC", "2027-01-15T10:30:00Z"),
        ("2027-01-15 10:30:05 gmt", "2027-01-15T10:30:05Z"),
        ("2027-01-15T10:30:05UTC", "2027-01-15T10:30:05Z"),
    ],
)
def test_a_day_and_a_zone_may_be_spelt_in_words(text: str, meant: str):
    assert moment_of(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2027-01-15 10:30 +01:00", "2027-01-15T09:30:00Z"),
        ("2027-01-15 10:30:05+0100", "2027-01-15T09:30:05Z"),
        ("2027-01-15T10:30 -05:00", "2027-01-15T15:30:00Z"),
        ("2027-01-15 10:30 Europe/Berlin", "2027-01-15T09:30:00Z"),
        ("tomorrow 09:00 Europe/Berlin", "2027-01-16T08:00:00Z"),
        ("Tomorrow at 09:00 UTC", "2027-01-16T09:00:00Z"),
        ("today 09:00 America/Argentina/Buenos_Aires", "2027-01-15T12:00:00Z"),
        ("tomorrow, 09:00 Pacific/Kiritimati", "2027-01-15T19:00:00Z"),
        ("tomorrow 9am Europe/Berlin", "2027-01-16T08:00:00Z"),
        ("9:30 pm tomorrow Europe/Berlin", "2027-01-16T20:30:00Z"),
        ("2027-01-16 12am UTC", "2027-01-16T00:00:00Z"),
        ("today noon UTC", "2027-01-15T12:00:00Z"),
        ("16 Jan 2027 at 9:00 UTC", "2027-01-16T09:00:00Z"),
        ("January 16, 2027 09:00 GMT", "2027-01-16T09:00:00Z"),
        ("Sat, 16 Jan 2027 09:00:00 +0100", "2027-01-16T08:00:00Z"),
        ("2027-01-16T09:00:00+01:00[Europe/Berlin]", "2027-01-16T08:00:00Z"),
        ("2027-01-16T09:00[Europe/Berlin]", "2027-01-16T08:00:00Z"),
        ("2027-01-16 09:00:00+01", "2027-01-16T08:00:00Z"),
    ],
)
def test_a_time_behind_a_blank_or_at_a_named_place_is_taken(text: str, meant: str):
    assert moment_of(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "2027-10-31 02:30 Europe/Berlin",  # twice
        "2027-03-28 02:30 Europe/Berlin",  # never
        "tomorrow 09:00",
        "tomorrow 9:00 pm",
        "2027-01-15 10:30 Berlin/Europe",
        "2027-01-15 10:30 +99:00",
        "2027-01-15 25:30 +01:00",
        "2027-02-30 10:30 UTC",
        "9999-12-31 23:30 -05:00",
        "2027-01-15 10:30 ../etc/passwd",
        "tomorrow 13pm UTC",
        "tomorrow 0am UTC",
        "tomorrow 9 UTC",
        "tomorrow midnight UTC",
        "Sun, 16 Jan 2027 09:00:00 GMT",  # a Saturday
        "01/02/2027 09:00 UTC",
        "next monday 08:00 UTC",
        "monday 08:00 UTC",  # of which week, nobody says
    ],
)
def test_a_time_that_clocks_show_twice_or_never_or_whose_zone_is_none_is_not_taken(text: str):
    assert moment_of(text) is None


@pytest.mark.parametrize("text", ["01/02/2027", "15.1.2027", "2027-13-01 UTC", "UTC", "10:30 UTC", "2027-01-15 10:30"])
def test_a_day_of_which_two_could_be_meant_and_a_time_without_day_or_zone_are_not_taken(text: str):
    assert moment_of(text) is None


def test_a_day_of_the_week_lies_where_the_argument_looks_unless_it_is_today():
    assert moment_of("monday 8:00 UTC", "run_at") == "2027-01-18T08:00:00Z"
    assert moment_of("Monday 8am UTC", "since") == moment_of("monday 8:00 UTC", "until") == "2027-01-11T08:00:00Z"
    assert moment_of("friday 9:00 UTC", "run_at") is None, "today, or in a week"


def test_what_is_to_be_at_once_is_now_and_was_not_before():
    assert moment_of("asap", "send_at") == moment_of("Immediately", "run_at") == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert moment_of("asap", "since") is None


@given(st.text() | st.integers(0, 10**40).map(lambda number: f"{number} days ago"))
def test_any_text_is_a_moment_or_none(text: str):
    found = moment_of(text, "since")
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(
    ("name", "text", "like"),
    [
        ("until", "last hour", "2027-01-15T07:00:00Z"),
        ("until", "past 2 days", "2027-01-13T08:00:00Z"),
        ("run_at", "2 hours", "2027-01-15T10:00:00Z"),
        ("run_at", "90m", "2027-01-15T09:30:00Z"),
        ("run_at", "tomorrow 09:00", "2027-01-16T09:00:00Z"),
        ("run_at", "next monday 08:00 Europe/Berlin", "2027-01-18T07:00:00Z"),
        ("run_at", "18:00", "2027-01-15T18:00:00Z"),
        ("run_at", "7:00 UTC", "2027-01-16T07:00:00Z"),
        ("run_at", "noon", "2027-01-15T12:00:00Z"),
        ("run_at", "20270116T090000Z", "2027-01-16T09:00:00Z"),
        ("since", "yesterday 18:00", "2027-01-14T18:00:00Z"),
        ("since", "18:00", "2027-01-14T18:00:00Z"),
        ("until", "last monday", "2027-01-11T00:00:00Z"),
    ],
)
def test_the_example_of_a_refused_time_is_what_was_perhaps_meant(name: str, text: str, like: str):
    assert moment_like(name, text) == like


@pytest.mark.parametrize("name", ["since", "until", "run_at", "send_at"])
def test_the_distance_that_is_offered_leads_to_where_the_argument_looks(name: str):
    meant = moment_of(distance_of(name), name)
    assert meant is not None and (meant < f"{NOW:%Y-%m-%dT%H:%M:%SZ}") == (name in ("since", "until"))
