"""Deadlocks are found where there is a circle, and only there."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.locks.model import Wait, find_deadlock

OWNERS = st.sampled_from("abcdefg")
WAITS = st.lists(st.tuples(OWNERS, OWNERS).filter(lambda pair: pair[0] != pair[1]), max_size=14)


@given(WAITS, OWNERS, st.sets(OWNERS, min_size=1, max_size=2))
def test_a_deadlock_is_a_circle_back_to_the_one_who_asks(pairs: list[tuple[str, str]], owner: str, holders: set[str]):
    waits = [Wait(waiter, f"lock of {holder}", holder) for waiter, holder in pairs]
    asked = [Wait(owner, f"lock of {holder}", holder) for holder in holders - {owner}]
    circle = find_deadlock(asked, waits)
    reachable, frontier = set[str](), {wait.holder for wait in asked}
    while frontier:
        reachable |= frontier
        frontier = {wait.holder for wait in waits if wait.waiter in reachable} - reachable
    assert (circle is not None) == (owner in reachable)
    if circle is not None:
        assert circle[0].waiter == circle[-1].holder == owner
        assert all(one.holder == after.waiter for one, after in itertools.pairwise(circle))
        assert set(circle) <= {*waits, *asked}
