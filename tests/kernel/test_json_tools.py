"""Patches, differences and merges of JSON documents."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel import json_tools
from mcp_server.kernel.errors import Conflict, LimitExceeded, OpsError, ValidationFailed
from mcp_server.kernel.json_pointers import escape
from mcp_server.kernel.json_tools import (
    PatchOperation,
    differences,
    json_patch,
    merge_patch,
    same,
    three_way_merge,
)

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc~/"), documents, max_size=4)


def apply(document, *operations: dict):
    return json_patch(document, tuple(PatchOperation.model_validate(operation) for operation in operations))


@given(documents, documents)
def test_the_differences_of_two_documents_turn_one_into_the_other(old, new):
    operations = []
    for change in differences(old, new):
        operation = {"op": change.op, "path": change.path}
        operations.append(operation if change.op == "remove" else operation | {"value": change.new})
    assert same(apply(old, *operations), new)


@given(documents)
def test_a_document_has_no_differences_to_itself(document):
    assert differences(document, document) == []


@given(objects, objects)
def test_a_merge_with_no_change_on_one_side_is_the_other_side(base, changed):
    assert three_way_merge(base, changed, base) == (changed, [])
    assert three_way_merge(base, base, changed) == (changed, [])


@given(objects, objects, objects)
def test_a_clean_merge_does_not_depend_on_who_was_first(base, one, two):
    merged, clashes = three_way_merge(base, one, two)
    other, other_clashes = three_way_merge(base, two, one)
    assert sorted(clashes) == sorted(other_clashes)
    if not clashes:
        assert same(merged, other)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_rfc_7386(target, patch, result):
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/0", "value": "x"}, {"foo": ["x", "bar"]}),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/-", "value": None}, {"foo": ["bar", None]}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"foo": [1, 2]}, {"op": "remove", "path": "/foo/1"}, {"foo": [1]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}),
        ([1, 2], {"op": "replace", "path": "/1", "value": 9}, [1, 9]),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": [1], "b": [1]}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
        ({"a": 1}, {"op": "replace", "path": "", "value": [1]}, [1]),
    ],
)
def test_json_patch_follows_the_examples_of_rfc_6902(document, operation, result):
    assert apply(document, operation) == result


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [
        ({"a": 1}, {"path": "/a", "value": 2}, {"a": 3}),
        ({"a": 1}, {"path": "/a", "value": -1, "minimum": 0}, {"a": 0}),
        ({"a": {}}, {"path": "/a/new", "value": 2}, {"a": {"new": 2}}),
        ([5, 7], {"path": "/1", "value": 0.5}, [5, 7.5]),
        (41, {"path": "", "value": 1}, 42),
        ({"a": 10**30}, {"path": "/a", "value": 1}, {"a": 10**30 + 1}),
    ],
)
def test_a_number_is_counted_up_and_down_from_what_it_is_or_from_nothing(document, operation, result):
    assert apply(document, {"op": "increment"} | operation) == result


def test_a_sum_that_no_number_with_a_fraction_can_be_is_refused():
    with pytest.raises(ValidationFailed, match="larger than"):
        apply({"a": 10**400}, {"op": "increment", "path": "/a", "value": 0.5})
    with pytest.raises(ValidationFailed, match="#0 .increment /a.*larger than"):
        apply({"a": 1e308}, {"op": "increment", "path": "/a", "value": 1e308})


def test_whole_numbers_are_exact_however_large_and_so_is_what_they_may_not_fall_below():
    large = 2**53
    assert apply({"a": 10**400}, {"op": "increment", "path": "/a", "value": -1}) == {"a": 10**400 - 1}
    assert apply({"a": large + 1}, {"op": "increment", "path": "/a", "value": 0, "minimum": large + 1}) == {
        "a": large + 1
    }
    with pytest.raises(Conflict, match="below its minimum"):
        apply({"a": large}, {"op": "increment", "path": "/a", "value": 0, "minimum": large + 1})
    with pytest.raises(ValueError, match="minimum"):
        PatchOperation.model_validate({"op": "increment", "path": "", "value": 1, "minimum": True})


@pytest.mark.parametrize(
    ("operation", "error", "says"),
    [
        ({"op": "remove", "path": "/nope"}, ValidationFailed, "does not exist"),
        ({"op": "replace", "path": "/list/2", "value": 1}, ValidationFailed, "outside a list of 1"),
        ({"op": "add", "path": "/list/01", "value": 1}, ValidationFailed, "no place in a list"),
        ({"op": "add", "path": "/list/x", "value": 1}, ValidationFailed, "no place in a list"),
        ({"op": "add", "path": "/a/b", "value": 1}, ValidationFailed, "neither an object nor a list"),
        ({"op": "add", "path": "a", "value": 1}, ValidationFailed, "not a JSON Pointer"),
        ({"op": "add", "path": "/a"}, ValidationFailed, "needs a value"),
        ({"op": "move", "path": "/b"}, ValidationFailed, "needs 'from'"),
        ({"op": "move", "from": "/o", "path": "/o/p"}, ValidationFailed, "into itself"),
        ({"op": "remove", "path": ""}, ValidationFailed, "whole document"),
        ({"op": "test", "path": "/a", "value": True}, Conflict, "the value there is 1\\."),
        ({"op": "increment", "path": "/o", "value": 1}, ValidationFailed, 'What stands there is "{}", not a number'),
        ({"op": "increment", "path": "/a", "value": True}, ValidationFailed, "Its value is true, not a number"),
        ({"op": "increment", "path": "/a"}, ValidationFailed, "needs a value"),
        ({"op": "increment", "path": "/o/p/q", "value": 1}, ValidationFailed, "does not exist"),
        ({"op": "increment", "path": "/list/1", "value": 1}, ValidationFailed, "outside a list of 1"),
        ({"op": "increment", "path": "/a", "value": -2, "minimum": 0}, Conflict, "1 would become -1, below its min"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_its_number_and_changes_nothing(operation, error, says):
    document = {"a": 1, "list": [1], "o": {}}
    with pytest.raises(error, match=says) as refused:
        apply(document, {"op": "add", "path": "/new", "value": 1}, operation)
    assert "#1" in str(refused.value)
    assert document == {"a": 1, "list": [1], "o": {}}


def test_true_is_not_one_and_one_is_one_point_zero():
    assert not same(True, 1) and not same({"a": [0]}, {"a": [False]})
    assert same(1, 1.0) and same([{"a": None}], [{"a": None}])


@given(st.text())
def test_any_member_name_survives_a_json_pointer(name: str):
    assert apply({name: 1}, {"op": "replace", "path": f"/{escape(name)}", "value": 2}) == {name: 2}


def nested(depth: int, leaf: object) -> object:
    value = leaf
    for _ in range(depth):
        value = {"a": value, "b": 1}
    return value


def test_the_longest_way_down_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    looks: list[object] = []

    def counted(left: object, right: object) -> bool:
        looks.append(left)
        return same(left, right)

    monkeypatch.setattr(json_tools, "same", counted)
    for work in (
        lambda depth: differences(nested(depth, 1), nested(depth, 2)),
        lambda depth: three_way_merge(nested(depth, 1), nested(depth, 2), nested(depth, 3)),
        lambda depth: three_way_merge(nested(depth, 1), nested(depth, [2]), nested(depth, 1)),
    ):
        taken = []
        for depth in (15, 30, 60):
            looks.clear()
            work(depth)
            taken.append(len(looks))
        assert taken[1] <= 2 * taken[0] + 4 and taken[2] <= 2 * taken[1] + 4


def test_paths_that_come_to_more_than_can_be_told_are_refused_and_the_first_are_told():
    old = {"k" * 100_000: {str(number): 1 for number in range(1000)}}
    new = {"k" * 100_000: {str(number): 2 for number in range(1000)}}
    with pytest.raises(LimitExceeded, match="steps"):
        differences(old, new)
    assert len(differences(old, new, 5)) == 5
    ones, twos = ({str(number): value for number in range(1000)} for value in (1, 2))
    _, clashes = three_way_merge({}, ones, twos)
    assert len(clashes) == 100


DOUBLING = [
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/a/-"}]),
    ({"a": "x" * 1000, "b": []}, [{"op": "copy", "from": "", "path": "/b/-"}]),
    ({"a": {}}, [{"op": "copy", "from": "", "path": "/a/x"}, {"op": "move", "from": "/a", "path": "/b"},
                 {"op": "copy", "from": "/b", "path": "/a"}]),
    ([], [{"op": "add", "path": "/-", "value": ["x" * 10_000]}]),
    (["x" * 100_000], [{"op": "test", "path": "/0", "value": "x" * 100_000}]),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": ["y" * 50_000]}]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "operations"), DOUBLING)
def test_a_patch_takes_no_more_steps_than_it_may(document: object, operations: list[dict]):
    budget = json_tools.patch_budget()
    with pytest.raises((LimitExceeded, ValidationFailed), match=r"steps|nested deeper"):
        json_patch(document, [PatchOperation.model_validate(one) for one in operations * 200], budget)


@given(documents, st.lists(st.fixed_dictionaries({
    "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "increment"]),
    "path": st.sampled_from(["", "/a", "/a/-", "/a/0", "/0", "/-", "/a/b", "/" + "9" * 5000, "/a" * 500, "/~2"]),
    "from": st.sampled_from(["", "/a", "/0", "/a/0", "/" + "9" * 5000]),
    "value": documents,
}), max_size=30))  # fmt: skip
def test_hostile_patches_are_refused_or_applied_and_leave_the_document_as_it_was(document, operations):
    before = json.dumps(document)
    with contextlib.suppress(OpsError):
        apply(document, *operations)
    assert json.dumps(document) == before


def test_a_merge_patch_that_is_too_deep_or_too_large_is_refused():
    with pytest.raises(ValidationFailed, match="nested deeper"):
        merge_patch({}, nested(5000, 1))
    with pytest.raises(LimitExceeded, match="steps"):
        merge_patch({}, {"a": ["x" * 1000] * 5000})
