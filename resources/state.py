"""Resources of versioned documents and locks."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mcp_server.domain.users import Permission
from mcp_server.services.context import LIMIT_MAX, Call
from mcp_server.services.desk import Desk
from resources.spec import Entry, Resource, positive


async def _document(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    version = positive(parameters, "version")
    return await desk.state.get(call, parameters["namespace"], parameters["key"], version)


async def _entries(desk: Desk, call: Call, cursor: str | None) -> tuple[list[Entry], str | None]:
    documents, next_cursor, _ = await desk.state.find(
        call, namespace=None, prefix=None, tag=None, text=None, deleted=False, limit=LIMIT_MAX, cursor=cursor
    )
    return [
        Entry(
            uri=f"ops://state/{quote(document.namespace)}/{quote(document.key)}",
            title=f"{document.namespace}/{document.key}",
            description=f"Version {document.version} by {document.author}",
            size=document.bytes,
        )
        for document in documents
    ], next_cursor


async def _locks(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    del parameters
    return await desk.locks.overview(call)


RESOURCES = (
    Resource(
        uri_template="ops://state/{namespace}/{+key}{?version}",
        name="document",
        title="Document",
        description="One shared JSON document, now or at a version.",
        area="state",
        permission=Permission.STATE_READ,
        read=_document,
        entries=_entries,
    ),
    Resource(
        uri_template="ops://locks",
        name="locks",
        title="Locks",
        description="Who holds which lock, and who waits for one, in order.",
        area="state",
        permission=Permission.STATE_READ,
        read=_locks,
    ),
)
