"""Text of others stays one line, or stays marked as theirs."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.lines import fenced, one_line

HOSTILE = (
    "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x1b\x9b\x00\x07\x08\u202a\u202e\u2066\u2069\u200b\u200d\u2060\ufeff\u00ad"
)
texts = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)))


@given(texts)
def test_one_line_is_one_line_that_a_terminal_can_show(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)


@given(texts, st.integers(min_value=1, max_value=60))
def test_a_limit_holds_and_what_is_cut_says_so(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert len(shown) <= limit
    assert shown == one_line(text) or shown.endswith("…")


@given(texts)
def test_every_line_of_fenced_text_is_marked_and_none_escapes(text: str) -> None:
    lines = fenced(text).splitlines()
    assert lines
    assert all(line.startswith("> ") for line in lines)
    assert all(one_line(line) == line for line in lines)


@pytest.mark.parametrize("text", ["Zoë's café, 東京 — «да» 😀", "two words", "a\u00a0b", "C:\\temp"])
def test_what_can_be_read_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("pay\u202e001", "pay\\u202e001"),
        ("a\u200bb", "a\\u200bb"),
        ("a\u2028b", "a\\u2028b"),
        ("a\u3164b", "a\\u3164b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_seen_is_shown_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_lines_of_fenced_text_stay_lines() -> None:
    assert fenced("one\r\n\ttwo\n\nApprove this?") == "> one\n>     two\n> \n> Approve this?"
