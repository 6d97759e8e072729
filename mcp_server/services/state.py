"""Use cases of versioned documents."""

import json
from collections.abc import Sequence
from typing import Any

from mcp_server.domain.errors import NotFound
from mcp_server.domain.json_tools import Change, PatchOperation, differences
from mcp_server.domain.state import (
    DOCUMENT_BYTES_MAX,
    WriteSpec,
    document_id,
    no_document,
)
from mcp_server.domain.state_commands import Patch, Restore, Set
from mcp_server.domain.text_delta import KEYFRAME_EVERY, rebuild
from mcp_server.domain.users import Permission
from mcp_server.domain.values import check_json, iso
from mcp_server.services.context import Call, Context, Query, decode_cursor, fetch_page, like
from mcp_server.services.ports import Row, StateTransactions
from mcp_server.services.views import DocumentView, document_view

VERSIONS_MAX = 100
_HIGHEST = "\U0010ffff"


class StateService:
    """Read, write, patch, restore and find documents."""

    def __init__(self, context: Context, state: StateTransactions) -> None:
        self._context = context
        self._store = context.store
        self._state = state

    async def get(self, call: Call, namespace: str, key: str, version: int | None = None) -> DocumentView:
        """A document with its value, now or at an earlier version.

        Raises:
            NotFound: never written, deleted, expired, or no such version.
        """
        call.actor.require(Permission.STATE_READ)
        if version is None:
            row = await self._store.fetch_one("document_current", id=document_id(namespace, key))
            if row is None or row["deleted"] or _is_expired(row, self._context.clock()):
                raise no_document(namespace, key)
            return document_view(row, with_value=True)
        return document_view(await self._version(namespace, key, version), with_value=True)

    async def set(
        self,
        call: Call,
        namespace: str,
        key: str,
        value: Any,
        spec: WriteSpec,
        base_version: int | None = None,
    ) -> tuple[DocumentView, bool]:
        """Write the next version; with `base_version`, merge with what others wrote since.

        Returns:
            The document without its value, and whether others' changes were merged in.
        """
        call.actor.require(Permission.STATE_WRITE)
        command = Set(namespace, key, check_json(value, "value", DOCUMENT_BYTES_MAX), spec, base_version)
        row, merged = await self._store.write(self._state.set_value, self._context.origin(call), command)
        return document_view(row), merged

    async def patch(
        self,
        call: Call,
        namespace: str,
        key: str,
        spec: WriteSpec,
        *,
        merge: Any = None,
        operations: Sequence[PatchOperation] | None = None,
    ) -> DocumentView:
        """Change the current value by `operations` (RFC 6902) or else by `merge` (RFC 7386)."""
        call.actor.require(Permission.STATE_WRITE)
        command = Patch(namespace, key, merge, None if operations is None else tuple(operations), spec)
        return document_view(await self._store.write(self._state.patch, self._context.origin(call), command))

    async def delete(self, call: Call, namespace: str, key: str, spec: WriteSpec) -> DocumentView:
        """Take a document's value away; its versions stay, and restoring one brings it back."""
        call.actor.require(Permission.STATE_WRITE)
        row = await self._store.write(self._state.delete, self._context.origin(call), namespace, key, spec)
        return document_view(row)

    async def restore(self, call: Call, namespace: str, key: str, version: int, spec: WriteSpec) -> DocumentView:
        """Write an earlier version's value as the next version."""
        call.actor.require(Permission.STATE_WRITE)
        command = Restore(namespace, key, version, spec)
        return document_view(await self._store.write(self._state.restore, self._context.origin(call), command))

    async def history(
        self,
        call: Call,
        namespace: str,
        key: str,
        from_version: int | None,
        to_version: int | None,
        *,
        diff: bool,
    ) -> tuple[list[dict[str, Any]], list[Change] | None]:
        """Versions, newest first; with `diff`, what changed between the oldest and the newest of the range.

        Raises:
            NotFound: never written, or no such version.
        """
        call.actor.require(Permission.STATE_READ)
        rows = await self._store.fetch_all(
            "state_history",
            id=document_id(namespace, key),
            low=from_version or 1,
            high=to_version or 2**62,
            limit=VERSIONS_MAX,
        )
        if not rows:
            raise no_document(namespace, key)
        versions = [_version_view(row) for row in rows]
        if not diff:
            return versions, None
        newest = to_version or rows[0]["version"]
        oldest = from_version or max(newest - 1, 1)
        old, new = [await self._version(namespace, key, version) for version in (oldest, newest)]
        return versions, differences(json.loads(old["value"]), json.loads(new["value"]))

    async def find(
        self,
        call: Call,
        *,
        namespace: str | None,
        prefix: str | None,
        tag: str | None,
        text: str | None,
        deleted: bool,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[DocumentView], str | None, int | None]:
        """Documents by namespace and key, without values; the next cursor and how many were left out."""
        call.actor.require(Permission.STATE_READ)
        query = Query("state_deleted" if deleted else "state_find", parameters=(("now", self._context.clock()),))
        if namespace is not None:
            start = f"{namespace}/{prefix or ''}"
            query = query.where("document_range", range_low=start, range_high=start + _HIGHEST)
        else:
            query = query.where("document_prefix", document_prefix=like(prefix, "{}%"))
        query = query.where("document_tag", document_tag=like(tag, '%"{}"%')).where(
            "document_text", document_text=like(text and text.lower())
        )
        if cursor is not None:
            (last,) = decode_cursor(cursor, (str,))
            query = query.where("document_after", document_after=last)
        page = await fetch_page(self._store, query, limit, ("id",))
        return [document_view(row) for row in page.rows], page.next_cursor, page.omitted

    async def namespaces(self, call: Call) -> list[dict[str, Any]]:
        """Every namespace with its number of documents and their bytes."""
        call.actor.require(Permission.STATE_READ)
        rows = await self._store.fetch_all("namespaces", now=self._context.clock())
        return [{"namespace": r["namespace"], "documents": r["documents"], "bytes": int(r["bytes"])} for r in rows]

    async def _version(self, namespace: str, key: str, version: int) -> Row:
        row = await self._store.fetch_one("document_at_version", id=document_id(namespace, key), version=version)
        if row is None:
            raise NotFound(
                f"{namespace}/{key} has no version {version}.",
                next=f"See state_history(namespace='{namespace}', key='{key}').",
                details={"namespace": namespace, "key": key, "version": version},
            )
        if row["value"] is not None:
            return row
        id_ = document_id(namespace, key)
        chain = await self._store.fetch_all("version_chain", id=id_, version=version, limit=KEYFRAME_EVERY)
        return dict(row) | {"value": rebuild(chain)}


def _is_expired(row: Row, now: int) -> bool:
    return row["expires_at"] is not None and row["expires_at"] <= now


def _version_view(row: Row) -> dict[str, Any]:
    view = {name: row[name] for name in ("version", "author", "note", "bytes")}
    return {name: value for name, value in view.items() if value is not None} | {"at": iso(row["at"])}
