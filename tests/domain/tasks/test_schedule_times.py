"""When schedules fire: cron in a time zone, over clock changes, and what makes no sense."""

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.times import SECOND, iso, micros


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text))


def next_times(cron: str, zone: str, after: str, count: int) -> list[str]:
    return [iso(when)[:16] for when in ScheduleSpec(cron=cron, timezone=zone).firings(at(after), count)]


def test_a_local_time_is_kept_over_both_clock_changes():
    assert next_times("0 9 * * *", "Europe/Berlin", "2026-03-28T00:00Z", 3) == [
        "2026-03-28T08:00",
        "2026-03-29T07:00",
        "2026-03-30T07:00",
    ]
    assert next_times("0 9 * * *", "Europe/Berlin", "2026-10-24T00:00Z", 3) == [
        "2026-10-24T07:00",
        "2026-10-25T08:00",
        "2026-10-26T08:00",
    ]


def test_a_local_time_that_the_clocks_skip_still_fires_that_day():
    assert next_times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2) == ["2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_local_time_that_comes_twice_fires_once():
    assert next_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_an_interval_goes_on_evenly_over_a_clock_change():
    times = ScheduleSpec(cron="*/30 * * * *", timezone="Europe/Berlin").firings(at("2026-10-24T22:00Z"), 12)
    assert {later - earlier for earlier, later in pairwise(times)} == {1800 * SECOND}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/5 * * * *", "0 9 * * mon-fri", "30 2 * * *", "0 0 1 * *", "15 1,13 * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.integers(1_767_225_600, 1_830_297_600),
)
def test_the_last_occurrence_and_the_next_have_nothing_between_them(cron: str, zone: str, second: int):
    spec, now = ScheduleSpec(cron=cron, timezone=zone), second * SECOND
    latest, following = spec.latest_until(now), spec.next_after(now)
    assert latest <= now < following
    assert spec.next_after(latest) == following


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cron": "every day"}, "is not a cron expression"),
        ({"cron": "61 * * * *"}, "is not a cron expression"),
        ({"cron": "0 0 30 2 *"}, "is not a cron expression|never fires"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"cron": "* * * * *", "timezone": "../../etc/passwd"}, "no time zone"),
        ({"cron": "* * * * *", "catch_up": "all"}, "catch_up"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(fields: dict[str, str], reason: str):
    with pytest.raises(ValidationError, match=reason):
        ScheduleSpec(**fields)


def test_a_schedule_cannot_depend_on_tasks():
    with pytest.raises(ValidationError, match="cannot have `depends_on`"):
        TaskSpec.model_validate({"title": "t", "schedule": {"cron": "* * * * *"}, "depends_on": ["#0"]})


@pytest.mark.parametrize(
    ("given", "taken"), [("europe/berlin", "Europe/Berlin"), ("utc", "UTC"), ("UTC", "UTC"), ("EST5EDT", "EST5EDT")]
)
def test_a_zone_is_taken_in_any_spelling_and_kept_in_its_own(given: str, taken: str):
    """Some file systems find a zone in any spelling, and a database may move to one that does not."""
    assert ScheduleSpec(cron="* * * * *", timezone=given).timezone == taken
