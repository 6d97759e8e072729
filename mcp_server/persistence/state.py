"""Transaction functions of versioned documents."""

import json
from typing import Any

from mcp_server.domain.errors import Conflict, NotFound, OpsError, ValidationFailed
from mcp_server.domain.events import Event, Origin
from mcp_server.domain.json_tools import differences, three_way_merge
from mcp_server.domain.state import Document, WriteSpec, document_id, no_document
from mcp_server.domain.state_commands import Patch, Restore, Set
from mcp_server.domain.text_delta import KEYFRAME_EVERY, WORTHWHILE_BYTES_MIN, encode, rebuild
from mcp_server.domain.values import RawJson, check_json
from mcp_server.persistence.transaction import Transaction

_DIFFERENCES_MAX = 50


def set_value(tx: Transaction, origin: Origin, command: Set) -> tuple[dict[str, Any], bool]:
    """Write the next version; with a base version, merge with what others wrote since.

    Returns:
        The document's head, and whether others' changes were merged in.

    Raises:
        Conflict: not at the expected version, or both sides changed the same paths.
    """
    document = _load(tx, command.namespace, command.key)
    value, merged = command.value, False
    if command.base_version is not None:
        value, merged = _merged(tx, document, command.base_version, command.value, origin.at)
    _require_version(tx, document, command.spec, value, origin.at)
    return _write(tx, origin, document, value, command.spec, "set"), merged


def patch(tx: Transaction, origin: Origin, command: Patch) -> dict[str, Any]:
    """Change the current value by a merge patch or a JSON patch.

    Raises:
        NotFound: a JSON patch for a document that has no value.
        ValidationFailed: the patch does not fit the value.
    """
    document = _load(tx, command.namespace, command.key)
    if command.operations is not None:
        document.require_live(origin.at)
    _require_version(tx, document, command.spec, None, origin.at)
    current = json.loads(_value_at(tx, document, document.version)) if document.is_live(origin.at) else None
    value = check_json(command.apply(current), "patched document")
    spec = command.spec
    if spec.ttl_seconds is None and document.expires_at is not None and document.is_live(origin.at):
        # A patch that says nothing of expiry leaves it as it was.
        spec = spec.model_copy(update={"ttl_seconds": (document.expires_at - origin.at) / 1_000_000})
    return _write(tx, origin, document, value, spec, "patched")


def restore(tx: Transaction, origin: Origin, command: Restore) -> dict[str, Any]:
    """Write an earlier version's value as the next version; nothing is rewritten.

    Raises:
        NotFound: no such version.
    """
    document = _load(tx, command.namespace, command.key)
    _require_version(tx, document, command.spec, None, origin.at)
    value = _value_at(tx, document, command.version)
    note = command.spec.note or f"restored from version {command.version}"
    return _write(tx, origin, document, value, command.spec.model_copy(update={"note": note}), "restored")


def delete(tx: Transaction, origin: Origin, namespace: str, key: str, spec: WriteSpec) -> dict[str, Any]:
    """Take a document's value away; its versions stay.

    Raises:
        NotFound: it has no value.
        Conflict: not at the expected version.
    """
    document = _load(tx, namespace, key)
    document.require_live(origin.at)
    _require_version(tx, document, spec, None, origin.at)
    new, event = document.removed(origin.actor, origin.at)
    tx.record(origin, event)
    return new.fields()


def expire(tx: Transaction, origin: Origin) -> int:
    """Mark documents whose time is over as deleted; their history stays. Returns how many."""
    rows = tx.all("expired_documents", now=origin.at, limit=100)
    for row in rows:
        head = tx.one("document_for_update", id=row["id"]) or {}
        tx.record(origin, Event("document.expired", "document", row["id"], head["version"], {"deleted": 1}))
    return len(rows)


def _load(tx: Transaction, namespace: str, key: str) -> Document:
    row = tx.one("document_for_update", id=document_id(namespace, key))
    return Document.absent(namespace, key) if row is None else Document.trusted(row)


def _write(
    tx: Transaction, origin: Origin, document: Document, value: RawJson, spec: WriteSpec, how: str
) -> dict[str, Any]:
    new, event = document.written(value, spec, origin.actor, origin.at, how)
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
        note=spec.note,
    )
    _compact(tx, document, value)
    return new.fields()


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


def no_version(document: Document, version: int) -> OpsError:
    """The refusal for a version that was never written."""
    if document.version == 0:
        return no_document(document.namespace, document.key)
    return NotFound(
        f"{document.id} has no version {version}; its versions are 1 to {document.version}.",
        next=f"See state_history(namespace='{document.namespace}', key='{document.key}').",
        details={"namespace": document.namespace, "key": document.key, "current_version": document.version},
    )


def _require_version(tx: Transaction, document: Document, spec: WriteSpec, mine: RawJson | None, now: int) -> None:
    try:
        document.require_version(spec.expected_version, now)
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
            f"base_version {base_version} is newer than {document.id}, which is at version {document.version}.",
            next="Read the document again and send the version you started from.",
        )
    if base_version == document.version:
        return mine, False
    base = json.loads(_value_at(tx, document, base_version))
    theirs = json.loads(_value_at(tx, document, document.version))
    value, clashes = three_way_merge(base, theirs, json.loads(mine))
    if clashes:
        raise Conflict(
            f"Both sides changed the same parts of {document.id} since version {base_version}: "
            f"{', '.join(path or 'the whole document' for path in clashes[:10])}.",
            next=f"Decide these by hand and call again with base_version={document.version}.",
            details={"clashes": clashes, "current_version": document.version, "current_value": theirs},
        )
    return check_json(value, "merged document"), True
