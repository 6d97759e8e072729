"""The caller's own call with what was wrong in it put right, and all else as it was: one that can be sent."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.likenesses import SAFETIES
from mcp_server.kernel.near import folded
from mcp_server.kernel.problems import EXAMINED_MAX, Problem, place_of, problems_of, value_at
from mcp_server.kernel.shapes import Shape
from mcp_server.kernel.taking import taken
from mcp_server.kernel.together import LIKE
from mcp_server.kernel.wording import example_of

ROUNDS_MAX = 4
"""How often what was put right is looked at again: what has its right name now may have a wrong value still."""


class Mended(NamedTuple):
    """Arguments that are understood, and whether that is all known: nothing had to be made up or left out; what was
    wrong beside, which could not be seen before the rest was put right; and names that were left out, for which nothing
    stands now; and whether what was said went with them, so that the call would be none, or another."""

    arguments: dict[str, Any]
    is_sure: bool
    then: tuple[Problem, ...] = ()
    without: tuple[str, ...] = ()
    is_hollow: bool = False

    def beyond(self, problems: Sequence[Problem]) -> "Mended":
        """The same, with what was seen to be wrong once the rest was right."""
        seen = tuple(one for one in problems if one.change is not None)
        return self._replace(then=(*self.then, *seen)) if self.is_sure else self

    def doubted(self, *, is_sure: bool, is_hollow: bool) -> "Mended":
        """The same, where a step of it was not sure, or lost what was said."""
        return self._replace(is_sure=self.is_sure and is_sure, is_hollow=self.is_hollow or is_hollow)


def mended(
    model: type[BaseModel],
    shape: Shape,
    given: Mapping[str, Any],
    problems: Sequence[Problem],
    beside: frozenset[str],
) -> Mended | None:
    """The arguments put right; None where it takes more than to put one place right after the other, or too much does.

    Args:
        model: what checks them.
        shape: what is accepted.
        given: the arguments.
        problems: what is wrong with them.
        beside: names of arguments that this model does not check.
    """
    now = Mended(dict(given), is_sure=True)
    for _ in range(ROUNDS_MAX):
        if len(problems) > EXAMINED_MAX or not all(
            _can_be_put_right(shape, now.arguments, problem) for problem in problems
        ):
            return None
        for problem in problems:
            now = _put_right(shape, now, problem)
        if now.is_hollow:
            return None
        now = now._replace(arguments=taken(shape, now.arguments))
        error = _refused(model, {name: value for name, value in now.arguments.items() if name not in beside})
        if error is None:
            return now
        problems = problems_of(shape, now.arguments, error)
        now = now.beyond(problems)
    return None


def _can_be_put_right(shape: Shape, given: Mapping[str, Any], problem: Problem) -> bool:
    """Whether there is something to put there. What somebody wrote is not replaced by an example, which says something
    else: whoever sends that call would change, or make, what was never meant."""
    if problem.change is not None:
        return True
    if not problem.loc or problem.is_whole or problem.is_unclear or _would_lose_a_safety(given, problem):
        return False
    return problem.kind != "wrong" or _has_better(place_of(shape, problem.loc), value_at(given, problem.loc), problem)


def _has_better(place: Shape, value: Any, problem: Problem) -> bool:
    """Whether something is known that may stand for a value that is not accepted."""
    is_said = place.kind != "time" and value is not None
    return bool(problem.near) or problem.is_too_much or problem.is_empty or not is_said


def _would_lose_a_safety(given: Mapping[str, Any], problem: Problem) -> bool:
    """Whether it is put right by leaving out, or making up, what keeps the call from doing more."""
    if problem.kind == "missing" or problem.near or problem.inside:
        return False
    value = value_at(given, problem.loc)
    return folded(str(problem.loc[-1])) in SAFETIES and value is not None and value is not False


def _refused(model: type[BaseModel], arguments: Mapping[str, Any]) -> ValidationError | None:
    """What is wrong with arguments; None where they are accepted."""
    try:
        model.model_validate(arguments)
    except ValidationError as error:
        return error
    return None


def _put_right(shape: Shape, now: Mended, problem: Problem) -> Mended:
    place = place_of(shape, problem.loc)
    if problem.change is not None:
        together = _together(place, problem.change)
        is_sure = now.is_sure and problem.is_meant
        return now._replace(arguments=put_at(now.arguments, problem.loc, together), is_sure=is_sure)
    *around, last = problem.loc
    if problem.is_empty:
        return _left_out(now, around, str(last))
    if problem.kind == "wrong":
        arguments = put_at(now.arguments, problem.loc, lambda _: _better(place, problem))
        return now._replace(arguments=arguments, is_sure=now.is_sure and _is_meant(place, problem))
    if problem.kind == "missing":
        added = {last: example_of(place)}
        return now._replace(arguments=put_at(now.arguments, around, lambda held: held | added | held), is_sure=False)
    return _renamed(place_of(shape, around), now, problem)


def _left_out(now: Mended, around: Sequence[str | int], name: str) -> Mended:
    """The arguments without one that says nothing."""
    arguments = put_at(now.arguments, around, lambda held: {one: held[one] for one in held if one != name})
    left = now._replace(arguments=arguments, is_sure=False, without=(*now.without, name))
    return left._replace(is_hollow=now.is_hollow or _is_emptied(arguments, around))


def _is_emptied(arguments: dict[str, Any], around: Sequence[str | int]) -> bool:
    """Whether an object inside of the arguments says nothing any more."""
    return bool(around) and value_at(arguments, around) == {}


def _renamed(place: Shape, now: Mended, problem: Problem) -> Mended:
    """A name that there is not becomes the one that is meant; where none is, it is left out."""
    *around, last = problem.loc
    name, value = str(last), value_at(now.arguments, problem.loc)
    held: Any = value_at(now.arguments, around)
    is_object = isinstance(held, dict)
    free = [one for one in problem.near if not (is_object and one in held)]
    if not free and problem.inside is None:
        return _taken_away(now, problem.loc, is_object=is_object)
    another, is_lost = _as_another([place.members[one] for one in free], value)
    # What a model read as an object may have been given as something else.
    moved = _moved(place, problem)
    arguments = put_at(now.arguments, around, partial(moved, name)) if is_object else now.arguments
    unsure = len(problem.near) > 1 or another
    return now._replace(arguments=arguments).doubted(is_sure=not unsure, is_hollow=is_lost)


def _taken_away(now: Mended, loc: tuple[str | int, ...], *, is_object: bool) -> Mended:
    """Without a name of nothing; what a model read as an object, and is none, has nothing to take away."""
    *around, name = loc
    return _left_out(now, around, str(name)) if is_object else now._replace(is_hollow=True)


def _as_another(places: Sequence[Shape], value: Any) -> tuple[bool, bool]:
    """Whether a value would say another thing in one of some places, and whether what it says is lost there."""
    another = any(_is_another(one, value) for one in places)
    return another, another and not isinstance(value, bool) and all(one.kind != "time" for one in places)


def _is_another(place: Shape, value: Any) -> bool:
    """Whether a yes, or a number, stands for what is another thing: it says that there is to be some, and not which."""
    return (
        isinstance(value, (bool, int, float)) and not _could_hold(place, value) and place.kind not in ("text", "either")
    )


def _together(place: Shape, change: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What becomes of the members of an object so that they go together."""
    added = {
        name: example_of(place_of(place, (name,))) if value is LIKE else value
        for name, value in change.items()
        if value is not None
    }

    def together(held: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in held.items() if name not in change} | added

    return together


def put_at(value: Any, loc: Sequence[str | int], change: Callable[[Any], Any]) -> Any:
    """A value with what stands at a place changed; as it is where there is no such place."""
    if not loc:
        return change(value)
    part, *rest = loc
    if isinstance(value, dict) and part in value:
        members = cast("dict[Any, Any]", value)
        return members | {part: put_at(members[part], rest, change)}
    if isinstance(value, list) and isinstance(part, int) and part < len(cast("list[Any]", value)):
        items = list(cast("list[Any]", value))
        items[part] = put_at(items[part], rest, change)
        return items
    return cast("Any", value)


def _is_meant(place: Shape, problem: Problem) -> bool:
    """Whether what is put there is what was meant, and not just something that is accepted."""
    return place.kind == "choice" and len(problem.near) == 1


def _better(place: Shape, problem: Problem) -> Any:
    """What is accepted there: what was perhaps meant, the most where it was too much, else an example."""
    if problem.near:
        return problem.near[0]
    return int(place.bounds[1]) if problem.is_too_much and place.bounds[1] is not None else example_of(place)


def _moved(place: Shape, problem: Problem) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """What becomes of the object that holds a name that there is not: the name that is meant has its value."""

    def moved(name: str, held: dict[str, Any]) -> dict[str, Any]:
        left = {one: value for one, value in held.items() if one != name}
        value = held.get(name)
        free = [one for one in problem.near if one not in left]
        fits = [one for one in free if _could_hold(place.members[one], value)] or free
        if not fits:
            return _moved_inside(left, problem.inside, name, value)
        meant = _fitted(place.members[fits[0]], value)
        return dict((fits[0], meant) if one == name else (one, each) for one, each in held.items())

    return moved


def _fitted(place: Shape, value: Any) -> Any:
    """The value, or what it says there: a number of what is to come is how many seconds it is until then."""
    if not _is_another(place, value):
        return value
    is_distance = place.kind == "time" and not isinstance(value, bool)
    return f"in {value:g} seconds" if is_distance else example_of(place)


def _could_hold(place: Shape, value: Any) -> bool:
    return any(one.could_hold(value) for one in (place, place.item) if one is not None)


def _moved_inside(held: dict[str, Any], inside: str | None, name: str, value: Any) -> dict[str, Any]:
    """The object with the name in the one object to which it belongs, where there is one."""
    inner: Any = held.get(inside or "")
    listed = cast("list[Any]", inner) if isinstance(inner, list) else [inner]
    if not all(isinstance(one, dict) for one in listed):
        return held
    whole = [{name: value} | cast("dict[str, Any]", one) for one in listed]
    return held | {str(inside): whole if isinstance(inner, list) else whole[0]}
