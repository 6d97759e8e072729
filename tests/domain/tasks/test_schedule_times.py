"""When schedules fire: cron in a time zone, over clock changes, and what makes no sense."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.domain.tasks.commands import ControlTasks, CreateTasks
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.times import SECOND, iso, micros
from tests.world import World


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
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, 'no time zone "Mars/Olympus"'),
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


@pytest.mark.parametrize(
    "cron", ["0 9 * * MON", "0 9 1-7 * *", "0 9 */2 * MON", "0 9 1 * */2", "0 9 * * MON#1", "@monthly"]
)
def test_one_restricted_day_is_what_it_says(cron: str):
    spec = ScheduleSpec(cron=cron)
    assert spec.said_of_days(spec.next_after(0)) is None


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 9 1-7 * MON", 'cron="0 9 * * MON#1" is the MON of these days alone'),
        ("30 8 15-21 6 3", 'cron="30 8 * 6 3#3" is the 3 of these days alone'),
        ("0 9 13 * FRI", "its n-th of a month alone, such as MON#1"),
        ("0 9 1-7 * MON,TUE", "its n-th of a month alone, such as MON#1"),
        ("0 9 1-7 * 5L", "its n-th of a month alone, such as MON#1"),
    ],
)
def test_days_of_the_month_and_of_the_week_are_each_of_either_and_that_is_said(cron: str, said: str):
    spec = ScheduleSpec(cron=cron, timezone="Europe/Berlin")
    first = spec.next_after(micros(datetime(2026, 12, 1, tzinfo=UTC)))
    told = spec.said_of_days(first)
    assert told is not None and said in told and spec.local(first) in told
    assert all(spec.local(at) in told for at in spec.firings(first, 2)), "the next three times"


def test_the_cron_that_is_shown_for_both_days_fires_on_both():
    either, both = ScheduleSpec(cron="0 9 8-14 * TUE"), ScheduleSpec(cron="0 9 * * TUE#2")
    assert 'cron="0 9 * * TUE#2"' in (either.said_of_days(either.next_after(0)) or "")
    days = [datetime.fromtimestamp(at // 1_000_000, UTC) for at in both.firings(0, 40)]
    assert all(8 <= day.day <= 14 and day.weekday() == 1 for day in days)


@pytest.mark.anyio
async def test_who_creates_or_edits_a_schedule_of_both_days_is_told(world: World):
    command = CreateTasks(tasks=[{"title": "t", "schedule": {"cron": "0 9 1-7 * MON"}}, {"title": "u"}])
    made = await world.desk.tasks.create(world.call, command)
    (warning,) = made.warnings or []
    assert warning.startswith(f"{made.tasks[0].id}: cron fires on day 1-7 of the month and on MON as well")
    change: dict[str, Any] = {"task_ids": [made.tasks[0].id], "action": "edit"}

    async def edited(schedule: dict[str, str]) -> list[str] | None:
        command = ControlTasks.model_validate(change | {"schedule": schedule})
        return (await world.desk.tasks.control(world.call, command)).warnings

    assert await edited({"timezone": "Europe/Berlin"}) is None, "what was not touched is not told again"
    assert "MON#2" in ((await edited({"cron": "0 9 8-14 * MON"})) or [""])[0]
    assert await edited({"cron": "0 9 * * MON#2"}) is None


_SKIPPED = "on 2027-03-14 the clocks show 02:30 not at all: it fires next at 2027-03-14T03:00-04:00"
_SHOWN_TWICE = "on 2027-11-07 the clocks show 01:30 twice: it fires at 2027-11-07T01:30-04:00"
_BY_HALF_AN_HOUR = "on 2027-04-04 the clocks show 01:45 twice: it fires at 2027-04-04T01:45+11:00"
_EVERY_HALF_HOUR = (
    "on 2027-03-28 the clocks show 02:00, 02:30 not at all: it fires next at 2027-03-29T02:00+02:00; "
    "on 2027-10-31 the clocks show 02:00, 02:30 twice: it fires at 2027-10-31T02:00+02:00, "
    "2027-10-31T02:30+02:00, 2027-10-31T02:00+01:00, 2027-10-31T02:30+01:00"
)


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("0 9 * * *", "Europe/Berlin", None),
        ("30 2 * * *", "UTC", None),
        ("30 2 * * *", "Asia/Kathmandu", None),
        ("*/20 * * * *", "Europe/Berlin", None),
        ("30 2 * * MON", "Europe/Berlin", None),
        ("30 2 * * *", "America/New_York", _SKIPPED),
        ("30 1 * * *", "America/New_York", _SHOWN_TWICE),
        ("*/30 2 * * *", "Europe/Berlin", _EVERY_HALF_HOUR),
        ("45 1 * * *", "Australia/Lord_Howe", _BY_HALF_AN_HOUR),
    ],
)
def test_what_becomes_of_times_that_the_clocks_skip_or_show_twice_is_said_and_nothing_of_others(
    cron: str, zone: str, said: str | None
):
    spec = ScheduleSpec(cron=cron, timezone=zone)
    first = spec.next_after(at("2026-12-01T00:00Z"))
    assert spec.said_of_clock_changes(first) == said


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 59), st.integers(0, 3), st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
)
def test_what_is_said_of_a_clock_change_is_what_the_schedule_does_then(minute: int, hour: int, zone: str):
    spec, began = ScheduleSpec(cron=f"{minute} {hour} * * *", timezone=zone), at("2026-12-01T00:00Z")
    told = spec.said_of_clock_changes(spec.next_after(began)) or ""
    year = [spec.local(when) for when in spec.firings(began, 366)]
    moved = [when for when in year if when[11:16] != f"{hour:02}:{minute:02}"]
    assert all(f"it fires next at {when}" in told for when in moved) and told.count("not at all") == len(moved)
    assert all(when in year for when in told.replace(";", "").replace(",", "").split() if when[10:11] == "T")


@pytest.mark.anyio
async def test_who_creates_edits_or_reads_a_schedule_is_told_what_a_clock_change_does_to_it(world: World):
    odd = {"cron": "30 2 * * *", "timezone": "America/New_York"}
    made = await world.desk.tasks.create(world.call, CreateTasks(tasks=[{"title": "t", "schedule": odd}]))
    said, task_id = "on 2027-03-14 the clocks show 02:30 not at all", made.tasks[0].id
    (warning,) = made.warnings or []
    assert warning.startswith(f"{task_id}: {said}")

    async def edited(**schedule: str) -> list[str] | None:
        command = {"task_ids": [task_id], "action": "edit", "schedule": schedule}
        return (await world.desk.tasks.control(world.call, ControlTasks.model_validate(command))).warnings

    assert said in ((await world.desk.tasks.get(world.call, task_id)).clock_changes or "")
    assert await edited(timezone="UTC") is None
    assert (await world.desk.tasks.get(world.call, task_id)).clock_changes is None
    assert said in ((await edited(timezone="America/New_York")) or [""])[0]
    assert await edited(overlap="allow") is None, "what was not touched is not told again"
