"""Use cases of versioned documents."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVarTuple

from mcp_server.domain.events.told import caused_by, told_of
from mcp_server.domain.search.finding import Sought, fetch_page_holding
from mcp_server.domain.state import transactions
from mcp_server.domain.state.alike import alike
from mcp_server.domain.state.answers import patched_answer, restored_answer, set_answer
from mcp_server.domain.state.changes import CHANGES_SHOWN, compared, differs_each, no_versions, rest
from mcp_server.domain.state.commands import (
    Addressed,
    DocumentHistory,
    FindDocuments,
    GetDocument,
    ListKeys,
    PatchDocument,
    RestoreDocument,
    SetDocument,
)
from mcp_server.domain.state.deltas import KEYFRAME_EVERY, rebuild
from mcp_server.domain.state.model import Standing, document_id, gone_document, no_document, standing
from mcp_server.domain.state.plans import (
    CHEAP_STEPS_MAX,
    Plan,
    Planned,
    Read,
    delta_of,
    leaving,
    left_behind,
    plan_patch,
    plan_set,
    refused,
    unplanned,
)
from mcp_server.domain.state.views import (
    ENDINGS,
    DocumentView,
    HistoryResult,
    NamespaceView,
    VersionView,
    document_view,
    ending_view,
    namespace_view,
    version_view,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, NotFound, ValidationFailed
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.paging import Listed, Query, after_all, decode_cursor
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros
from mcp_server.kernel.writes import Write

Args = TypeVarTuple("Args")
VERSIONS_MAX = 100
DIFFED_MAX = 10
"""Of how many versions it is said what each changed."""

NAMESPACE_COUNTED_MAX = 100
"""How far the documents of each namespace are counted."""


class StateService:
    """Read, write, patch, restore and find documents."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        may = Permission.STATE_WRITE
        self.set = Write(context, may, leaving(self._plan_set), transactions.set_value, set_answer, unplanned)
        self.patch = Write(context, may, leaving(self._plan_patch), transactions.patch, patched_answer, unplanned)
        self.restore = Write(
            context, may, leaving(self._plan_restore), transactions.restore, restored_answer, unplanned
        )

    async def get(self, call: Call, command: GetDocument) -> DocumentView:
        """A document with its value, now or at an earlier version.

        Raises:
            NotFound: never written, deleted, expired, or no such version.
        """
        _require(call, Permission.STATE_READ, command)
        if command.version is not None:
            return document_view(await self._version(command, command.version), with_value=True)
        row = await self._database.fetch_one("document_current", id=document_id(command.namespace, command.key))
        if row is None:
            raise no_document(command.namespace, command.key, await alike(self.keys, self.namespaces, call, command))
        if row["deleted"] or _is_expired(row, self._context.clock()):
            ending = await self._endings(row["id"], (row["version"], row["version"]))
            raise gone_document(row, ending[0][1].note if ending else None)
        return document_view(row, with_value=True)

    async def version_of(self, document: Addressed) -> int:
        """The version of a document, as a change of it would expect it; 0 where it has no value."""
        return (await self.standing(document)).version

    async def standing(self, document: Addressed) -> Standing:
        """The version of a document, as a change of it would expect it, and who made it so."""
        row = await self._database.fetch_one("document_current", id=document_id(document.namespace, document.key))
        return standing(row, self._context.clock())

    async def with_copied(self, call: Call, command: SetDocument) -> tuple[SetDocument, dict[str, Any]] | None:
        """A copy with the value that it would write now, as people are shown it; None for any other write.

        Raises:
            OpsError: as `get` does.
        """
        copied = command.copied()
        if copied is None:
            return None
        document = await self.get(call, GetDocument(namespace=copied.namespace, key=copied.key))
        note = f"copy of {command.copy_of} at version {document.version}"
        whole = command.holding(RawJson(dump_json(document.value)), note)
        return whole, {"version": document.version, "value": document.value}

    async def history(self, call: Call, command: DocumentHistory) -> HistoryResult:
        """Versions, newest first, and between them when it was deleted; with `diff` or both versions given, what
        changed between the oldest and the newest of the range.

        Raises:
            NotFound: never written, or no such version.
        """
        _require(call, Permission.STATE_READ, command)
        told, newest = await self._versions(command)
        if not command.compares():
            return told
        if command.diff:
            told = await self._with_places(command, told)
        return await self._with_changes(command, told, newest)

    async def _versions(self, command: DocumentHistory) -> tuple[HistoryResult, int]:
        """The versions that are asked for and their ends; and the newest of them."""
        id_, low, high = document_id(command.namespace, command.key), command.from_version or 1, command.to_version
        rows = await self._database.fetch_all("state_history", id=id_, low=low, high=high or 2**62, limit=VERSIONS_MAX)
        if not rows:
            raise no_versions(command, await self._count(id_))
        span = (rows[-1]["version"], rows[0]["version"])
        endings = dict(await self._endings(id_, span))
        asked = await caused_by(self._database, "document", id_, "approval", span, ENDINGS)
        versions = [(endings.get(row["version"]), version_view(row, asked.get(row["version"]))) for row in rows]
        written, count = len(rows), await self._count(id_)
        listed = [one for pair in versions for one in pair if one is not None]
        return HistoryResult(versions=listed, of_versions=count if count > written else None), span[1]

    async def _count(self, id_: str) -> int:
        """How many versions a document has: none is ever taken out."""
        row = await self._database.fetch_one("document_current", id=id_)
        return 0 if row is None else row["version"]

    async def _with_places(self, command: DocumentHistory, told: HistoryResult) -> HistoryResult:
        """Each of the newest versions with where it differs from the one before."""
        numbers = [one.version for one in told.versions if one.version is not None][: DIFFED_MAX + 1]
        values = [(await self._version(command, number))["value"] for number in numbers]
        differs = dict(zip(numbers, await asyncio.to_thread(differs_each, values), strict=False))
        found = [(one, differs.get(one.version or 0)) for one in told.versions]
        versions = [one if how is None else one.evolved(how._asdict()) for one, how in found]
        return told.evolved({"versions": versions})

    async def _endings(self, id_: str, versions: tuple[int, int]) -> list[tuple[int, VersionView]]:
        """After which versions a document was deleted or expired, as far as that is still told."""
        events = await told_of(self._database, "document", id_, ENDINGS, versions)
        return [(event["version"], ending_view(event)) for event in events]

    async def _ended(self, row: Row, view: DocumentView) -> DocumentView:
        """A document that was deleted, with the note of that, as far as it is still told."""
        endings = await self._endings(row["id"], (row["version"], row["version"]))
        return view.evolved({"note": endings[0][1].note if endings else None})

    async def _with_changes(self, command: DocumentHistory, told: HistoryResult, last: int) -> HistoryResult:
        newest = command.to_version or last
        oldest = command.from_version or max(newest - 1, 1)
        old, new = [await self._version(command, version) for version in (oldest, newest)]
        changes = await asyncio.to_thread(compared, old["value"], new["value"])
        hint = rest(changes, oldest, newest)
        return told.evolved({"changes": changes[:CHANGES_SHOWN], "compared": [oldest, newest], "hint": hint})

    async def find(self, call: Call, command: FindDocuments) -> Listed[DocumentView]:
        """Documents by namespace and key, without values."""
        call.actor.require(Permission.STATE_READ)
        if command.namespace is not None:
            call.actor.scope.require_namespace(command.namespace)
        query, key, after = _listed(command, self._context.clock())
        query = query.where("namespaces_within", **_within(call))
        if command.cursor is not None:
            last = decode_cursor(query.listed, command.cursor, (str,) * len(key))
            query = query.where(after, **dict(zip(_PLACES[after], last, strict=True)))
        also = [replace(query, statement="state_expired")] if command.deleted else []
        sought = Sought("document", command.text)
        page = await fetch_page_holding(self._database, sought, query, command.limit, key, also=also, rising=True)
        found = [document_view(row) for row in page.rows]
        if command.deleted:
            found = [await self._ended(row, view) for row, view in zip(page.rows, found, strict=True)]
        return Listed(found, page.next_cursor, page.omitted)

    async def keys(self, call: Call, command: ListKeys) -> list[Row]:
        """The keys of a namespace in order, each with its version and its SHA-256."""
        _require(call, Permission.STATE_READ, command)
        start = f"{command.namespace}/{command.prefix}"
        low = start if command.after is None else max(start, f"{command.namespace}/{command.after}")
        return await self._database.fetch_all(
            "state_keys", low=low, high=after_all(start), now=self._context.clock(), limit=command.limit
        )

    async def namespaces(self, call: Call) -> list[NamespaceView]:
        """Every namespace with its number of documents and their bytes."""
        call.actor.require(Permission.STATE_READ)
        query = Query("namespaces").where("namespaces_within", **_within(call))
        given = {"within": "", "now": self._context.clock(), "counted": NAMESPACE_COUNTED_MAX}
        parameters = given | dict(query.parameters)
        rows = await self._database.fetch_all(query.statement, filters=query.filters, **parameters)
        told = [namespace_view(row, NAMESPACE_COUNTED_MAX) for row in rows]
        return [one for one in told if one.documents]

    async def _plan_set(self, call: Call, command: SetDocument) -> Planned[SetDocument]:
        call.actor.scope.require_namespace(command.namespace)
        _require_copied(call, command)
        base_version = command.base_version
        if base_version is None and len(command.value or "") <= CHEAP_STEPS_MAX:
            return Planned(command)
        read = await self._read(command)
        if read is None or (base_version or 0) > read.version:
            return Planned(command)  # the transaction says why not, or makes the document
        base = None
        if base_version is not None and base_version < read.version:
            base = Read(base_version, (await self._version(command, base_version))["value"])
        return Planned(command, await _computed(read, plan_set, command, read, base))

    async def _plan_patch(self, call: Call, command: PatchDocument) -> Planned[PatchDocument]:
        call.actor.scope.require_namespace(command.namespace)
        read = await self._read(command)
        if read is None:
            return Planned(command)
        return Planned(command, await _computed(read, plan_patch, command, read))

    async def _plan_restore(self, call: Call, command: RestoreDocument) -> Planned[RestoreDocument]:
        call.actor.scope.require_namespace(command.namespace)
        try:
            value = RawJson((await self._version(command, command.version))["value"])
        except NotFound:
            return Planned(command)  # the transaction says which versions there are
        read = await self._read(command)
        if read is None:
            return Planned(command, Plan(0, value, None, None, 0))
        delta = await asyncio.to_thread(delta_of, read, value)
        return Planned(command, Plan(read.version, value, None, delta, 0))

    async def _read(self, command: SetDocument | PatchDocument | RestoreDocument) -> Read | None:
        """The value that the document has now, if any, and if a change of it is still wanted."""
        read = left_behind(command) or await self._stored(command)
        return None if read is None or command.expected_version not in (None, read.version) else read

    async def _stored(self, document: Addressed) -> Read | None:
        row = await self._database.fetch_one("document_current", id=document_id(document.namespace, document.key))
        gone = row is None or row["deleted"] or _is_expired(row, self._context.clock())
        return None if gone or row is None else Read(row["version"], row["value"], row["author"], row["updated_at"])

    async def _version(self, document: Addressed, version: int) -> Row:
        namespace, key = document.namespace, document.key
        id_ = document_id(namespace, key)
        row = await self._database.fetch_one("document_at_version", id=id_, version=version)
        if row is None:
            raise NotFound(
                f"{named(document_id(namespace, key))} has no version {version}.",
                next=f"See state_history(namespace={quoted(namespace)}, key={quoted(key)}).",
                details={"namespace": namespace, "key": key, "version": version},
            )
        if row["value"] is not None:
            return row
        chain = await self._database.fetch_all("version_chain", id=id_, version=version, limit=KEYFRAME_EVERY)
        return dict(row) | {"value": rebuild(chain)}


async def _computed(read: Read, plan: Callable[[*Args], Plan], *args: *Args) -> Plan:
    """What was planned, be it the refusal of what was read."""
    try:
        return await asyncio.to_thread(plan, *args)
    except (Conflict, ValidationFailed) as refusal:
        return refused(read, refusal)


def _listed(command: FindDocuments, now: Micros) -> tuple[Query, tuple[str, ...], str]:
    """The list that is in an order in which it can be read from where it begins, what its cursor holds, and the filter
    that goes on from there."""
    start = command.prefix or ""
    if command.namespace is not None:
        start = f"{command.namespace}/{start}"
    given: tuple[tuple[str, Any], ...] = (("now", now),)
    if command.deleted:
        query = _begun(Query("state_deleted", parameters=given), command, start)
        return query.where("document_tag", document_tag=command.tag), ("id",), "document_after"
    if command.tag is not None:
        query = Query("state_tagged", parameters=(*given, ("document_tag", command.tag)))
        return _begun(query, command, start), ("id",), "document_tagged_after"
    if start and command.namespace is None:
        bounds = (("low", start), ("high", after_all(start)))
        return Query("state_keyed", parameters=(*given, *bounds)), ("key", "id"), "document_key_after"
    return _begun(Query("state_find", parameters=given), command, start), ("id",), "document_after"


def _begun(query: Query, command: FindDocuments, start: str) -> Query:
    """A list with what begins so alone: its id within a namespace, else its key."""
    if not start:
        return query
    way = "document_prefix" if command.namespace is None else "document_range"
    return query.where(way, range_low=start, range_high=after_all(start))


_PLACES = {
    "document_after": ("document_after",),
    "document_key_after": ("after_key", "after_id"),
    "document_tagged_after": ("document_after",),
}


def _require(call: Call, permission: Permission, document: Addressed | ListKeys) -> None:
    call.actor.require(permission)
    call.actor.scope.require_namespace(document.namespace)


def _require_copied(call: Call, command: SetDocument) -> None:
    """Who copies a document reads it."""
    copied = command.copied()
    if copied is not None:
        _require(call, Permission.STATE_READ, copied)


def _within(call: Call) -> dict[str, Any]:
    prefix, is_open = call.actor.scope.namespaces()
    return {"within": prefix, "is_open": is_open}


def _is_expired(row: Row, now: int) -> bool:
    return row["expires_at"] is not None and row["expires_at"] <= now
