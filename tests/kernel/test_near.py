"""Names that somebody may have meant."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.near import KNOWN_MAX, did_you_mean, near


def test_names_that_look_alike_are_told_whatever_their_case():
    assert near("Scrib", ["scribe", "painter"]) == ["scribe"]
    assert near("nothing", ["scribe"]) == []
    assert did_you_mean(["scribe", "Scribe2"]) == "Did you mean 'scribe' or 'Scribe2'? "
    assert did_you_mean([]) == ""


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=10))
def test_only_known_names_are_told_and_no_more_than_three(name: str, known: list[str]):
    found = near(name, known)
    assert set(found) <= set(known) and len(found) <= 3


def test_the_one_that_was_meant_is_found_among_very_many_that_are_much_alike():
    known = [f"src/module{number}/file.py" for number in range(1500)]
    assert near("src/modul1234/file.py", known)[0] == "src/module1234/file.py"
    assert near("Dr", [*known, "dir"]) == ["dir"]


def test_however_many_names_there_are_a_bounded_number_is_looked_at():
    looked_at = itertools.count()
    near("nobody", (f"somebody{next(looked_at)}" for _ in range(100_000)))
    assert next(looked_at) <= KNOWN_MAX
