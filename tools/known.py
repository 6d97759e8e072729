"""What is known of a tool before it is loaded: enough to offer and to list it. A server on stdio loads those that it is
asked to call, module by module."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from mcp_server.domain.areas import load_whole
from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Permission

if TYPE_CHECKING:
    from tools.spec import AnyTool


@dataclass(frozen=True, slots=True)
class KnownTool:
    """A tool by what it is offered by.

    Attributes:
        name: of the tool.
        toolset: to which it belongs.
        permission: what its caller needs.
        writes: whether it changes something.
        composable: whether its write may be one of several.
        whole: the tool itself, loaded when this is first called.
        module: in which it stands; None for one that is loaded.
    """

    name: str
    toolset: Toolset
    permission: Permission
    writes: bool
    composable: bool
    whole: "Callable[[], AnyTool]"
    module: str | None = None

    @classmethod
    def of(cls, tool: "AnyTool") -> "KnownTool":
        """Of one that is loaded."""
        return cls(tool.name, tool.toolset, tool.permission, tool.writes, tool.part is not None, lambda: tool)

    @property
    def is_loaded(self) -> bool:
        """Whether it takes no time to have it."""
        return self.module is None or self.module in _LOADED


def line(module: str, tool: "AnyTool") -> str:
    """A tool of a module as it is kept."""
    return json.dumps([module, tool.name, tool.toolset, tool.permission, tool.writes, tool.part is not None])


def read(lines: str) -> tuple[KnownTool, ...]:
    """What was kept."""
    return tuple(_known(*json.loads(line)) for line in lines.splitlines())


def tools_of(module: str) -> "tuple[AnyTool, ...]":
    """The tools of a module, loaded."""
    return import_module(f"tools.{module}").TOOLS


def _known(module: str, name: str, toolset: Toolset, permission: str, writes: bool, composable: bool) -> KnownTool:
    return KnownTool(name, toolset, Permission(permission), writes, composable, partial(_whole, module, name), module)


def _whole(module: str, name: str) -> "AnyTool":
    tools = _LOADED.get(module)
    if tools is None:
        load_whole(module)
        tools = _LOADED[module] = {tool.name: tool for tool in tools_of(module)}
    return tools[name]


_LOADED: "dict[str, dict[str, AnyTool]]" = {}
