"""Compact history gives back every text exactly."""

import itertools
import json
import random

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.state.deltas import decode, encode, rebuild

PARTS = st.text(alphabet='ab,"[{é☃𝄞', max_size=12)
TEXTS = st.lists(PARTS, max_size=30).map(",".join)


@given(text=TEXTS, base=TEXTS)
def test_a_delta_gives_back_the_text_whatever_the_base(text: str, base: str):
    delta = encode(text, base)
    assert delta is None or decode(delta, base) == text


@given(base=st.lists(st.text(alphabet="abc", min_size=8, max_size=16), min_size=40, max_size=60), data=st.data())
def test_a_small_edit_makes_a_small_delta(base: list[str], data: st.DataObject):
    edited = list(base)
    edited[data.draw(st.integers(0, len(base) - 1))] = "edited"
    delta = encode(",".join(base), ",".join(edited))
    assert delta is not None and len(delta) < 120
    assert decode(delta, ",".join(edited)) == ",".join(base)


def test_text_that_shares_nothing_with_its_base_is_kept_whole():
    assert encode("x" * 100, "y" * 100) is None


@given(seed=st.integers(0, 2**32))
def test_any_version_of_a_chain_is_rebuilt_from_the_next_whole_one(seed: int):
    chance = random.Random(seed)
    value = {f"k{n}": "v" * 30 for n in range(40)}
    texts: list[str] = []
    for edit in range(6):
        value[f"k{chance.randrange(40)}"] = f"edit {edit}"
        texts.append(json.dumps(value))
    rows = [{"value": None, "delta": encode(text, after)} for text, after in itertools.pairwise(texts)] + [
        {"value": texts[-1], "delta": None}
    ]
    for number, text in enumerate(texts):
        assert rebuild(rows[number:]) == text
    assert rebuild(rows[:-1]) is None
