"""How arguments that cannot be understood are refused: where, what is accepted there, what was perhaps meant, and the
caller's own call as it would do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.mending import Mended, mended
from mcp_server.kernel.problems import NO_SUCH, Problem, path_of, place_of, problems_of, sentence
from mcp_server.kernel.quoting import named
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.wording import call_of, shortened

PROBLEMS = "problems"
NEXT_CALL = "next_call"
FAULTS = "faults"
"""Of a refusal that several checks made, what each found."""

CALL = "call"
"""Of several calls the number of the one that was refused."""
PROBLEMS_TOLD = 5
PROBLEMS_LISTED = 10
CALL_CHARACTERS_MAX = 4000
"""How long a call may be that is shown whole."""


class Refused(ValidationFailed):
    """Arguments that cannot be understood; and as they would do, where that is known."""

    instead: Mended | None = None


class Beside(NamedTuple):
    """What a call says beside the arguments that are checked: the model of those, and what was given of them."""

    model: type[BaseModel] | None = None
    given: Mapping[str, Any] = {}


def refused(
    tool: str,
    model: type[BaseModel],
    given: Mapping[str, Any],
    error: ValidationError,
    beside: Beside,
    also: Sequence[Problem] = (),
) -> Refused:
    """The refusal of a call's arguments.

    Args:
        tool: its name.
        model: what it accepts.
        given: what was given, as it was checked.
        error: what the check found.
        beside: what else the call takes.
        also: what is known to be wrong beside what the check found.
    """
    shape, others = _whole(model, beside)
    found = problems_of(shape, given, error)
    places = [problem.loc for problem in found]
    problems = [*found, *(problem for problem in also if problem.loc not in places)]
    right = mended(model, shape, given, problems, others)
    problems += () if right is None else right.then
    call, to_send = _told(tool, right, beside.given)
    refusal = Refused(
        _said(tool, problems),
        next=f"{_accepts(tool, shape, problems)}{call}".strip(),
        details=_listed(problems) | to_send,
    )
    refusal.instead = right
    return refusal


def crowded(tool: str, problems: Sequence[Problem]) -> Refused:
    """The refusal of lists that hold too much. What they hold has not been looked at, so no call is shown that would
    do."""
    todo = "Make several calls of it, or leave some out."
    return Refused(_said(tool, problems), next=todo, details=_listed(problems))


def _listed(problems: Sequence[Problem]) -> dict[str, Any]:
    """The first of them, as data."""
    return {PROBLEMS: [problem.details() for problem in problems[:PROBLEMS_LISTED]]}


def _said(tool: str, problems: Sequence[Problem]) -> str:
    """What is wrong, in sentences: the first of it, and how much more there is."""
    if all(not problem.loc for problem in problems):  # nothing is wrong but how they go together
        return " ".join(sentence(problem.message) for problem in problems)
    left = len(problems) - PROBLEMS_TOLD
    more = f" And {left} more." if left > 0 else ""
    said = " ".join(problem.said() for problem in problems[:PROBLEMS_TOLD])
    return f"{tool} refused its arguments: {said}{more}"


def _whole(model: type[BaseModel], beside: Beside) -> tuple[Shape, frozenset[str]]:
    """What the call accepts altogether, and the names of what stands beside the arguments that are checked."""
    own = shape_of(model)
    if beside.model is None:
        return own, frozenset()
    others = {name: one for name, one in shape_of(beside.model).members.items() if name not in own.members}
    return replace(own, members={**own.members, **others}), frozenset(others)


def _accepts(tool: str, shape: Shape, problems: Sequence[Problem]) -> str:
    strange = next((one for one in problems if one.message == NO_SUCH), None)
    if strange is None:
        return ""
    loc = strange.loc[:-1]
    place = place_of(shape, loc)
    return f"{path_of(loc) or tool} accepts: {', '.join(one for one in place.members if one not in place.fixed)}. "


def _told(tool: str, right: Mended | None, beside: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The call that would do, in words; as data, too, where it is known to be what was meant."""
    if right is None:
        return "", {}
    arguments = {**right.arguments, **beside}
    call = call_of(tool, arguments)
    if len(call) > CALL_CHARACTERS_MAX:
        return f"Such as, with what is long left out here: {call_of(tool, shortened(arguments))}.", {}
    if not right.is_sure:
        left = f", without {' and '.join(map(named, right.without))}" if right.without else ""
        return f"Such as{left}: {call}.", {}
    return f"Right would be: {call}.", {NEXT_CALL: {"tool": tool, "arguments": arguments}}
