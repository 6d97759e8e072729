"""What others say of a task in another way, refused with how it is said here: retries for attempts, an interval for a
cron expression, a time for a schedule, an operation of JSON Patch for a change."""

import re
from collections.abc import Mapping
from typing import Any, cast

from mcp_server.kernel.durations import is_duration, seconds_of
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.moments import moment_of
from mcp_server.kernel.near import folded
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.together import not_together

ATTEMPTS_MAX = 100
_RETRIES = ("retries", "max_retries")
_EVERY = ("every", "interval", "interval_seconds", "every_seconds", "frequency")
_FIELD = r"[\d*,/a-z?#-]{1,40}"
_CRON = re.compile(rf"\s*{_FIELD}(?:\s+{_FIELD}){{4}}\s*", re.IGNORECASE | re.ASCII)
_UNITS = ("minute", "hour", "day", "week")
_BY_WORD = {"minutely": "1 minute", "hourly": "1 hour", "daily": "1 day", "weekly": "1 week"}
_STEPS = ((60, 60, "*/{} * * * *"), (3600, 24, "0 */{} * * *"))
"""How many seconds a step has, how many steps go round, and the expression of one every so many."""
_WHOLE: Mapping[float, str] = {60: "* * * * *", 3600: "0 * * * *", 86_400: "0 0 * * *", 604_800: "0 0 * * 0"}


def members(given: Any) -> dict[str, Any]:
    """The members of an object; of anything else none."""
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def _instead(*names: str, **said: Any) -> dict[str, Any]:
    """What to leave out, and what to say in place of it."""
    return dict[str, Any](dict.fromkeys(names)) | said


def refuse_retries(given: Any, inside: str | None = None) -> None:
    """Refuse a number of retries, which counts one less than the attempts do.

    Args:
        given: a task, or its policy of retries.
        inside: the member that holds the policy, of a task.

    Raises:
        ValidationFailed: with as many attempts.
    """
    said = members(given)
    name = next((one for one in said if folded(one) in _RETRIES), None)
    count = said.get(name or "")
    if name is None or inside in said or isinstance(count, bool) or not isinstance(count, int):
        return
    if not 0 <= count < ATTEMPTS_MAX:
        raise ValidationFailed(f"`{name}`: attempts are counted here, from 1 to {ATTEMPTS_MAX}, the first one included")
    attempts: dict[str, Any] = {"max_attempts": count + 1}
    change: dict[str, Any] = {name: None} | (attempts if inside is None else {inside: attempts})
    raise not_together(
        f"`{name}` is said by retry.max_attempts, which counts the first attempt, too: {count + 1} of {count}",
        **change,
    )


def refuse_an_interval(given: Any) -> None:
    """Refuse to repeat a task every so often without saying when.

    Raises:
        ValidationFailed: with the cron expression of that, where there is one.
    """
    said = members(given)
    name = next((one for one in said if folded(one) in _EVERY), None)
    cron = None if name is None or "cron" in said else _cron_of(said[name])
    if name is not None and cron is not None:
        raise not_together(
            f"`{name}`: cron says how often, such as {quoted(cron)} for {quoted(str(said[name]))}",
            **_instead(name, cron=cron),
        )


def _cron_of(interval: Any) -> str | None:
    """The cron expression that fires every so often; None where none does so evenly."""
    seconds = _seconds_of(interval)
    if seconds in _WHOLE:
        return _WHOLE[seconds]
    fits = (
        expression.format(round(seconds / unit))
        for unit, count, expression in _STEPS
        if seconds and seconds % unit == 0 and count % (seconds / unit) == 0
    )
    return next(fits, None)


def _seconds_of(interval: Any) -> float:
    if isinstance(interval, (int, float)):
        return 0 if isinstance(interval, bool) else interval
    word = interval.strip().lower() if isinstance(interval, str) else ""
    text = _BY_WORD.get(word, f"1 {word}" if word in _UNITS else word)
    return seconds_of(text) if is_duration(text) else 0


def refuse_times_apart(given: Any) -> None:
    """Refuse a cron expression where a time stands, and a time where a schedule does.

    Raises:
        ValidationFailed: with each in its place.
    """
    said = members(given)
    at, schedule = said.get("run_at"), said.get("schedule")
    cron = members(schedule).get("cron") if isinstance(schedule, dict) else schedule
    if isinstance(at, str) and schedule is None and _CRON.fullmatch(at):
        raise not_together(
            f"run_at is one time; {quoted(at)} is a cron expression, which a `schedule` takes",
            run_at=None,
            schedule={"cron": at.strip()},
        )
    if isinstance(cron, str) and at is None and not _CRON.fullmatch(cron) and moment_of(cron, "run_at") is not None:
        raise not_together(
            f"{quoted(cron)} is one time, which run_at takes; a `schedule` fires again and again, by a cron expression",
            schedule=None,
            run_at=cron.strip(),
        )


def refuse_an_operation(given: Any) -> None:
    """Refuse an operation of JSON Patch as what is to be different.

    Raises:
        ValidationFailed: with the member that it is about.
    """
    said = _only(given)
    path = said.get("path")
    if said.get("op") not in ("add", "replace") or not isinstance(path, str) or "value" not in said:
        return
    name = path.removeprefix("/")
    if name and "/" not in name:
        raise not_together(
            "`changes` holds what is to be different by its name, and no operations",
            **(_instead(*said) | {name: said["value"]}),
        )


def _only(given: Any) -> Mapping[str, Any]:
    listed = cast("list[Any]", given) if isinstance(given, list) else [given]
    return members(listed[0]) if len(listed) == 1 else {}
