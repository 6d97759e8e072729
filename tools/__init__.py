"""What a model can do: the catalogue of tools, as data. An area with tools has a module of its name here."""

from importlib import import_module
from importlib.util import find_spec

from mcp_server.domain.areas import AREAS
from tools.spec import AnyTool

_USED = [area.name for area in AREAS.all if find_spec(f"tools.{area.name}") is not None]
TOOLS: tuple[AnyTool, ...] = tuple(tool for name in _USED for tool in import_module(f"tools.{name}").TOOLS)
TOOLSETS: tuple[str, ...] = tuple(dict.fromkeys(tool.toolset for tool in TOOLS))
