"""What callers see of documents."""

import json
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from mcp_server.domain.state.model import Document
from mcp_server.kernel.json_tools import Change
from mcp_server.kernel.paging import AtLeast, counted, floors
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View, list_or_none

DELETED = "document.deleted"
ENDINGS = (DELETED, "document.expired")
"""The events of a document that loses its value."""


class DocumentView(View):
    """One document; its value only where it was asked for, and in lists of deleted ones
    why it was deleted, its author being who did that. Of one that was just written, what its value looks to be that is
    hardly meant."""

    namespace: str
    key: str
    version: int
    value: Any = None
    has_value: bool = False
    author: str
    updated_at: str
    sha256: str
    bytes: int
    tags: list[str] | None = None
    expires_at: str | None = None
    deleted: bool | None = None
    note: str | None = None
    hint: str | None = None

    @model_serializer(mode="wrap")
    def _keep_null_value(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A document may hold JSON null: that value is sent although nulls are dropped elsewhere."""
        dumped = handler(self)
        if dumped.pop("has_value", False):
            dumped["value"] = self.value
        else:
            dumped.pop("value", None)
        return dumped


def document_view(row: Row, *, with_value: bool = False) -> DocumentView:
    """A document's head, or one of its versions."""
    return DocumentView(
        namespace=row["namespace"],
        key=row["key"],
        version=row["version"],
        value=json.loads(row["value"]) if with_value else None,
        has_value=with_value,
        author=row["author"],
        updated_at=iso(row["updated_at"]),
        sha256=row["sha256"],
        bytes=row["bytes"],
        tags=list_or_none(row["tags"]),
        expires_at=iso_or_none(row["expires_at"]),
        deleted=bool(row["deleted"]) or None,
    )


class ReplacedView(View):
    """Another's version that was replaced by somebody who did not say to have read it."""

    version: int
    author: str


def replaced_view(before: Document | None) -> ReplacedView | None:
    """Another's version that was replaced."""
    return None if before is None else ReplacedView(version=before.version, author=before.author)


class DocumentResult(View):
    """A document."""

    document: DocumentView
    replaced: ReplacedView | None = None


class PatchedResult(DocumentResult):
    """A document that was patched, and what the numbers are that the patch counted, by their paths."""

    now: dict[str, int | float] | None = None


class RestoredResult(DocumentResult):
    """A document that was restored: which version it is again, and when it was to expire before. It stays now."""

    is_again: int | None = None
    was_to_expire_at: str | None = None


class SetResult(View):
    """The document without its value, whether others' changes were merged in, and at which paths; and when it was to
    expire before, where it stays now."""

    document: DocumentView
    merged: bool | None = None
    others_changed: list[str] | None = None
    replaced: ReplacedView | None = None
    was_to_expire_at: str | None = None


class VersionView(View):
    """One version of a document, where it differs from the one before if a diff is asked for, what stood there and what
    stands there since where that is short, and the approval whose calls wrote it, if one did, with who said yes to it,
    for who may see that; or that it was deleted or expired, which makes no version."""

    version: int | None = None
    deleted: bool | None = None
    expired: bool | None = None
    author: str
    at: str
    note: str | None = None
    bytes: int | None = None
    changed_paths: list[str] | None = None
    changed_values: dict[str, dict[str, Any]] | None = None
    approval_id: str | None = None
    approved_by: list[str] | None = None


class HistoryResult(View):
    """Versions, newest first, of how many where these are not all, and what changed between the oldest and the newest
    of the range, or the first of it."""

    versions: list[VersionView]
    of_versions: int | None = None
    changes: list[Change] | None = None
    compared: list[int] | None = None
    hint: str | None = None


class NamespaceView(View):
    """A namespace and what is in it."""

    namespace: str
    documents: int
    bytes: int
    at_least: list[str] | None = None


def namespace_view(row: Row, most: int) -> NamespaceView:
    """A namespace whose documents were counted up to a number: `held` is how many, and their bytes."""
    number, size = map(int, row["held"].split())
    documents = counted(number, most)
    size = AtLeast(size) if isinstance(documents, AtLeast) else size
    told = floors(documents=documents, bytes=size)
    return NamespaceView(namespace=row["namespace"], documents=documents, bytes=size, at_least=told)


def version_view(row: Row, approval_id: str | None = None) -> VersionView:
    """One version of a document as callers see it."""
    return VersionView(
        version=row["version"],
        author=row["author"],
        at=iso(row["at"]),
        note=row["note"],
        bytes=row["bytes"],
        approval_id=approval_id,
    )


def ending_view(event: Row) -> VersionView:
    """That a document lost its value, by whom and why, and the approval whose calls did it, out of the event."""
    is_deletion, cause = event["type"] == DELETED, event["correlation_id"]
    return VersionView(
        deleted=is_deletion or None,
        expired=not is_deletion or None,
        author=event["actor"],
        at=iso(event["at"]),
        note=json.loads(event["data"]).get("note"),
        approval_id=cause if cause.startswith("approval_") else None,
    )
