"""What begins with a text stands between that text and another, which an index finds side by side."""

from hypothesis import example, given
from hypothesis import strategies as st

from mcp_server.kernel.paging import after_all

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(TEXT, TEXT)
@example("", "\U0010ffff" * 3)
@example("a", "\U0010ffff" * 3)
@example("\U0010ffff", "\U0010ffff")
@example("\ud7ff", "x")
def test_all_that_begin_with_a_text_stand_between_it_and_what_follows_them(beginning: str, rest: str):
    assert beginning <= beginning + rest < after_all(beginning)


@given(TEXT, TEXT)
def test_what_stands_in_between_begins_so(beginning: str, other: str):
    if beginning.rstrip("\U0010ffff"):
        stands_between = beginning <= other < after_all(beginning)
        assert stands_between == other.startswith(beginning) or beginning.endswith("\U0010ffff")
