"""How arguments that cannot be understood are refused: where, what is accepted there, what was perhaps meant, and a
call that would do. The words are for whoever sent JSON; what checks them has no part in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.moments import moment_like, present_time
from mcp_server.kernel.near import folded, near
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.renaming import SAME
from mcp_server.kernel.shapes import SECONDS, Shape
from mcp_server.kernel.wording import UNSAID, accepted, call_of, example_of

WHOLE = "arguments"
PROBLEMS = "problems"
PROBLEMS_TOLD = 5
PROBLEMS_LISTED = 10
EXAMPLE_CHARACTERS_MAX = 160
ECHOED_CHARACTERS_MAX = 60
_OURS = "value_error"
_UNKNOWN = "extra_forbidden"
_HINTS = {
    "abort": ("cancel",),
    "active": ("running",),
    "blocked": ("pending",),
    "critical": ("urgent",),
    "dead": ("failed",),
    "denied": ("rejected",),
    "done": ("completed", "approved"),
    "error": ("failed",),
    "finished": ("completed",),
    "highest": ("critical", "urgent"),
    "hold": ("pause",),
    "important": ("high",),
    "in_progress": ("running",),
    "kill": ("cancel", "terminate"),
    "medium": ("normal",),
    "open": ("pending", "queued"),
    "ready": ("queued",),
    "remove": ("delete", "destroy", "discard"),
    "requeue": ("retry",),
    "restart": ("retry", "start"),
    "start": ("resume",),
    "stop": ("cancel", "pause", "drain"),
    "success": ("completed",),
    "todo": ("queued", "pending"),
    "undo": ("rollback",),
    "unpause": ("resume",),
    "urgent": ("critical",),
    "waiting": ("pending",),
    "write": ("exclusive",),
    "read": ("shared",),
}
"""Words that others have for a choice. They are named where they can be meant; none is taken for it."""


_ALIKE = {
    "attempts": ("retry",),
    "deadline": ("run_at", "timeout_seconds", "send_at"),
    "delay": ("run_at", "send_at"),
    "details": ("description",),
    "due": ("run_at", "send_at"),
    "environment": ("deployment_id",),
    "file": ("name",),
    "instructions": ("description",),
    "max_attempts": ("retry",),
    "max_retries": ("retry",),
    "must_ack": ("ack_within_seconds",),
    "metadata": ("tags", "details"),
    "owner": ("agent_id",),
    "path": ("name",),
    "prompt": ("description",),
    "require_ack": ("ack_within_seconds",),
    "requires_ack": ("ack_within_seconds",),
    "resource": ("name",),
    "retries": ("retry",),
    "time": ("run_at", "send_at"),
    "timeout": ("timeout_seconds", "wait_seconds"),
    "user": ("actor", "approvers"),
    "when": ("run_at", "send_at"),
}
"""Names that say something near to one that the place takes; they are named, and not taken for it."""


_ELSEWHERE = {
    "approval_id": "what waits for a person's yes goes into calls of approvals_request, which runs it then",
    "from": "as_agent names the agent that speaks",
    "from_agent": "as_agent names the agent that speaks",
    "sender": "as_agent names the agent that speaks",
}
"""What no place takes, and what does it, where the place itself has nothing to say of it."""


class Problem(NamedTuple):
    """One thing that is wrong: where, what, and which names could have been meant."""

    loc: tuple[str | int, ...]
    message: str
    near: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """`tasks[0].title`."""
        return _path(self.loc) or WHOLE

    def said(self) -> str:
        """As a sentence."""
        return _sentence(f"{self.path}: {self.message}")

    def details(self) -> dict[str, Any]:
        """As data."""
        said = {"path": self.path, "message": self.message}
        return said | ({"did_you_mean": list(self.near)} if self.near else {})


def refused(
    tool: str, shape: Shape, given: Mapping[str, Any], error: ValidationError, at: str = ""
) -> ValidationFailed:
    """The refusal of a call's arguments.

    Args:
        tool: its name.
        shape: what it accepts.
        given: what was given, as it was checked.
        error: what the check found.
        at: where the arguments stand, if they are those of a call within another.
    """
    problems = _problems(shape, given, error)
    details = {PROBLEMS: [problem.details() for problem in problems[:PROBLEMS_LISTED]]}
    if all(not problem.loc for problem in problems):  # nothing is wrong but how they go together
        where = f"{at}: " if at else ""
        return ValidationFailed(where + " ".join(_sentence(problem.message) for problem in problems), details=details)
    left = len(problems) - PROBLEMS_TOLD
    more = f" And {left} more." if left > 0 else ""
    said = " ".join(problem.said() for problem in problems[:PROBLEMS_TOLD])
    return ValidationFailed(
        f"{tool} refused its arguments{f' ({at})' if at else ''}: {said}{more}",
        next=_next(tool, shape, given, error, problems),
        details=details,
    )


def _next(
    tool: str, shape: Shape, given: Mapping[str, Any], error: ValidationError, problems: Sequence[Problem]
) -> str:
    unknown = {_told(shape, item["loc"]) for item in _found(error) if item["type"] == _UNKNOWN}
    said = next((_accepts(tool, shape, one.loc[:-1]) for one in problems if one.loc in unknown and not one.near), "")
    return f"{said}Such as: {call_of(tool, _example(shape, given, problems))}."


def _accepts(tool: str, shape: Shape, loc: Sequence[str | int]) -> str:
    return f"{_path(loc) or tool} accepts: {', '.join(_place(shape, loc).members)}. "


def _example(shape: Shape, given: Mapping[str, Any], problems: Sequence[Problem]) -> dict[str, Any]:
    """Arguments that would do: what is needed, and right values where wrong ones stood."""
    example: dict[str, Any] = example_of(shape) | _right(shape, given, problems)
    for problem in problems[:PROBLEMS_TOLD]:
        _put_right(example, shape, problem.loc, problem.near)
    return example


def _right(shape: Shape, given: Mapping[str, Any], problems: Sequence[Problem]) -> dict[str, Any]:
    """What was given rightly, where it is short: what a caller copies is to do what it meant."""
    wrong = {problem.loc[0] for problem in problems if problem.loc}
    known = {name: value for name, value in given.items() if name in shape.members and name not in wrong}
    return {name: value for name, value in known.items() if len(dump_json(value)) <= ECHOED_CHARACTERS_MAX}


def _put_right(example: Any, shape: Shape, loc: Sequence[str | int], near: tuple[str, ...]) -> None:
    """What would do at a place, put into an example of what is around it."""
    if not loc or not isinstance(example, (dict, list)):
        return
    part, inside = loc[0], shape.inside(loc[0])
    if inside is None:
        return
    held = cast("Any", example)
    if isinstance(part, str):
        held.setdefault(part, near[0] if inside.kind in ("choice", "time") and near else example_of(inside))
    _put_right(held[0 if isinstance(part, int) else part], inside, loc[1:], near)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!", '."')) else f"{text}."


def _found(error: ValidationError) -> list[Any]:
    return cast("list[Any]", error.errors(include_url=False, include_input=False))


def _problems(shape: Shape, given: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    found = _found(error)
    # Only the members that are right are counted, so a list of one wrong member also has too few.
    inside = {item["loc"][:length] for item in found for length in range(1, len(item["loc"]))}
    kept = [item for item in found if item["type"] != "too_short" or item["loc"] not in inside]
    problems: dict[tuple[str | int, ...], Problem] = {}
    for item in sorted(kept, key=lambda item: item["type"] != _UNKNOWN):
        problem = _problem(shape, given, item)
        if not _is_told(problem, item["type"], problems.values()):
            problems.setdefault(problem.loc, problem)
    return list(problems.values())


def _is_told(problem: Problem, kind: str, before: Iterable[Problem]) -> bool:
    """Whether what is missing there was named already, as what a strange name may mean."""
    place = problem.loc[:-1]
    return kind == "missing" and any(one.loc[:-1] == place and str(problem.loc[-1]) in one.near for one in before)


def _problem(shape: Shape, given: Mapping[str, Any], item: Any) -> Problem:
    loc = _told(shape, item["loc"])
    kind, name = item["type"], str(loc[-1]) if loc else ""
    if kind == _UNKNOWN:
        return _unknown(loc, name, _place(shape, loc[:-1]))
    if kind == _OURS:
        return Problem(loc, item["msg"].removeprefix("Value error, ").rstrip("."))
    place = _place(shape, loc)
    if kind == "missing":
        return Problem(loc, f"is missing: {_takes(place, name)}")
    if kind == "string_too_long":
        return Problem(loc, f"{len(_at(given, loc))} characters are too many; it takes at most {place.bounds[1]:g}")
    return _wrong(loc, place, _at(given, loc), name, _place(shape, loc[:-1]))


def _unknown(loc: tuple[str | int, ...], name: str, place: Shape) -> Problem:
    plain, names = folded(name), _like(name, place)
    instead = place.instead.get(plain) or (None if names else _ELSEWHERE.get(plain))
    if instead is not None:
        return Problem(loc, f"there is no such argument; {instead}")
    if not names:
        inner = [one for one, member in place.members.items() if folded(name) in (member.item or member).members]
        belongs = f" here; it belongs into {inner[0]}" if inner else ""
        return Problem(loc, f"there is no such argument{belongs}")
    takes = f" It takes {_takes(place.members[names[0]], names[0])}" if len(names) == 1 else ""
    return Problem(loc, f"there is no such argument. Did you mean {' or '.join(names)}?{takes}", tuple(names))


def _like(name: str, place: Shape) -> list[str]:
    """Names that could have been meant: those that mean the same, look alike, or hold the word."""
    plain = folded(name)
    same = [one for one in (*SAME.get(plain, ()), *_ALIKE.get(plain, ())) if one in place.members]
    longer = [one for one in place.members if plain in one.split("_") or one in plain.split("_")]
    return list(dict.fromkeys([*same, *near(plain, place.members), *longer]))[:3]


def _wrong(loc: tuple[str | int, ...], place: Shape, value: Any, name: str, around: Shape) -> Problem:
    if place.kind == "time":
        like = moment_like(name, value)
        said = f"{_got(value)} is not accepted; it takes a time with its zone, such as {like}, a day, or now"
        return Problem(loc, f"{said}. It is {present_time()}.", (like,))
    close = _close(place, value)
    several = f" {around.instead.get(f'{name}s', '')}".rstrip() if isinstance(value, list) else ""
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    return Problem(loc, f"{_got(value)} is not accepted; it takes {_takes(place, name)}.{meant}{several}", close)


def _close(place: Shape, value: Any) -> tuple[str, ...]:
    """The choices that a word could stand for."""
    options = [str(one) for one in place.options if not isinstance(one, Shape)]
    if not isinstance(value, str) or not options:
        return ()
    hints = [hint for hint in _HINTS.get(folded(value), ()) if hint in options]
    return tuple(hints or near(folded(value), options))


def _takes(place: Shape, name: str) -> str:
    words = accepted(place)
    if name.endswith(SECONDS):
        words = words.replace("a number", "seconds, a number", 1)
    if place.kind in ("choice", "boolean", "time", "any"):
        return words
    example = dump_json(example_of(place))
    return (
        words
        if len(example) > EXAMPLE_CHARACTERS_MAX or example == dump_json(UNSAID)
        else f"{words}, such as {example}"
    )


def _got(value: Any) -> str:
    """What was given, as JSON has it."""
    if isinstance(value, str):
        return quoted(value, 60) if value else "an empty text"
    if isinstance(value, list):
        return f"a list of {len(cast('list[Any]', value))}"
    if isinstance(value, dict):
        return "an object"
    return dump_json(value) if isinstance(value, (int, float, bool)) and value == value else "null"


def _told(shape: Shape, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where it is for whoever sent JSON: without the names of the checks that were tried there."""
    place: Shape | None = shape
    told: list[str | int] = []
    for part in loc:
        inside = None if place is None else place.inside(part)
        if inside is None and place is not None and place.kind not in ("object", "any"):
            continue  # one of several that were tried
        told.append(part)
        place = inside
    return tuple(told)


def _place(shape: Shape, loc: Sequence[str | int]) -> Shape:
    for part in loc:
        shape = shape.inside(part) or Shape("any")
    return shape


def _at(given: Any, loc: Sequence[str | int]) -> Any:
    """What stands there."""
    for part in loc:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return None
    return given


def _path(loc: Sequence[str | int]) -> str:
    """`tasks[0].title`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{named(part)}" for part in loc)
    return "".join(parts).removeprefix(".")
