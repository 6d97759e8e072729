"""Tools of versioned documents."""

from typing import Any

from pydantic import Field

from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.json_tools import Change, PatchOperation
from mcp_server.domain.state import Key, Namespace, WriteSpec
from mcp_server.domain.users import Permission
from mcp_server.domain.values import Line, Word
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import DocumentView
from tools.spec import ADD, READ, UPDATE, Arguments, Listing, Result, Tool, listed


class Addressed(Arguments):
    """Which document."""

    namespace: Namespace
    key: Key


class GetArguments(Addressed):
    """See `state_get`."""

    version: int | None = Field(default=None, ge=1)


class DocumentResult(Result):
    """A document."""

    document: DocumentView


async def get(desk: Desk, call: Call, args: GetArguments) -> DocumentResult:
    """A document with its value."""
    document = await desk.state.get(call, args.namespace, args.key, args.version)
    return DocumentResult.model_construct(document=document)


class SetArguments(Addressed):
    """See `state_set`."""

    value: Any = None
    delete: bool = Field(default=False, description="Take the value away instead; state_restore brings it back")
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None
    ttl_seconds: float | None = Field(default=None, gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)
    tags: tuple[Word, ...] | None = Field(default=None, max_length=32)
    merge: bool = Field(default=False, description="Three-way merge with what others wrote since base_version")
    base_version: int | None = Field(default=None, ge=1)


class SetResult(Result):
    """The document without its value, and whether others' changes were merged in."""

    document: DocumentView
    merged: bool | None = None


async def set_document(desk: Desk, call: Call, args: SetArguments) -> SetResult:
    """Write the next version."""
    if args.delete == ("value" in args.model_fields_set):
        raise ValidationFailed("Give exactly one of value and delete=true.")
    if args.merge != (args.base_version is not None):
        raise ValidationFailed("merge needs base_version, the version you started from; base_version needs merge=true.")
    spec = WriteSpec.model_construct(
        expected_version=args.expected_version, note=args.note, ttl_seconds=args.ttl_seconds, tags=args.tags
    )
    if args.delete:
        return SetResult.model_construct(document=await desk.state.delete(call, args.namespace, args.key, spec))
    document, merged = await desk.state.set(call, args.namespace, args.key, args.value, spec, args.base_version)
    return SetResult.model_construct(document=document, merged=merged if args.merge else None)


class PatchArguments(Addressed):
    """See `state_patch`."""

    merge_patch: Any = Field(default=None, description="RFC 7386")
    json_patch: tuple[PatchOperation, ...] | None = Field(default=None, max_length=500, description="RFC 6902")
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None


async def patch(desk: Desk, call: Call, args: PatchArguments) -> DocumentResult:
    """Change part of a document."""
    if ("merge_patch" in args.model_fields_set) == (args.json_patch is not None):
        raise ValidationFailed("Give exactly one of merge_patch and json_patch.")
    spec = WriteSpec.model_construct(expected_version=args.expected_version, note=args.note)
    document = await desk.state.patch(
        call, args.namespace, args.key, spec, merge=args.merge_patch, operations=args.json_patch
    )
    return DocumentResult.model_construct(document=document)


class HistoryArguments(Addressed):
    """See `state_history`."""

    from_version: int | None = Field(default=None, ge=1)
    to_version: int | None = Field(default=None, ge=1)
    diff: bool = False


class VersionView(Result):
    """One version of a document."""

    version: int
    author: str
    at: str
    note: str | None = None
    bytes: int


class HistoryResult(Result):
    """Versions, newest first, and what changed between the oldest and the newest of the range."""

    versions: list[VersionView]
    changes: list[Change] | None = None


async def history(desk: Desk, call: Call, args: HistoryArguments) -> HistoryResult:
    """A document's versions."""
    versions, changes = await desk.state.history(
        call, args.namespace, args.key, args.from_version, args.to_version, diff=args.diff
    )
    views = [VersionView.model_construct(**version) for version in versions]
    return HistoryResult.model_construct(versions=views, changes=changes)


class RestoreArguments(Addressed):
    """See `state_restore`."""

    version: int = Field(ge=1)
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None


async def restore(desk: Desk, call: Call, args: RestoreArguments) -> DocumentResult:
    """Write an earlier value again."""
    spec = WriteSpec.model_construct(expected_version=args.expected_version, note=args.note)
    document = await desk.state.restore(call, args.namespace, args.key, args.version, spec)
    return DocumentResult.model_construct(document=document)


class FindArguments(Listing):
    """See `state_find`."""

    namespace: Namespace | None = None
    prefix: str | None = None
    tag: str | None = None
    text: str | None = None
    deleted: bool = False


class NamespaceView(Result):
    """A namespace and what is in it."""

    namespace: str
    documents: int
    bytes: int


class FindResult(Result):
    """Documents without their values; the namespaces where none was named."""

    documents: list[DocumentView]
    namespaces: list[NamespaceView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """A filtered list of documents."""
    documents, next_cursor, omitted = await desk.state.find(call, **args.model_dump())
    namespaces = None
    if args.namespace is None:
        namespaces = [NamespaceView.model_construct(**view) for view in await desk.state.namespaces(call)]
    return FindResult.model_construct(
        documents=documents, namespaces=namespaces, next_cursor=next_cursor, omitted=omitted
    )


def _say_written(result: DocumentResult | SetResult) -> str:
    document = result.document
    return f"{document.namespace}/{document.key} is at version {document.version}."


TOOLS = (
    Tool(
        name="state_get",
        title="Read a document",
        description="Read a shared JSON document, now or at a version.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=GetArguments,
        result=DocumentResult,
        run=get,
        say=_say_written,
    ),
    Tool(
        name="state_set",
        title="Write a document",
        description="Write a shared JSON document as its next version. expected_version refuses the write if somebody "
        "else was faster (0: must not exist).",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=SetArguments,
        result=SetResult,
        run=set_document,
        say=_say_written,
    ),
    Tool(
        name="state_patch",
        title="Change part of a document",
        description="Change parts of a document with exactly one of the two patches.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=ADD,
        arguments=PatchArguments,
        result=DocumentResult,
        run=patch,
        say=_say_written,
    ),
    Tool(
        name="state_history",
        title="See a document's versions",
        description="Who changed a document, when and why; diff=true shows what changed between the two versions.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=HistoryArguments,
        result=HistoryResult,
        run=history,
        say=lambda r: f"{len(r.versions)} versions, newest {r.versions[0].version} by {r.versions[0].author}.",
    ),
    Tool(
        name="state_restore",
        title="Restore a version",
        description="Write an earlier version again as the newest; history stays.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=ADD,
        arguments=RestoreArguments,
        result=DocumentResult,
        run=restore,
        say=_say_written,
    ),
    Tool(
        name="state_find",
        title="Find documents",
        description="List documents by namespace, key prefix, tag or text, without values.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        run=find,
        say=lambda r: listed(len(r.documents), "document", r.omitted),
    ),
)
