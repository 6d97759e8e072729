"""JSON values are equal exactly where their canonical texts and hashes are."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.json_text import canonical_hash, canonical_text, dump_json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, True and 1 are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return (type(one) in (int, float) and type(other) in (int, float) and one == other) or one == other


def shuffled(value: Any, data: st.DataObject) -> Any:
    """The same value written otherwise: keys in another order, whole numbers as floats."""
    if isinstance(value, dict):
        names = data.draw(st.permutations(list(value)))
        return {name: shuffled(value[name], data) for name in names}
    if isinstance(value, list):
        return [shuffled(item, data) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return data.draw(st.sampled_from((value, float(value))))
    return value


@given(value=values, data=st.data())
def test_a_value_written_otherwise_is_the_same(value: Any, data: st.DataObject):
    other = shuffled(value, data)
    assert canonical_hash(value) == canonical_hash(other)
    assert canonical_text(dump_json(value)) == canonical_text(dump_json(other))
    assert same(json.loads(canonical_text(dump_json(value))), value)


@given(one=values, other=values)
def test_values_that_differ_differ_in_hash_and_text(one: Any, other: Any):
    assert (canonical_hash(one) == canonical_hash(other)) is same(one, other)
    assert (canonical_text(dump_json(one)) == canonical_text(dump_json(other))) is same(one, other)
