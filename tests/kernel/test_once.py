"""Things that are made once of each object."""

from mcp_server.kernel.once import Once


def test_of_each_object_something_is_made_once_and_too_many_are_forgotten():
    made: list[list[int]] = []
    once = Once(lambda of: (made.append(of), len(made))[1], most=2)
    first, equal, third = [1], [1], [3]
    assert (once(first), once(equal), once(first), once(equal)) == (1, 2, 1, 2)
    assert once(third) == 3 and once(first) == 4
    assert made == [first, equal, third, first]
