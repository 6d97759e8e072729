"""State: versioned JSON documents."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, StringConstraints

from mcp_server.kernel.errors import Conflict, NotFound, OpsError, ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, RawJson, check_text, dump_json, sha256_text
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.near import did_you_mean
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration, iso

DOCUMENT_BYTES_MAX = INPUT_BYTES_MAX


def _key(text: str) -> str:
    check_text(text, "key")
    return text


Namespace = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Meant("a word of up to 64 letters, digits and . _ - without slashes, which belong into the key", "notes"),
]
Key = Annotated[
    str, StringConstraints(min_length=1, max_length=512), AfterValidator(_key), Meant("the key of a document", "today")
]


class Document(Record):
    """The aggregate: the head of one document. Values live with their versions."""

    id: str
    namespace: str
    key: str
    version: int
    sha256: str
    bytes: int
    author: str
    tags: str
    expires_at: Micros | None
    deleted: int
    created_at: Micros
    updated_at: Micros

    @staticmethod
    def absent(namespace: str, key: str) -> "Document":
        """The document before its first version."""
        fields: dict[str, Any] = {
            "id": document_id(namespace, key),
            "namespace": namespace,
            "key": key,
            "version": 0,
            "sha256": "",
            "bytes": 0,
            "author": "",
            "tags": "[]",
            "expires_at": None,
            "deleted": 1,
            "created_at": 0,
            "updated_at": 0,
        }
        return Document.adopt(fields)

    def is_live(self, now: Micros) -> bool:
        """Whether the document has a value now: written, not deleted, not expired."""
        return not self.deleted and (self.expires_at is None or self.expires_at > now)

    def written(
        self, value: RawJson, how: str, ttl_seconds: float | None, tags: Sequence[str] | None, origin: Origin
    ) -> tuple[Self, Event]:
        """The next version, holding `value`; None leaves the tags as they are, and the document without an end."""
        now = origin.at
        changes: dict[str, Any] = {
            "sha256": sha256_text(value),
            "bytes": len(value.encode("utf-8")),
            "author": origin.actor,
            "tags": RawJson(self.tags if tags is None else dump_json(list(tags))),
            "expires_at": None if ttl_seconds is None else now + duration(ttl_seconds),
            "deleted": 0,
            "updated_at": now,
        }
        if self.version == 0:
            changes |= {"namespace": self.namespace, "key": self.key, "created_at": now}
        version = self.version + 1
        new = self.evolved(changes | {"version": version})
        return new, Event(f"document.{how}", "document", self.id, version, changes, creates=self.version == 0)

    def righted(self, basis: Micros, now: Micros) -> tuple[Self, Event]:
        """Changed last by a clock that was ahead: what it says of its end counts from now, where it counted from that.

        Args:
            basis: when its end was set.
            now: the current time.
        """
        changes: dict[str, Any] = {"updated_at": now}
        if self.expires_at is not None and basis > now:
            changes["expires_at"] = now + self.expires_at - basis
        return self.evolved(changes), Event("document.righted", "document", self.id, self.version, changes)

    def removed(self, author: str, now: Micros) -> tuple[Self, Event]:
        """Without a value from now on; its versions stay, and restoring one brings it back."""
        changes: dict[str, Any] = {"author": author, "deleted": 1, "updated_at": now}
        return self.evolved(changes), Event("document.deleted", "document", self.id, self.version, changes)

    def require_version(
        self, expected: int | None, now: Micros, note_of: Callable[[], str | None], *, whole: bool
    ) -> None:
        """Compare-and-set: refuse the write when the document is not at `expected` (0: must not exist).

        Args:
            expected: the version that the caller knows; None takes any.
            now: the current time.
            note_of: what the author of the current version noted, which is looked up for a refusal alone.
            whole: whether a whole value is to be written, which may be merged with another's.

        Raises:
            Conflict: naming the current version, its author and that note.
        """
        current = self.version if self.is_live(now) else 0
        if expected is None or expected == current:
            return
        raise version_conflict(self, expected, current, note_of() if current else None, whole=whole)

    def require_live(self, now: Micros) -> None:
        """Refuse to work on a document that has no value now.

        Raises:
            NotFound: never written, deleted or expired.
        """
        if not self.is_live(now):
            raise gone_document(self.fields(), None) if self.version else no_document(self.namespace, self.key)


def document_id(namespace: str, key: str) -> str:
    """How events name a document."""
    return f"{namespace}/{key}"


def no_document(namespace: str, key: str, alike: Sequence[str] = ()) -> OpsError:
    """The refusal for a document that has no value; and those that are called nearly so."""
    return NotFound(
        f"There is no document {named(document_id(namespace, key))}.",
        next=f"{did_you_mean(alike)}state_set makes it; state_find(namespace={quoted(namespace)}) lists what there is.",
        details={"namespace": namespace, "key": key},
    )


def _ended(head: Mapping[str, Any]) -> str:
    """How a document that has no value any more lost it, as its head tells."""
    if _was_deleted(head):
        return f"was deleted by {named(head['author'])} at {iso(head['updated_at'])}"
    return f"has expired at {iso(head['expires_at'])}"


def _was_deleted(head: Mapping[str, Any]) -> bool:
    """Whether somebody took its value away; else its time is over."""
    return bool(head["deleted"]) and (head["expires_at"] is None or head["updated_at"] >= head["expires_at"])


def _noted(note: str | None) -> str:
    """The note of a version; not with what was wrong, which stands in the log."""
    return "" if note is None else f"Its note: {quoted(note)}. "


def changed(by: str, at: Micros) -> dict[str, Any]:
    """Who made a document what it is, as the details of refusals tell it."""
    return {"changed_by": by, "changed_at": iso(at)}


class Standing(NamedTuple):
    """Where a document stands: its version, 0 without a value, and in words since when and by whom."""

    version: int
    told: str


def standing(head: Mapping[str, Any] | None, now: Micros) -> Standing:
    """Where a document stands, from its head."""
    if head is None:
        return Standing(0, "was never written")
    if head["deleted"] or (head["expires_at"] is not None and head["expires_at"] <= now):
        return Standing(0, _ended(head))
    version = head["version"]
    return Standing(version, f"is at version {version}, written by {head['author']} at {iso(head['updated_at'])}")


def gone_document(row: Mapping[str, Any], note: str | None) -> OpsError:
    """The refusal for a document whose value was taken away, or whose time is over.

    Args:
        row: its head.
        note: why it was deleted, where that was said.
    """
    namespace, key, version = row["namespace"], row["key"], row["version"]
    back = f"namespace={quoted(namespace)}, key={quoted(key)}, version={version}"
    return NotFound(
        f"The document {named(document_id(namespace, key))} {_ended(row)}; its last version is {version}.",
        next=f"{_noted(note)}state_restore({back}) brings it back.",
        details={"namespace": namespace, "key": key, "version": version, "deleted": True}
        | ({} if note is None else {"note": note}),
    )


def no_version(document: Document, version: int) -> OpsError:
    """The refusal for a version that was never written."""
    if document.version == 0:
        return no_document(document.namespace, document.key)
    return NotFound(
        f"{named(document.id)} has no version {version}; its versions are 1 to {document.version}.",
        next=f"See state_history(namespace={quoted(document.namespace)}, key={quoted(document.key)}).",
        details={"namespace": document.namespace, "key": document.key, "current_version": document.version},
    )


def require_base(document: Document, base_version: int) -> None:
    """Refuse to merge from a version that is not written yet.

    Raises:
        ValidationFailed: naming the newest.
    """
    if base_version > document.version:
        raise ValidationFailed(
            f"base_version {base_version} is newer than {named(document.id)}, which is at version {document.version}.",
            next="Read the document again and send the version you started from.",
        )


def version_conflict(document: Document, expected: int, current: int, note: str | None, *, whole: bool) -> Conflict:
    """The refusal of a compare-and-set; the caller adds the current value and the differences."""
    if not current:
        return _nothing_to_compare(document, expected)
    return Conflict(
        f"You expected version {expected}, but {named(document.id)} is at version {current}, written by "
        f"{document.author} at {iso(document.updated_at)}.",
        next=f"{_noted(note)}`current_value` is theirs. {_again(expected, current, whole=whole)}.",
        details={"expected_version": expected, "current_version": current}
        | changed(document.author, document.updated_at)
        | ({} if note is None else {"current_note": note}),
    )


def _again(expected: int, current: int, *, whole: bool) -> str:
    """How the very call that was refused is made now."""
    if not whole:
        return f"This same call with expected_version={current} is made on theirs"
    again = f"This same call with expected_version={current} replaces theirs"
    merged = f"with merge=true, base_version={expected} in its place, your value is merged with theirs"
    return f"{again}; {merged}" if 0 < expected < current else again


def _nothing_to_compare(document: Document, expected: int) -> Conflict:
    """The refusal of a compare-and-set with a document that has no value."""
    version, head = document.version, document.fields()
    how = f"{_ended(head)}; its last version is {version}" if version else "was never written"
    by = changed(document.author, document.updated_at) if version and _was_deleted(head) else {}
    back = f"; state_restore(version={version}) brings back what it held" if version else ""
    return Conflict(
        f"You expected version {expected}, but {named(document.id)} does not exist: it {how}.",
        next=f"Call again with expected_version=0, which makes it{back}.",
        details={"expected_version": expected, "current_version": 0}
        | ({"last_version": version} if version else {})
        | by,
    )
