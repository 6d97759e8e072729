"""Transaction functions of versioned documents."""

import json
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple

from mcp_server.domain.state.commands import Addressed, PatchDocument, RestoreDocument, SetDocument
from mcp_server.domain.state.deltas import KEYFRAME_EVERY, WORTHWHILE_BYTES_MIN, rebuild
from mcp_server.domain.state.model import Document, document_id, no_version, require_base
from mcp_server.domain.state.plans import CHEAP_STEPS_MAX, Plan, Planned, Read, delta_of, merge, patched, places
from mcp_server.domain.state.righting import righted
from mcp_server.domain.state.seeming import looks_otherwise, require_no_loss
from mcp_server.domain.state.sides import sides
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.searching import fold_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND, Micros
from mcp_server.kernel.writes import Moved


class Written(NamedTuple):
    """The document's head; whether others' changes were merged in, None where that was not asked for, and where those
    are; another's version that was replaced unasked; of a restored one, which it is again, and when the document was
    to end before, where it was; of a patched one, by what, and its value then; and what a value looks to be that is
    hardly meant."""

    document: Document
    merged: bool | None = None
    others: Sequence[str] = ()
    replaced: Document | None = None
    again: int | None = None
    ended_at: Micros | None = None
    patched: tuple[PatchDocument, RawJson] | None = None
    hint: str | None = None


def set_value(tx: Transaction, origin: Origin, planned: Planned[SetDocument]) -> Written:
    """Write the next version; with a base version, merge with what others wrote since. Or take the value away.

    Raises:
        Conflict: not at the expected version, or both sides changed the same paths.
        NotFound: there is no value to take away, or to copy.
        Moved: what was planned rests on another version.
    """
    command = _with_copied(tx, origin, planned.command)
    document = _load(tx, command)
    if command.delete:
        return _deleted(tx, origin, document, command)
    _require_version(tx, document, command.expected_version, command.value, origin.at)
    hint = None if planned.command.copy_of is not None else _looks_otherwise(tx, document, command, origin.at)
    value, merged, others, plan = command.value, None, (), _usable(document, planned.plan, origin.at)
    if command.base_version is not None:
        if plan is not None:
            value, merged, others = plan.value, plan.merged, plan.others
        else:
            _require_cheap(planned.plan)
            value, merged, others = _merged(tx, document, command, origin.at)
    change = document.written(value, "set", command.ttl_seconds, command.tags, origin)
    replaced = _replaced(document, command.base_version or command.expected_version, origin)
    head = _write(tx, origin, document, value, command.note, change, plan)
    ended_at = _was_to_end_at(document, head, origin.at)
    return Written(head, merged, others, replaced, ended_at=ended_at, hint=hint)


def _looks_otherwise(tx: Transaction, document: Document, command: SetDocument, now: Micros) -> str | None:
    """What the value looks to be that is hardly meant; refused where an object or a list would be lost by it."""
    looks = looks_otherwise(command.value or "")
    if looks is None:
        return None
    if document.is_live(now):
        address = {"namespace": document.namespace, "key": document.key}
        require_no_loss(address, str(command.value), looks, json.loads(_value_at(tx, document, document.version)))
    return f"value is {looks}."


def _with_copied(tx: Transaction, origin: Origin, command: SetDocument) -> SetDocument:
    """A copy as the writing that it comes to: of the value as calls before in the same transaction have left it."""
    copied = command.copied()
    if copied is None:
        return command
    source = _load(tx, copied)
    source.require_live(origin.at)
    note = f"copy of {source.id} at version {source.version}"
    return command.holding(_value_at(tx, source, source.version), note)


def _was_to_end_at(before: Document, after: Document, now: Micros) -> Micros | None:
    """When a document was to expire that stays now."""
    return before.expires_at if before.is_live(now) and after.expires_at is None else None


def patch(tx: Transaction, origin: Origin, planned: Planned[PatchDocument]) -> Written:
    """Change the current value by a merge patch or a JSON patch. What a patch does not say, such as when the document
    expires, stays as it was.

    Raises:
        NotFound: a JSON patch for a document that has no value.
        ValidationFailed: the patch does not fit the value.
        LimitExceeded: it takes too many steps.
        Moved: what was planned rests on another version.
    """
    command = planned.command
    document = righted(tx, origin, _load(tx, command))
    if command.json_patch is not None:
        document.require_live(origin.at)
    _require_version(tx, document, command.expected_version, None, origin.at)
    live, plan = document.is_live(origin.at), _usable(document, planned.plan, origin.at)
    if plan is not None:
        value = plan.value
    else:
        _require_cheap(planned.plan)
        value, _ = patched(command, _read(tx, document) if live else None)
    left = (document.expires_at - origin.at) / SECOND if live and document.expires_at is not None else None
    new, event = document.written(value, "patched", left, None, origin)
    event = event._replace(data={**event.data, "changed_paths": places(command)})
    return Written(_write(tx, origin, document, value, command.note, (new, event), plan), patched=(command, value))


def restore(tx: Transaction, origin: Origin, planned: Planned[RestoreDocument]) -> Written:
    """Write an earlier version's value as the next version; nothing is rewritten.

    Raises:
        NotFound: no such version.
    """
    command, plan = planned
    document = _load(tx, command)
    _require_version(tx, document, command.expected_version, None, origin.at)
    value = _value_at(tx, document, command.version) if plan is None else plan.value
    note = command.note or f"restored from version {command.version}"
    change = document.written(value, "restored", None, None, origin)
    replaced = _replaced(document, command.expected_version, origin)
    head = _write(tx, origin, document, value, note, change, plan)
    return Written(head, replaced=replaced, again=command.version, ended_at=document.expires_at)


def expire(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Mark a document whose time is over as deleted; its history stays."""
    head = tx.one("document_for_update", id=row["id"]) or {}
    tx.record(origin, Event("document.expired", "document", row["id"], head["version"], {"deleted": 1}))


def _load(tx: Transaction, command: Addressed) -> Document:
    row = tx.one("document_for_update", id=document_id(command.namespace, command.key))
    return Document.absent(command.namespace, command.key) if row is None else Document.adopt(row)


def _deleted(tx: Transaction, origin: Origin, document: Document, command: SetDocument) -> Written:
    document.require_live(origin.at)
    _require_version(tx, document, command.expected_version, None, origin.at)
    new, event = document.removed(origin.actor, origin.at)
    _tell(tx, origin, event, command.note)
    return Written(new, replaced=_replaced(document, command.expected_version, origin))


def _replaced(before: Document, known: int | None, origin: Origin) -> Document | None:
    """The version before, where another wrote it and the caller did not say that it knew of it."""
    is_anothers = known is None and before.is_live(origin.at) and before.author != origin.actor
    return before if is_anothers else None


def _usable(document: Document, plan: Plan | None, now: int) -> Plan | None:
    """The plan, where the document still is what it rests on.

    Raises:
        OpsError: the refusal that it came to; as a copy, since each place that it goes through writes into it.
    """
    if plan is None or plan.version != document.version or not document.is_live(now):
        return None
    if plan.refusal is not None:
        raise copy(plan.refusal)
    return plan


def _require_cheap(plan: Plan | None) -> None:
    """Have planned again what would hold up everyone else's writes."""
    if plan is not None and plan.steps > CHEAP_STEPS_MAX:
        raise Moved


def _write(
    tx: Transaction,
    origin: Origin,
    before: Document,
    value: RawJson,
    note: str | None,
    change: tuple[Document, Event],
    plan: Plan | None,
) -> Document:
    new, event = change
    _tell(tx, origin, event, note)
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
    tx.keep_text("document", new.id, fold_json(value), new=before.version == 0)
    _compact(tx, before, value, plan)
    return new


def _tell(tx: Transaction, origin: Origin, event: Event, note: str | None) -> None:
    """Record an event, with why it came about where its author says so: no column of the head holds that."""
    tx.fold(event)
    tx.append(origin, event if note is None else event._replace(data={**event.data, "note": note}))


def _compact(tx: Transaction, before: Document, value: RawJson, plan: Plan | None) -> None:
    """Keep the version before as its difference from the new one, where that pays and the plan or little work tells."""
    if plan is not None and plan.version == before.version:
        delta = plan.delta
    elif before.bytes < WORTHWHILE_BYTES_MIN or before.bytes + len(value) > CHEAP_STEPS_MAX:
        delta = None
    else:
        delta = delta_of(_read(tx, before), value)
    if delta is not None:
        tx.run("version_compact", id=before.id, version=before.version, delta=delta)


def _read(tx: Transaction, document: Document) -> Read:
    value = _value_at(tx, document, document.version)
    return Read(document.version, value, document.author, document.updated_at)


def _value_at(tx: Transaction, document: Document, version: int) -> RawJson:
    text = _kept_at(tx, document, version)
    if text is None:
        raise no_version(document, version)
    return RawJson(text)


def _kept_at(tx: Transaction, document: Document, version: int) -> str | None:
    rows = tx.all("version_chain", id=document.id, version=version, limit=KEYFRAME_EVERY)
    return rebuild(rows) if rows and rows[0]["version"] == version else None


def _require_version(tx: Transaction, document: Document, expected: int | None, mine: RawJson | None, now: int) -> None:
    try:
        document.require_version(expected, now, partial(_note_of, tx, document), whole=mine is not None)
    except Conflict as conflict:
        if document.is_live(now):
            known = 0 < (expected or 0) < document.version
            base = _kept_at(tx, document, expected or 0) if known and mine is not None else None
            conflict.explain_later(partial(sides, _value_at(tx, document, document.version), mine, base))
        raise


def _note_of(tx: Transaction, document: Document) -> str | None:
    """What the author of the current version noted."""
    row = tx.one("document_at_version", id=document.id, version=document.version)
    return None if row is None else row["note"]


def _merged(tx: Transaction, document: Document, command: SetDocument, now: int) -> tuple[RawJson, bool, Sequence[str]]:
    document.require_live(now)
    base_version = command.base_version or 0
    require_base(document, base_version)
    if base_version == document.version:
        return command.value, False, ()
    value, others = merge(command, _value_at(tx, document, base_version), _read(tx, document))
    return value, True, others
