"""Transaction functions of versioned documents."""

import json
from typing import Any, NamedTuple

from mcp_server.domain.state.commands import Addressed, PatchDocument, RestoreDocument, SetDocument
from mcp_server.domain.state.deltas import KEYFRAME_EVERY, WORTHWHILE_BYTES_MIN, encode, rebuild
from mcp_server.domain.state.model import Document, document_id, no_version
from mcp_server.kernel.errors import Conflict, ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, check_json
from mcp_server.kernel.json_tools import differences, three_way_merge
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND

_DIFFERENCES_MAX = 50


class Written(NamedTuple):
    """The document's head, and whether others' changes were merged in; None where that was not asked for."""

    document: Document
    merged: bool | None = None


def set_value(tx: Transaction, origin: Origin, command: SetDocument) -> Written:
    """Write the next version; with a base version, merge with what others wrote since. Or take the value away.

    Raises:
        Conflict: not at the expected version, or both sides changed the same paths.
        NotFound: there is no value to take away.
    """
    document = _load(tx, command)
    if command.delete:
        return _deleted(tx, origin, document, command)
    value, merged = command.value, None
    if command.base_version is not None:
        value, merged = _merged(tx, document, command.base_version, command.value, origin.at)
    _require_version(tx, document, command.expected_version, value, origin.at)
    change = document.written(value, "set", command.ttl_seconds, command.tags, origin)
    return Written(_write(tx, origin, document, value, command.note, change), merged)


def patch(tx: Transaction, origin: Origin, command: PatchDocument) -> Written:
    """Change the current value by a merge patch or a JSON patch. What a patch does not say, such as when the document
    expires, stays as it was.

    Raises:
        NotFound: a JSON patch for a document that has no value.
        ValidationFailed: the patch does not fit the value.
    """
    document = _load(tx, command)
    if command.json_patch is not None:
        document.require_live(origin.at)
    _require_version(tx, document, command.expected_version, None, origin.at)
    live = document.is_live(origin.at)
    current = json.loads(_value_at(tx, document, document.version)) if live else None
    value = check_json(command.applied(current), "patched document")
    left = (document.expires_at - origin.at) / SECOND if live and document.expires_at is not None else None
    change = document.written(value, "patched", left, None, origin)
    return Written(_write(tx, origin, document, value, command.note, change))


def restore(tx: Transaction, origin: Origin, command: RestoreDocument) -> Written:
    """Write an earlier version's value as the next version; nothing is rewritten.

    Raises:
        NotFound: no such version.
    """
    document = _load(tx, command)
    _require_version(tx, document, command.expected_version, None, origin.at)
    value = _value_at(tx, document, command.version)
    note = command.note or f"restored from version {command.version}"
    change = document.written(value, "restored", None, None, origin)
    return Written(_write(tx, origin, document, value, note, change))


def expire(tx: Transaction, origin: Origin) -> int:
    """Mark documents whose time is over as deleted; their history stays. Returns how many."""
    rows = tx.all("expired_documents", now=origin.at, limit=100)
    for row in rows:
        head = tx.one("document_for_update", id=row["id"]) or {}
        tx.record(origin, Event("document.expired", "document", row["id"], head["version"], {"deleted": 1}))
    return len(rows)


def _load(tx: Transaction, command: Addressed) -> Document:
    row = tx.one("document_for_update", id=document_id(command.namespace, command.key))
    return Document.absent(command.namespace, command.key) if row is None else Document.adopt(row)


def _deleted(tx: Transaction, origin: Origin, document: Document, command: SetDocument) -> Written:
    document.require_live(origin.at)
    _require_version(tx, document, command.expected_version, None, origin.at)
    new, event = document.removed(origin.actor, origin.at)
    tx.record(origin, event)
    return Written(new)


def _write(
    tx: Transaction, origin: Origin, before: Document, value: RawJson, note: str | None, change: tuple[Document, Event]
) -> Document:
    new, event = change
    tx.record(origin, event)
    tx.run(
        "version_insert",
        document_id=new.id,
        version=new.version,
        value=value,
        sha256=new.sha256,
        bytes=new.bytes,
        author=new.author,
        at=origin.at,
        note=note,
    )
    _compact(tx, before, value)
    return new


def _compact(tx: Transaction, before: Document, value: RawJson) -> None:
    """Keep the version before as its difference from the new one, where that pays. Keyframes stay whole."""
    if before.bytes < WORTHWHILE_BYTES_MIN or before.version % KEYFRAME_EVERY == 0:
        return
    delta = encode(_value_at(tx, before, before.version), value)
    if delta is not None:
        tx.run("version_compact", id=before.id, version=before.version, delta=delta)


def _value_at(tx: Transaction, document: Document, version: int) -> RawJson:
    rows = tx.all("version_chain", id=document.id, version=version, limit=KEYFRAME_EVERY)
    text = rebuild(rows) if rows and rows[0]["version"] == version else None
    if text is None:
        raise no_version(document, version)
    return RawJson(text)


def _require_version(tx: Transaction, document: Document, expected: int | None, mine: RawJson | None, now: int) -> None:
    try:
        document.require_version(expected, now)
    except Conflict as conflict:
        if document.is_live(now):
            theirs = json.loads(_value_at(tx, document, document.version))
            conflict.details["current_value"] = theirs
            if mine is not None:
                conflict.details["differences"] = _difference_list(theirs, json.loads(mine))
        raise


def _difference_list(theirs: Any, mine: Any) -> list[dict[str, Any]]:
    changes = differences(theirs, mine)[:_DIFFERENCES_MAX]
    return [change.model_dump(include={"op", "path"}) for change in changes]


def _merged(tx: Transaction, document: Document, base_version: int, mine: RawJson, now: int) -> tuple[RawJson, bool]:
    document.require_live(now)
    if base_version > document.version:
        raise ValidationFailed(
            f"base_version {base_version} is newer than {named(document.id)}, which is at version {document.version}.",
            next="Read the document again and send the version you started from.",
        )
    if base_version == document.version:
        return mine, False
    base = json.loads(_value_at(tx, document, base_version))
    theirs = json.loads(_value_at(tx, document, document.version))
    value, clashes = three_way_merge(base, theirs, json.loads(mine))
    if clashes:
        raise Conflict(
            f"Both sides changed the same parts of {named(document.id)} since version {base_version}: "
            f"{', '.join(named(path) if path else 'the whole document' for path in clashes[:10])}.",
            next=f"Decide these by hand and call again with base_version={document.version}.",
            details={"clashes": clashes, "current_version": document.version, "current_value": theirs},
        )
    return check_json(value, "merged document"), True
