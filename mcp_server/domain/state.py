"""State: versioned JSON documents."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints

from mcp_server.domain.errors import Conflict, NotFound, OpsError
from mcp_server.domain.events import Event
from mcp_server.domain.task_spec import sha256_text
from mcp_server.domain.values import (
    INPUT_BYTES_MAX,
    Frozen,
    Line,
    Micros,
    RawJson,
    Word,
    check_text,
    dump_json,
    duration,
    iso,
)

DOCUMENT_BYTES_MAX = INPUT_BYTES_MAX


def _key(text: str) -> str:
    check_text(text, "key")
    return text


Namespace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_key)]


class WriteSpec(Frozen):
    """What every write to a document may say besides the value."""

    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None
    ttl_seconds: float | None = Field(default=None, gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)
    tags: tuple[Word, ...] | None = Field(default=None, max_length=32)


class Document(Frozen):
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
        return Document.trusted(fields)

    def is_live(self, now: Micros) -> bool:
        """Whether the document has a value now: written, not deleted, not expired."""
        return not self.deleted and (self.expires_at is None or self.expires_at > now)

    def written(self, value: RawJson, spec: WriteSpec, author: str, now: Micros, how: str) -> tuple[Self, Event]:
        """The next version, holding `value`."""
        changes: dict[str, Any] = {
            "sha256": sha256_text(value),
            "bytes": len(value.encode("utf-8")),
            "author": author,
            "tags": RawJson(self.tags if spec.tags is None else dump_json(list(spec.tags))),
            "expires_at": None if spec.ttl_seconds is None else now + duration(spec.ttl_seconds),
            "deleted": 0,
            "updated_at": now,
        }
        if self.version == 0:
            changes |= {"namespace": self.namespace, "key": self.key, "created_at": now}
        version = self.version + 1
        new = self.evolved(changes | {"version": version})
        return new, Event(f"document.{how}", "document", self.id, version, changes, creates=self.version == 0)

    def removed(self, author: str, now: Micros) -> tuple[Self, Event]:
        """Without a value from now on; its versions stay, and restoring one brings it back."""
        changes: dict[str, Any] = {"author": author, "deleted": 1, "updated_at": now}
        return self.evolved(changes), Event("document.deleted", "document", self.id, self.version, changes)

    def require_version(self, expected: int | None, now: Micros) -> None:
        """Compare-and-set: refuse the write when the document is not at `expected` (0: must not exist).

        Raises:
            Conflict: naming the current version and its author.
        """
        current = self.version if self.is_live(now) else 0
        if expected is None or expected == current:
            return
        raise version_conflict(self, expected, current)

    def require_live(self, now: Micros) -> None:
        """Refuse to work on a document that has no value now.

        Raises:
            NotFound: never written, deleted or expired.
        """
        if not self.is_live(now):
            raise no_document(self.namespace, self.key)


def document_id(namespace: str, key: str) -> str:
    """How events name a document."""
    return f"{namespace}/{key}"


def no_document(namespace: str, key: str) -> OpsError:
    """The refusal for a document that has no value."""
    return NotFound(
        f"There is no document {namespace}/{key}.",
        next=f"List what there is: state_find(namespace='{namespace}').",
        details={"namespace": namespace, "key": key},
    )


def version_conflict(document: Document, expected: int, current: int) -> Conflict:
    """The refusal of a compare-and-set; the caller adds the current value and the differences."""
    state = (
        f"is at version {current}, written by {document.author} at {iso(document.updated_at)}"
        if current
        else "does not exist"
    )
    return Conflict(
        f"You expected version {expected}, but {document.id} {state}.",
        next=f"Merge your change into theirs and call again with expected_version={current}.",
        details={"expected_version": expected, "current_version": current},
    )
