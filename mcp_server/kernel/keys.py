"""Idempotency keys: whose they are, and what is told of a key that was used for something else."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from mcp_server.kernel.errors import IdempotencyConflict
from mcp_server.kernel.lines import quoted


class Key(NamedTuple):
    """An idempotency key, whose it is, and what was asked for under it; nothing where none was given.

    Attributes:
        idempotency_key: in the caller's words.
        key_owner: the principal, `user:local`; others' keys of the same words are other keys.
        content_hash: SHA-256 of what the key is bound to, as hex.
        content_hash_before: the same as an earlier version made it, which what was asked for then still has.
    """

    idempotency_key: str | None = None
    key_owner: str | None = None
    content_hash: str | None = None
    content_hash_before: str | None = None

    def columns(self) -> dict[str, str | None]:
        """The key as stored columns."""
        return {name: getattr(self, name) for name in ("idempotency_key", "key_owner", "content_hash")}

    def is_bound_to(self, content_hash: str | None) -> bool:
        """Whether that which has this content was asked for in the same words."""
        return content_hash in (self.content_hash, self.content_hash_before)

    def owned_by(self, principal: str) -> Self:
        """The key of a principal; none stays none."""
        return self if self.idempotency_key is None else self._replace(key_owner=principal)


def key_conflict(
    key: str, what: str, earlier_id: str, earlier_title: str | None = None, **ids: str
) -> IdempotencyConflict:
    """The refusal of a key that its principal used for something else, such as another `task`; of what has no id of its
    own, `earlier_id` says where it was, and `ids` name that."""
    called = "" if earlier_title is None else f" ({quoted(earlier_title)})"
    return IdempotencyConflict(
        f"The idempotency key {quoted(key)} was used for another {what}, {earlier_id}{called}.",
        next=f"Use a new key for new content, or repeat the first content to get that {what}.",
        details={"idempotency_key": key} | (ids or {f"{what}_id": earlier_id}),
    )


def owner_of_key(actor: str, type_: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Before idempotency keys belonged to principals, their owner was whoever created what they stand for."""
    del actor, type_
    return {} if data.get("idempotency_key") is None else {"key_owner": data["created_by"]}
