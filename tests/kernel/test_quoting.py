"""Text of others inside the server's words: in quotes, on one line; in JSON, with nothing hidden and the same value."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.quoting import named, quoted, shown_json
from mcp_server.kernel.values import Line

HOSTILE = '\n\r\t\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200b\u200d\ufeff\u00ad\u2800\ufe0f\U000e0041"\\'
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(HOSTILE)))


def hidden(text: str) -> list[str]:
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")]


@given(texts)
def test_a_quotation_ends_where_the_server_ends_it(text: str):
    said = quoted(text)
    assert said[0] == said[-1] == '"' and not hidden(said)
    assert '"' not in said[1:-1]


@pytest.mark.parametrize("name", ["task_bcdfghjkmnpq", "notes/today", "#3", "agent:scribe", "a@b.org"])
def test_a_plain_word_needs_no_quotes(name: str):
    assert named(name) == name


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "x" * 121, "a\u202eb", "é"])
def test_any_other_name_stands_in_quotes(name: str):
    assert named(name) == quoted(name)


@given(st.dictionaries(texts, texts))
def test_json_shows_what_is_hidden_and_keeps_its_value(value: dict[str, str]):
    shown = shown_json(dump_json(value))
    assert not hidden(shown) and json.loads(shown) == value


@given(texts)
def test_an_error_is_one_printable_line_whatever_went_into_it(text: str):
    error = NotFound(f"There is no {text}.", next=f"Look for {text}.")
    assert not hidden(error.message) and len(error.message.splitlines()) == 1


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_line_with_a_line_break_or_control_character_is_refused_by_name(character: str):
    with pytest.raises(ValidationError, match=rf"U\+{ord(character):04X} in it is a line break or a control"):
        TypeAdapter(Line).validate_python(f"a{character}b")


@pytest.mark.parametrize("text", ["é ☃ 𝄞", "right\u202eleft", "👩\u200d🚀", "a\u00a0b"])
def test_a_line_in_any_script_is_taken_as_it_is(text: str):
    assert TypeAdapter(Line).validate_python(text) == text
