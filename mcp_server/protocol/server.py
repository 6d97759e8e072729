"""The MCP server, built from the catalogues: one server for both eras and every transport."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel import Server

from mcp_server.domain.errors import ValidationFailed
from mcp_server.protocol.prompts import get_prompt, list_prompts
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.tool_calls import ToolCalls
from mcp_server.services.desk import Desk
from resources import RESOURCES
from tools import TOOLS, TOOLSETS
from tools.spec import AnyTool

INSTRUCTIONS = (
    "The operations desk for agents. To work: agents_register once, then tasks_claim, tasks_report while working, "
    "tasks_finish. To hand out work: tasks_create, then tasks_wait. Share facts with state_get and state_set, passing "
    "expected_version so that nobody's change is lost. events_read says what happened."
)


@dataclass(frozen=True, slots=True)
class Offer:
    """Which part of the catalogues this server offers; None means every toolset."""

    toolsets: tuple[str, ...] | None = None
    exclude_tools: tuple[str, ...] = ()
    read_only: bool = False

    def tools(self) -> tuple[AnyTool, ...]:
        """The tools offered.

        Raises:
            ValidationFailed: a toolset or tool that does not exist.
        """
        _require_known("toolset", self.toolsets or (), TOOLSETS)
        _require_known("tool", self.exclude_tools, [tool.name for tool in TOOLS])
        return tuple(
            tool
            for tool in TOOLS
            if (self.toolsets is None or tool.toolset in self.toolsets)
            and tool.name not in self.exclude_tools
            and (tool.hints.read_only or not self.read_only)
        )


def make_server(desk: Desk, seam: Seam, offer: Offer, *, extra_tools: tuple[AnyTool, ...] = ()) -> Server[Any]:
    """The server for one desk. `extra_tools` is for conformance suites that want fixtures beside the real tools."""
    tools = ToolCalls(desk, seam, offer.tools() + extra_tools)
    wanted = tuple(r for r in RESOURCES if offer.toolsets is None or r.area in offer.toolsets or r.area == "system")
    reads = ResourceReads(desk, seam, wanted)
    return Server(
        "data-mcp-server-agent",
        title="DataMCPServerAgent",
        version=desk.version,
        instructions=INSTRUCTIONS,
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call,
        on_list_resources=reads.list_resources,
        on_list_resource_templates=reads.list_templates,
        on_read_resource=reads.read,
        on_completion=reads.complete,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _require_known(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise ValidationFailed(
            f"There is no {what} {', '.join(unknown)}.", next=f"Choose from: {', '.join(sorted(known))}."
        )
