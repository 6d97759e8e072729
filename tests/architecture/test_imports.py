"""What modules load at once, and that it never goes round in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.test_house import MODULES, name_of, parsed

NAMES = frozenset(map(name_of, MODULES))


def loaded_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """The modules of ours that statements import when a module is loaded."""
    for node in body:
        match node:
            case ast.Import():
                yield from (one.name for one in node.names)
            case ast.ImportFrom(module=str(module)):
                yield from (module, *(f"{module}.{one.name}" for one in node.names))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from loaded_at_once(node.orelse)
            case ast.If() | ast.Try():
                yield from loaded_at_once([*node.body, *node.orelse])
            case ast.With():
                yield from loaded_at_once(node.body)
            case _:
                pass


def graph() -> dict[str, set[str]]:
    return {name_of(path): NAMES.intersection(loaded_at_once(parsed(path)[1].body)) for path in MODULES}


def test_no_module_loads_itself_by_way_of_others():
    """The event loop's thread, the writers' and those that load for calls may each begin at another module at the same
    time. Where imports went round, one could be handed a module that another has only half loaded."""
    found = graph()
    assert "mcp_server.kernel.areas" in found["mcp_server.domain.areas"]
    TopologicalSorter(found).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter(found | {"mcp_server.kernel.ids": {"mcp_server.app"}}).prepare()
