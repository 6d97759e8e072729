"""Deadlocks are found where there is a circle, and only there."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.locks.deadlocks import Wait, find_deadlock
from mcp_server.domain.locks.model import Claim, Holder

OWNERS = st.sampled_from("abcdefg")
WAITS = st.lists(st.tuples(OWNERS, OWNERS).filter(lambda pair: pair[0] != pair[1]), max_size=14)


def wait(waiter: str, holder: str) -> Wait:
    name = f"lock of {holder}"
    return Wait(*(Claim(Holder(who, ""), who, name, "exclusive") for who in (waiter, holder)))


@given(WAITS, OWNERS, st.sets(OWNERS, min_size=1, max_size=2))
def test_a_deadlock_is_a_circle_back_to_the_one_who_asks(pairs: list[tuple[str, str]], owner: str, holders: set[str]):
    waits = [wait(waiter, holder) for waiter, holder in pairs]
    asked = [wait(owner, holder) for holder in holders - {owner}]
    circle = find_deadlock(asked, lambda holder: [one for one in waits if one.waiter.holder == holder])
    reachable, frontier = set[str](), {one.wanted.speaker for one in asked}
    while frontier:
        reachable |= frontier
        frontier = {one.wanted.speaker for one in waits if one.waiter.speaker in reachable} - reachable
    assert (circle is not None) == (owner in reachable)
    if circle is not None:
        assert circle[0].waiter.speaker == circle[-1].wanted.speaker == owner
        assert all(one.wanted.holder == after.waiter.holder for one, after in itertools.pairwise(circle))
        assert set(circle) <= {*waits, *asked}
