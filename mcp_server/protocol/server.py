"""The MCP server, built from the catalogues: one server for both eras and every transport."""

from typing import Any

import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server

from mcp_server.domain.desk import Desk
from mcp_server.protocol.caching import HINTS
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.opening import INSTRUCTIONS, NAME, TITLE
from mcp_server.protocol.prompts import Prompts
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.sdk import is_traced
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.skills import EXTENSION as SKILLS_EXTENSION
from mcp_server.protocol.skills import SkillParams, Skills
from mcp_server.protocol.subscriptions import Subscriptions
from mcp_server.protocol.task_handles import (
    EXTENSION,
    ApprovalQuestions,
    TaskHandles,
    TaskParams,
    UpdateParams,
)
from mcp_server.protocol.tool_calls import ToolCalls
from mcp_server.protocol.wrong_params import say_what_is_wrong


class DeskServer(Server[Any]):
    """The SDK's server, which promises notifications of changed lists only where there are some."""

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> types.ServerCapabilities:
        """What the server can do. Its lists are the same as long as it runs, but for the resources, of whose list
        nobody is told."""
        told = super().get_capabilities(
            notification_options, experimental_capabilities, extensions, protocol_version=protocol_version
        )
        for part in (told.tools, told.prompts, told.resources):
            if part is not None:
                part.list_changed = False
        return told


def no_headers(tool: str) -> None:
    """What the SDK compares a call's `Mcp-Param-*` headers with: nothing, since no tool's schema names such a header.

    It asks this at every call of 2026 over HTTP, and walks twice through the schema that it is given.
    """
    del tool


def make_server(desk: Desk, seam: Seam, offer: Offer) -> Server[Any]:
    """The server for one desk, with the part of the catalogues that is offered."""
    handles = TaskHandles(desk, seam, offer, ApprovalQuestions(desk))
    tools = ToolCalls(desk, seam, offer.tools, gives_handles="tasks/get" in offer.methods)
    return assembled(desk, seam, tools, ResourceReads(desk, seam, offer.resources), handles, offer)


def assembled(
    desk: Desk, seam: Seam, tools: ToolCalls, reads: ResourceReads, handles: TaskHandles, offer: Offer
) -> Server[Any]:
    """A server of these parts, with the prompts and the methods of the Tasks extension that are offered."""
    prompts = Prompts(seam, offer)
    subscriptions = Subscriptions(desk, seam, reads, handles)
    server = DeskServer(
        NAME,
        title=TITLE,
        version=desk.version,
        instructions=INSTRUCTIONS,
        get_tool_input_schema=no_headers,
        on_list_resources=reads.list_resources,
        on_list_resource_templates=reads.list_templates,
        on_read_resource=reads.read,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
        on_completion=reads.complete,
        on_list_prompts=prompts.list_prompts,
        on_get_prompt=prompts.get_prompt,
        cache_hints=HINTS,
    )
    if not is_traced():
        server.middleware.clear()
    server.middleware.append(say_what_is_wrong)
    server.add_request_handler("tools/list", types.PaginatedRequestParams, tools.list_tools)
    server.add_request_handler("tools/call", types.CallToolRequestParams, tools.call)
    if "skills/list" in offer.methods:
        skills = Skills(seam)
        server.extensions[SKILLS_EXTENSION] = {}
        server.add_request_handler("skills/list", types.PaginatedRequestParams, skills.list_skills)
        server.add_request_handler("skills/get", SkillParams, skills.get_skill)
    if "tasks/get" in offer.methods:
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, handles.get)
    if "tasks/update" in offer.methods:
        server.add_request_handler("tasks/update", UpdateParams, handles.update)
    if "tasks/cancel" in offer.methods:
        server.add_request_handler("tasks/cancel", TaskParams, handles.cancel)
    return server
