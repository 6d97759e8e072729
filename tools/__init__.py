"""What a model can do: the catalogue of tools, as data. An area with tools has a module of its name here."""

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_server.domain.areas import NAMES
from tools.known import KnownTool, read, tools_of

if TYPE_CHECKING:
    from tools.spec import AnyTool

FILE = Path(__file__).with_name("known.jsonl")
"""What is known of each tool before it is loaded. Made of them by `python scripts/known.py`."""


class Catalogue(Collection["AnyTool"]):
    """All tools, loaded when they are first gone through. Who needs one, or asks by what they are offered, finds it by
    `KNOWN`."""

    @staticmethod
    def modules() -> list[str]:
        """Where tools are, in the order of the areas."""
        return [name for name in NAMES if find_spec(f"tools.{name}") is not None]

    def __iter__(self) -> "Iterator[AnyTool]":
        return chain.from_iterable(map(tools_of, self.modules()))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, tool: object) -> bool:
        return any(tool is one for one in self)


TOOLS = Catalogue()
KNOWN = {tool.name: tool for tool in read(FILE.read_text("utf-8"))}
TOOLSETS: tuple[str, ...] = tuple(dict.fromkeys(tool.toolset for tool in KNOWN.values()))

__all__ = ["FILE", "KNOWN", "TOOLS", "TOOLSETS", "KnownTool"]
