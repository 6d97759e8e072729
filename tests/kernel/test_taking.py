"""What is unambiguous is taken as it is meant, and nothing else is touched."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.deployments.spec import DefineDeployment
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.commands import CreateTasks, FindTasks, FinishTask, ReportTask
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.taking import taken
from mcp_server.kernel.wording import example_of
from tools import TOOLS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def seconds(value: Any) -> Any:
    return taken(shape_of(AcquireLock), {"name": "l", "ttl_seconds": value})["ttl_seconds"]


@given(JSON)
def test_inside_of_what_takes_any_json_nothing_is_changed(value: Any):
    document = taken(shape_of(SetDocument), {"namespace": "n", "key": "k", "value": value, "tags": "a"})
    assert document["value"] == value and document["tags"] == ["a"]
    assert taken(shape_of(FinishTask), {"result": value, "outcome": "success"}) == {
        "result": value,
        "outcome": "completed",
    }
    (task,) = taken(shape_of(CreateTasks), {"tasks": {"title": "t", "input": value}})["tasks"]
    assert task["input"] == value


@given(st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_whatever_comes_in_comes_out_as_something_to_check(arguments: dict[str, Any]):
    for tool in TOOLS:
        assert isinstance(taken(shape_of(tool.arguments), arguments), dict)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_what_is_right_stays_as_it_is(tool: Any):
    example = example_of(shape_of(tool.arguments))
    assert taken(shape_of(tool.arguments), example) == example


@pytest.mark.parametrize("text", ['[{"title": "x"', '{"title": "x"', "[" * 50_000, '{"a":' * 50_000])
def test_what_was_to_be_json_and_is_none_is_no_value_of_another_kind(text: str):
    assert taken(shape_of(CreateTasks), {"tasks": text})["tasks"] == [text]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30s", 30),
        ("500ms", 0.5),
        ("2 milliseconds", 0.002),
        ("5m", 300),
        ("1h30m", 5400),
        ("2 hours", 7200),
        ("1 day", 86_400),
        ("1.5 h", 5400),
        (" 10 sec ", 10),
        ("1h30", 5400),
        ("PT1H30M", 5400),
        ("P1D", 86_400),
        ("an hour", 3600),
        ("Half an hour", 1800),
        ("two days", 172_800),
        ("1 hour and 30 minutes", 5400),
        ("in 2 hours", 7200),
        ("for a day", 86_400),
    ],
)
def test_a_duration_may_have_its_unit(text: str, meant: float):
    assert seconds(text) == meant


@pytest.mark.parametrize(
    "text",
    ["soon", "5 months", "P1M", "PT", "in", "2 hours ago", "an", "500mss", "m", "-5m", "5m later", "1" * 41 + "s"],
)
def test_what_is_no_duration_stays_text(text: str):
    assert seconds(text) == text


def test_two_names_for_one_thing_are_both_left_alone():
    given = {"taskId": "a", "task-id": "b", "lease_token": "x"}
    assert taken(shape_of(FinishTask), given) == given


def test_json_as_text_inside_of_json_as_text_is_read_where_an_object_is_meant():
    text = json.dumps([json.dumps({"title": "t", "retry": '{"max_attempts": 2}'})])
    assert taken(shape_of(CreateTasks), {"tasks": text}) == {"tasks": [{"title": "t", "retry": {"max_attempts": 2}}]}


def task(**members: Any) -> dict[str, Any]:
    return taken(shape_of(CreateTasks), {"tasks": [{"title": "t"} | members]})["tasks"][0]


def test_a_duration_may_have_its_unit_in_its_name():
    assert task(timeout_minutes=5)["timeout_seconds"] == 300
    assert taken(shape_of(AcquireLock), {"name": "l", "wait_ms": 500, "ttlHours": 1}) == {
        "name": "l",
        "wait_seconds": 0.5,
        "ttl_seconds": 3600,
    }
    both = {"name": "l", "ttl_minutes": 1, "ttl_seconds": 5}
    assert taken(shape_of(AcquireLock), both) == both


def test_per_cent_are_a_number_where_it_may_be_up_to_a_hundred():
    report = {"task_id": "t", "lease_token": "l"}
    for progress in ("50%", {"percent": " 50 %"}):
        assert taken(shape_of(ReportTask), report | {"progress": progress})["progress"] == {"percent": 50}
    assert taken(shape_of(ReportTask), report | {"progress": "half"})["progress"] == {"message": "half"}
    for said, meant in ((0.5, 0.5), (0, {"percent": 0}), (1, {"percent": 1}), ({"percent": 0.5}, {"percent": 0.5})):
        assert taken(shape_of(ReportTask), report | {"progress": said})["progress"] == meant, "a fraction is refused"


def test_an_object_that_is_no_argument_is_opened_only_where_all_of_it_are_arguments_that_nobody_gives():
    find = shape_of(FindTasks)
    assert taken(find, {"filter": {"status": "queued", "labels": "a"}}) == {"status": "queued", "tag": "a"}
    for kept in ({"filter": {"status": "queued", "odd": 1}}, {"filter": {}}, {"filter": {"tag": "a"}, "tag": "b"}):
        assert taken(find, kept) == kept


def test_objects_by_their_names_are_a_list_of_objects_that_have_names():
    define = shape_of(DefineDeployment)
    assert taken(define, {"services": {"web": {"image": "nginx"}}})["services"] == [{"name": "web", "image": "nginx"}]
    assert taken(define, {"services": {"name": "web", "image": "nginx"}})["services"] == [
        {"name": "web", "image": "nginx"}
    ]


def test_several_that_are_divided_by_commas_are_a_list_where_none_may_hold_one():
    assert task(required_capabilities="py, js")["required_capabilities"] == ["py", "js"]
    assert task(tags="a; b")["tags"] == ["a", "b"]
    assert taken(shape_of(CreateTasks), {"tasks": "first, then second"})["tasks"] == [{"title": "first, then second"}]
