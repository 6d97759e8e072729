"""The order of foreign items, and what gives way where they wait for each other."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.commands.foreign.arranging import BLOCKERS_MAX, Arranged, arrange
from mcp_server.commands.foreign.item import Item, State
from mcp_server.kernel.errors import ValidationFailed


def item(id_: str, *blocked_by: str, parent: str | None = None, state: State = "open") -> Item:
    return Item(id_, f"t:{id_}", id_, "", state, state, blocked_by=blocked_by, parent=parent)


def order(arranged: Arranged) -> list[str]:
    return [each.id for each in arranged.order]


def require_kept(items: Sequence[Item], arranged: Arranged) -> None:
    """Blockers come first, and no blocker of an item's own is lost."""
    place = {id_: number for number, id_ in enumerate(order(arranged))}
    for each in items:
        there = {id_ for id_ in each.blocked_by if id_ in place}
        assert there <= set(arranged.blockers[each.id])
        assert all(place[blocker] < place[each.id] for blocker in arranged.blockers[each.id])


def test_blockers_come_first_and_else_the_order_stays():
    arranged = arrange([item("a", "c"), item("b"), item("c"), item("d")])
    assert order(arranged) == ["b", "c", "d", "a"]


def test_what_is_finished_or_given_up_blocks_nothing_and_what_is_missing_is_told():
    arranged = arrange([item("a", "b", "c", "gone"), item("b", state="finished"), item("c", state="dropped")])
    assert order(arranged) == ["a"] and arranged.blockers == {"a": ()}
    assert arranged.notes == ["a waits for gone, which is not in the file"]


def test_a_parent_waits_for_its_children_and_they_for_what_it_waits_for():
    arranged = arrange(
        [item("p", "x"), item("c", parent="p"), item("cc", parent="c"), item("x"), item("m", parent="gone")]
    )
    assert order(arranged) == ["x", "m", "cc", "c", "p"]
    assert arranged.blockers == {"x": (), "cc": ("x",), "c": ("x", "cc"), "p": ("x", "c"), "m": ()}


def test_a_child_that_waits_for_its_parent_is_not_waited_for_by_it():
    arranged = arrange([item("p"), item("c", "p", parent="p"), item("d", parent="p")])
    assert order(arranged) == ["d", "p", "c"]
    assert arranged.notes == ["p does not wait for c: they would wait for each other"]


def test_parents_of_each_other_wait_for_nobody():
    assert set(order(arrange([item("a", parent="b"), item("b", parent="a"), item("s", parent="s")]))) == {"a", "b", "s"}


def test_a_circle_is_refused_by_name():
    with pytest.raises(
        ValidationFailed, match=r"circle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)\..*Nothing was changed"
    ):
        arrange([item("x", "a"), item("a", "b"), item("b", "c"), item("c", "a")])
    with pytest.raises(ValidationFailed, match="circle: a -> a"):
        arrange([item("a", "a")])
    long = [item(f"{n:02}", f"{(n + 1) % 20:02}") for n in range(20)]
    with pytest.raises(ValidationFailed, match=r"-> \.\.\.\. Remove"):
        arrange(long)


def test_a_task_waits_for_a_hundred_at_most():
    many = [item(f"b{n}") for n in range(BLOCKERS_MAX + 1)]
    with pytest.raises(ValidationFailed, match="a is blocked by 101 others"):
        arrange([item("a", *(each.id for each in many)), *many])
    children = [item(f"c{n}", parent="p") for n in range(BLOCKERS_MAX + 1)]
    arranged = arrange([item("p"), *children])
    assert len(arranged.blockers["p"]) == BLOCKERS_MAX
    assert arranged.notes == [f"p does not wait for c100: it waits for {BLOCKERS_MAX} others"]


def test_ten_thousand_items_that_are_tangled_are_put_in_order_in_a_moment():
    items = [item(str(n), str(n + 1), parent=str(n // 50)) for n in range(9_999)] + [item("9999")]
    arranged = arrange(items)
    assert len(arranged.order) == 10_000 and arranged.notes
    require_kept(items, arranged)


NAMES = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(
        NAMES, st.tuples(st.lists(NAMES, max_size=3), st.none() | NAMES, st.sampled_from(["open", "later", "finished"]))
    )
)
def test_whatever_waits_for_whatever_is_put_in_order_or_refused(graph: dict[str, tuple[list[str], str | None, State]]):
    items = [item(id_, *blocked, parent=parent, state=state) for id_, (blocked, parent, state) in graph.items()]
    try:
        arranged = arrange(items)
    except ValidationFailed as error:
        assert "circle" in error.message
        return
    require_kept([each for each in items if each.state != "finished"], arranged)
