"""The resource of versioned documents."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import FindDocuments, GetDocument
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import LIMIT_MAX
from resources.spec import Entry, Resource, positive


async def _document(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    version = positive(parameters, "version")
    command = GetDocument.model_construct(namespace=parameters["namespace"], key=parameters["key"], version=version)
    return await desk.state.get(call, command)


async def _entries(desk: Desk, call: Call, cursor: str | None) -> tuple[list[Entry], str | None]:
    documents, next_cursor, _ = await desk.state.find(call, FindDocuments(limit=LIMIT_MAX, cursor=cursor))
    return [
        Entry(
            uri=f"ops://state/{quote(document.namespace)}/{quote(document.key)}",
            title=f"{document.namespace}/{document.key}",
            description=f"Version {document.version} by {document.author}",
            size=document.bytes,
        )
        for document in documents
    ], next_cursor


RESOURCES = (
    Resource(
        uri_template="ops://state/{namespace}/{+key}{?version}",
        name="document",
        title="Document",
        description="One shared JSON document, now or at a version.",
        toolset="state",
        permission=Permission.STATE_READ,
        read=_document,
        entries=_entries,
        lasts=lambda parameters: "version" in parameters,
    ),
)
