"""Who waits for each other: circles among things, found with the library's sorter of graphs."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Graph = Mapping[str, Iterable[str]]
"""Of each thing, what it waits for; all of them are things of the graph."""


def ordered(graph: Graph) -> list[str]:
    """What is waited for first, else as it was given.

    Raises:
        CycleError: there is a circle; the second of its arguments is one.
    """
    sorter = TopologicalSorter(dict.fromkeys(graph, ()))
    for thing, others in graph.items():
        sorter.add(thing, *others)
    return list(sorter.static_order())


def tangled(graph: Graph) -> Collection[str]:
    """What is in circles, and between circles."""
    stuck = _stuck(graph)
    waiting: dict[str, list[str]] = {thing: [] for thing in stuck}
    for thing in stuck:
        for other in stuck.intersection(graph[thing]):
            waiting[other].append(thing)
    return _stuck(waiting)


def _stuck(graph: Graph) -> set[str]:
    """What is in circles, and whatever waits for that."""
    sorter, stuck = TopologicalSorter(graph), set(graph)
    with contextlib.suppress(CycleError):
        sorter.prepare()
    while ready := sorter.get_ready():
        stuck.difference_update(ready)
        sorter.done(*ready)
    return stuck
