"""Use cases of versioned documents."""

import json

from mcp_server.domain.state import transactions
from mcp_server.domain.state.commands import Addressed, DocumentHistory, FindDocuments, GetDocument
from mcp_server.domain.state.deltas import KEYFRAME_EVERY, rebuild
from mcp_server.domain.state.model import document_id, no_document
from mcp_server.domain.state.transactions import Written
from mcp_server.domain.state.views import (
    DocumentResult,
    DocumentView,
    HistoryResult,
    NamespaceView,
    SetResult,
    document_view,
    version_view,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.json_tools import Change, differences
from mcp_server.kernel.paging import Listed, Query, decode_cursor, fetch_page, like
from mcp_server.kernel.quoting import named
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.writes import Write, as_said

VERSIONS_MAX = 100
_HIGHEST = "\U0010ffff"


class StateService:
    """Read, write, patch, restore and find documents."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        may = Permission.STATE_WRITE
        self.set = Write(context, may, as_said, transactions.set_value, _set)
        self.patch = Write(context, may, as_said, transactions.patch, _written)
        self.restore = Write(context, may, as_said, transactions.restore, _written)

    async def get(self, call: Call, command: GetDocument) -> DocumentView:
        """A document with its value, now or at an earlier version.

        Raises:
            NotFound: never written, deleted, expired, or no such version.
        """
        call.actor.require(Permission.STATE_READ)
        if command.version is not None:
            return document_view(await self._version(command, command.version), with_value=True)
        row = await self._database.fetch_one("document_current", id=document_id(command.namespace, command.key))
        if row is None or row["deleted"] or _is_expired(row, self._context.clock()):
            raise no_document(command.namespace, command.key)
        return document_view(row, with_value=True)

    async def history(self, call: Call, command: DocumentHistory) -> HistoryResult:
        """Versions, newest first; with `diff`, what changed between the oldest and the newest of the range.

        Raises:
            NotFound: never written, or no such version.
        """
        call.actor.require(Permission.STATE_READ)
        rows = await self._database.fetch_all(
            "state_history",
            id=document_id(command.namespace, command.key),
            low=command.from_version or 1,
            high=command.to_version or 2**62,
            limit=VERSIONS_MAX,
        )
        if not rows:
            raise no_document(command.namespace, command.key)
        changes = await self._changes(command, rows[0]["version"]) if command.diff else None
        return HistoryResult(versions=[version_view(row) for row in rows], changes=changes)

    async def _changes(self, command: DocumentHistory, latest: int) -> list[Change]:
        newest = command.to_version or latest
        oldest = command.from_version or max(newest - 1, 1)
        old, new = [await self._version(command, version) for version in (oldest, newest)]
        return differences(json.loads(old["value"]), json.loads(new["value"]))

    async def find(self, call: Call, command: FindDocuments) -> Listed[DocumentView]:
        """Documents by namespace and key, without values."""
        call.actor.require(Permission.STATE_READ)
        statement = "state_deleted" if command.deleted else "state_find"
        query = Query(statement, parameters=(("now", self._context.clock()),))
        if command.namespace is not None:
            start = f"{command.namespace}/{command.prefix or ''}"
            query = query.where("document_range", range_low=start, range_high=start + _HIGHEST)
        else:
            query = query.where("document_prefix", document_prefix=like(command.prefix, "{}%"))
        query = query.where("document_tag", document_tag=like(command.tag, '%"{}"%')).where(
            "document_text", document_text=like(command.text and command.text.lower())
        )
        if command.cursor is not None:
            (last,) = decode_cursor(command.cursor, (str,))
            query = query.where("document_after", document_after=last)
        page = await fetch_page(self._database, query, command.limit, ("id",))
        return Listed([document_view(row) for row in page.rows], page.next_cursor, page.omitted)

    async def namespaces(self, call: Call) -> list[NamespaceView]:
        """Every namespace with its number of documents and their bytes."""
        call.actor.require(Permission.STATE_READ)
        rows = await self._database.fetch_all("namespaces", now=self._context.clock())
        return [
            NamespaceView(namespace=row["namespace"], documents=row["documents"], bytes=int(row["bytes"]))
            for row in rows
        ]

    async def _version(self, document: Addressed, version: int) -> Row:
        namespace, key = document.namespace, document.key
        id_ = document_id(namespace, key)
        row = await self._database.fetch_one("document_at_version", id=id_, version=version)
        if row is None:
            raise NotFound(
                f"{named(document_id(namespace, key))} has no version {version}.",
                next=f"See state_history(namespace={namespace!r}, key={key!r}).",
                details={"namespace": namespace, "key": key, "version": version},
            )
        if row["value"] is not None:
            return row
        chain = await self._database.fetch_all("version_chain", id=id_, version=version, limit=KEYFRAME_EVERY)
        return dict(row) | {"value": rebuild(chain)}


async def _set(call: Call, done: Written) -> SetResult:
    del call
    return SetResult(document=document_view(done.document.fields()), merged=done.merged)


async def _written(call: Call, done: Written) -> DocumentResult:
    del call
    return DocumentResult(document=document_view(done.document.fields()))


def _is_expired(row: Row, now: int) -> bool:
    return row["expires_at"] is not None and row["expires_at"] <= now
