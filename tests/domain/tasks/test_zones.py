"""Time zones that mean what they say, and steps that fire as written."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskChanges
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.understanding import understood

WINTER = datetime(2027, 1, 15, tzinfo=UTC)


def spec(**said: str) -> ScheduleSpec:
    return understood("t", ScheduleSpec, {"cron": "0 9 * * *"} | said)


@pytest.mark.parametrize("hours", [*range(-12, 0), *range(1, 15)])
def test_an_offset_is_refused_with_the_zones_that_have_it(hours: int):
    for written in (f"GMT{hours:+d}", f"utc{hours:+03d}:00", f"{hours:+03d}00", f"UTC {hours:+d}"):
        with pytest.raises(OpsError, match="is an offset") as refused:
            spec(timezone=written)
        said = str(refused.value)
        fixed = re.search(r"Etc/GMT[+-]\d+", said)
        assert fixed is not None
        assert ZoneInfo(fixed[0]).utcoffset(WINTER) == timedelta(hours=hours)
        assert spec(timezone=fixed[0]).timezone == fixed[0]


@pytest.mark.parametrize(
    ("written", "city"), [("UTC+2", "Europe/Athens"), ("GMT+5:30", "Asia/Kolkata"), ("-3:30", "America/St_Johns")]
)
def test_a_place_of_that_offset_is_named(written: str, city: str):
    with pytest.raises(OpsError, match=city):
        spec(timezone=written)


@pytest.mark.parametrize("written", ["GMT", "gmt+0", "UTC", "Etc/GMT+5", "Europe/Berlin", "berlin", "EST5EDT"])
def test_a_zone_by_its_name_is_taken(written: str):
    assert spec(timezone=written).timezone.casefold().endswith(written.casefold())


@pytest.mark.parametrize("written", ["localtime", "Factory", "posixrules", "LOCALTIME"])
def test_a_zone_that_is_another_on_each_machine_is_refused(written: str):
    for model in (ScheduleSpec, TaskChanges):
        schedule = {"cron": "0 9 * * *", "timezone": written}
        with pytest.raises(OpsError, match="another time zone on each machine"):
            understood("t", model, schedule if model is ScheduleSpec else {"schedule": schedule})


@pytest.mark.parametrize(
    ("cron", "field"),
    [
        ("*/61 * * * *", "60 of its minute"),
        ("5/70,3 * * * *", "60 of its minute"),
        ("0-30/90 * * * *", "60 of its minute"),
        ("0 */25 * * *", "24 of its hour"),
        ("0 0 */32 * *", "31 of its day of the month"),
        ("0 0 1 */13 *", "12 of its month"),
        ("0 0 * * */8", "7 of its day of the week"),
    ],
)
def test_a_step_over_the_end_of_its_field_is_refused(cron: str, field: str):
    with pytest.raises(OpsError, match=field):
        spec(cron=cron)


@pytest.mark.parametrize(
    "cron", ["*/60 * * * *", "*/45 * * * *", "0 */24 * * *", "0 0 */31 * *", "0 0 1 */12 *", "0 0 * * */7"]
)
def test_a_step_within_its_field_is_taken(cron: str):
    assert spec(cron=cron).cron == cron


def test_a_schedule_that_is_there_stays():
    stored = ScheduleSpec(cron="0 9 * * *").model_copy(update={"cron": "*/61 * * * *", "timezone": "Factory"})
    assert ScheduleSpec.model_validate_json(stored.model_dump_json()) == stored
