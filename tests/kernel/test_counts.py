"""Counts that end at a maximum say so."""

from mcp_server.kernel.paging import AtLeast, counted, floors
from tools.spec import listed


def test_a_count_that_ends_at_its_maximum_is_at_least_that():
    assert not isinstance(counted(9, 10), AtLeast)
    assert isinstance(counted(10, 10), AtLeast)
    assert isinstance(counted(12, 10), AtLeast)
    assert counted(12, 10) == 10


def test_a_result_names_the_numbers_that_are_at_least_what_they_say():
    counts = {"queued": counted(5, 5), "running": counted(1, 5)}
    assert floors(omitted=AtLeast(3), counts=counts) == ["omitted", "counts.queued"]
    assert floors(omitted=3, counts=None) is None
    assert listed(2, "task", AtLeast(3)) == "2 tasks; at least 3 more behind next_cursor."
