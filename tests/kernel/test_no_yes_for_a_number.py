"""A yes or no is no number, wherever it stands."""

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.understanding import understood
from mcp_server.kernel.wording import example_of
from tools import TOOLS


def numbers(place: Shape, around: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a tool's arguments numbers stand."""
    options = [one.kind for one in place.options if isinstance(one, Shape)] or [place.kind]
    if {"integer", "number"} & set(options) and not {"boolean", "text"} & set(options):
        yield around
    for name, member in place.members.items():
        yield from numbers(member, (*around, name))
    if place.kind == "list" and place.item is not None:
        yield from numbers(place.item, (*around, 0))


def put(place: Shape, loc: tuple[str | int, ...], value: Any) -> Any:
    """A value that would do at a place, with another in it."""
    if not loc:
        return value
    inner = place.inside(loc[0])
    assert inner is not None
    if isinstance(loc[0], int):
        return [put(inner, loc[1:], value)]
    return {**example_of(place), loc[0]: put(inner, loc[1:], value)}


PLACES = [(tool, loc) for tool in TOOLS for loc in numbers(shape_of(tool.arguments))]


def test_there_are_numbers_in_objects_and_lists():
    assert len([loc for _, loc in PLACES if len(loc) > 1]) >= 10


@pytest.mark.parametrize(("tool", "loc"), PLACES, ids=lambda one: getattr(one, "name", None) or ".".join(map(str, one)))
def test_a_yes_or_no_is_refused_in_the_place_of_a_number_in_every_tool(tool: Any, loc: tuple[str | int, ...]):
    shape = shape_of(tool.arguments)
    for value in (True, False):
        with pytest.raises(OpsError) as refused:
            understood(tool.name, tool.arguments, put(shape, loc, value))
        said = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
        assert f'{said}: "{str(value).lower()}" is not accepted' in str(refused.value)


@pytest.mark.parametrize(
    "tasks", ['[{"title": "t", "timeout_seconds": true}]', {"title": "t", "retry": {"max_attempts": True}}]
)
def test_it_is_refused_too_where_it_comes_in_another_form(tasks: Any):
    (create,) = (tool for tool in TOOLS if tool.name == "tasks_create")
    with pytest.raises(OpsError, match='"true" is not accepted'):
        understood("tasks_create", create.arguments, {"tasks": tasks})
    given = {"tasks": [{"title": "t", "input": {"timeout_seconds": True, "list": [True]}, "requires_approval": True}]}
    task = understood("tasks_create", create.arguments, given).tasks[0]
    assert task.requires_approval is True and "true" in str(task.input)
