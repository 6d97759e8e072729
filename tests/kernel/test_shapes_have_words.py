"""Whatever a text must look like is said where it is refused: by a pattern alone nobody knows what to write."""

from collections.abc import Iterator

import pytest

from mcp_server.kernel.shapes import Shape, shape_of
from tools import TOOLS
from tools.spec import Tool


def patterned(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    if shape.pattern is not None:
        yield path, shape
    inner = [*shape.members.items(), ("[]", shape.item), ("{}", shape.key)]
    for name, one in [*inner, *((f"|{number}", one) for number, one in enumerate(shape.options))]:
        if isinstance(one, Shape):
            yield from patterned(one, f"{path}.{name}")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_text_with_a_pattern_says_what_it_takes_and_an_example(tool: Tool):
    for path, shape in patterned(shape_of(tool.arguments), tool.name):
        assert shape.meant.words and shape.meant.example is not None, path
