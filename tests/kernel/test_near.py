"""Names that somebody may have meant."""

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.near import did_you_mean, near


def test_names_that_look_alike_are_told_whatever_their_case():
    assert near("Scrib", ["scribe", "painter"]) == ["scribe"]
    assert near("nothing", ["scribe"]) == []
    assert did_you_mean(["scribe", "Scribe2"]) == "Did you mean 'scribe' or 'Scribe2'? "
    assert did_you_mean([]) == ""


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=10))
def test_only_known_names_are_told_and_no_more_than_three(name: str, known: list[str]):
    found = near(name, known)
    assert set(found) <= set(known) and len(found) <= 3
