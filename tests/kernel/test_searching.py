"""Text as it is looked for: folded, and what a JSON value says."""

import json
import unicodedata
from itertools import groupby
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_server.kernel.paging import after_all
from mcp_server.kernel.searching import MARKS, TRIGRAMS_MAX, fold, fold_json, trigrams

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\n\t\x00\x01:,[]{} äßu'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def lines(value: Any, name: str = "") -> list[str]:
    """A line for each member and item, as somebody would write it who walks through the value."""
    if not isinstance(value, dict | list):
        return [name + (value if isinstance(value, str) else json.dumps(value))]
    said: list[str] = []
    for label, inner in value.items() if isinstance(value, dict) else (("", one) for one in value):
        before = f"{label}: " if isinstance(value, dict) else ""
        said += lines(inner, ("" if said else name) + before)
    return said or [name]


@settings(max_examples=60)
@given(VALUES)
@example({"a": [1, {"b": 'q"\\n \\" x\\'}], "c": "\x01\x02 €\n,:{}"})
@example({"": [[], {}, {"x": []}], "y": "\\u0041"})
def test_a_values_text_is_what_it_says_however_it_is_written(value: Any):
    said = fold("\n".join(lines(value)))
    assert fold_json(json.dumps(value, separators=(",", ":"), ensure_ascii=False)) == said
    assert fold_json(json.dumps(value, indent=1)) == said


@pytest.mark.parametrize(
    "alike",
    [
        ("ÄPFEL", "Äpfel", "A\u0308pfel"),
        ("Россия", "РОССИЯ"),
        ("straße", "STRASSE", "STRAẞE"),
        ("İ", "i\u0307"),
        ("Å", "\u212b", "å"),
        ("ΣΑΣ", "σας"),
        ("ǰ", "J\u030c"),
        ("ﬁ", "FI"),
        ("\U00010400", "\U00010428"),
        ("\0", "\ufffd"),
    ],
)
def test_one_text_in_several_cases_and_encodings_is_folded_to_one(alike: tuple[str, ...]):
    assert len(set(map(fold, alike))) == 1


def test_accents_widths_and_the_turkish_i_stay_what_they_are():
    texts = ("e", "é", "è", "2", "²", "i", "ı", "i\u0307", "ａ", "a")
    assert len(set(map(fold, texts))) == len(texts)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
@example("a\ud7ff", "\U0010ffff")
def test_what_comes_after_all_that_begin_so_comes_right_after_them(beginning: str, rest: str):
    beginning = f"a/{beginning}"
    following = after_all(beginning)
    assert beginning + rest < following
    assert following.encode() > (beginning + "\U0010ffff" * 3).encode()
    assert not following.startswith(beginning)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("ab", []),
        ("abc", ["abc"]),
        ("abca", ["abc", "bca"]),
        ("aaaa", ["aaa"]),
        ("abcdef", ["abc", "cde", "def"]),
    ],
)
def test_trigrams_are_what_a_text_holds_of_three_characters(text: str, parts: list[str]):
    assert trigrams(text) == parts


def test_of_a_long_text_some_trigrams_do():
    some = trigrams("".join(chr(0x4E00 + number) for number in range(900)))
    assert TRIGRAMS_MAX // 2 < len(some) <= TRIGRAMS_MAX


@pytest.mark.parametrize("marks", ["\u0300\u0316", "\u0f73\u0f74", "\u0344\u0316", "\u0f81"])
def test_no_text_has_more_marks_sorted_than_stand_on_a_letter(marks: str, monkeypatch: pytest.MonkeyPatch):
    sorted_at_once: list[int] = []
    normalize = unicodedata.normalize

    def noting(form: Any, text: str) -> str:
        runs = groupby(normalize("NFD", text), key=lambda one: unicodedata.combining(one) > 0)
        sorted_at_once.extend(len(list(run)) for is_marked, run in runs if is_marked)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", noting)
    fold("a" + marks * 500)
    assert 0 < max(sorted_at_once) < 5 * MARKS


@given(st.text(st.sampled_from("ae\u0300\u0316\u0f73\u0f71\u1ec7ß\u0130\u1100\u1161"), max_size=MARKS // 2 - 1))
def test_what_people_write_is_folded_as_unicode_has_it(text: str):
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    assert fold("é" + text) == unicodedata.normalize("NFC", "é" + composed)
