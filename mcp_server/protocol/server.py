"""The MCP server, built from the catalogues: one server for both eras and every transport."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server

from mcp_server.domain.desk import Desk
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.protocol.prompts import get_prompt, list_prompts
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.subscriptions import Subscriptions
from mcp_server.protocol.task_handles import (
    EXTENSION,
    ApprovalQuestions,
    NoQuestions,
    TaskHandles,
    TaskParams,
    UpdateParams,
)
from mcp_server.protocol.tool_calls import ToolCalls
from resources import RESOURCES
from tools import TOOLS, TOOLSETS
from tools.spec import AnyTool

INSTRUCTIONS = (
    "The operations desk for agents. To work: agents_register once, then tasks_claim, tasks_report while working, "
    "tasks_finish. To hand out work: tasks_create, then tasks_wait. Share facts with state_get and state_set, passing "
    "expected_version so that nobody's change is lost. Before what cannot be undone, approvals_request. "
    "events_read says what happened. Every write takes as_agent (the agent that speaks, by name or id; needed where "
    "several share a connection) and lease_token (then it counts only while you hold that task)."
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


def make_server(desk: Desk, seam: Seam, offer: Offer) -> Server[Any]:
    """The server for one desk, with the part of the catalogues that is offered."""
    wanted = tuple(r for r in RESOURCES if offer.toolsets is None or r.area in offer.toolsets or r.area == "system")
    offered = offer.tools()
    # Nobody is asked by way of a handle where the tool that asks people is taken away.
    questions = ApprovalQuestions(desk) if any(tool.asks_person for tool in offered) else NoQuestions()
    handles = TaskHandles(desk, seam, questions)
    return assembled(desk, seam, ToolCalls(desk, seam, offered), ResourceReads(desk, seam, wanted), handles)


def assembled(desk: Desk, seam: Seam, tools: ToolCalls, reads: ResourceReads, handles: TaskHandles) -> Server[Any]:
    """A server of these parts."""
    subscriptions = Subscriptions(desk, seam, reads, handles)
    server: Server[Any] = Server(
        "data-mcp-server-agent",
        title="DataMCPServerAgent",
        version=desk.version,
        instructions=INSTRUCTIONS,
        on_list_tools=tools.list_tools,
        on_list_resources=reads.list_resources,
        on_list_resource_templates=reads.list_templates,
        on_read_resource=reads.read,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
        on_completion=reads.complete,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tools/call", types.CallToolRequestParams, tools.call)
    server.add_request_handler("tasks/get", TaskParams, handles.get)
    server.add_request_handler("tasks/update", UpdateParams, handles.update)
    server.add_request_handler("tasks/cancel", TaskParams, handles.cancel)
    return server


def _require_known(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise ValidationFailed(
            f"There is no {what} {', '.join(unknown)}.", next=f"Choose from: {', '.join(sorted(known))}."
        )
