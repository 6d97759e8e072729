"""What a model can do: the catalogue of tools, as data. Each area has a module of its name here."""

from importlib import import_module

from mcp_server.domain.areas import AREAS
from tools.spec import AnyTool

TOOLS: tuple[AnyTool, ...] = tuple(tool for area in AREAS.all for tool in import_module(f"tools.{area.name}").TOOLS)
TOOLSETS: tuple[str, ...] = tuple(dict.fromkeys(tool.toolset for tool in TOOLS))
