"""Keys: rules only. A key's text is known to its holder alone; what is stored is its SHA-256."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from mcp_server.domain.people.commands import FROM_FILE, CreateKey, HolderKind, KeyHash
from mcp_server.domain.people.refusals import from_the_file, not_as_it_was, not_live
from mcp_server.kernel.authority import Actor, Permission, Role, Scope
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration

KeyState = Literal["live", "expired", "revoked", "disabled"]


class Key(Record):
    """A key: whose it is, what narrows it, and until when it counts. JSON columns stay text.

    Attributes:
        sha256: of the text that its holder has.
        old_sha256: of the text before that, which counts until `old_until`.
        source: `file`, where it was taken over from a token file.
    """

    id: str
    holder_kind: HolderKind
    holder_id: str
    name: str | None
    role: str | None
    permissions: str | None
    toolsets: str | None
    agent: str | None
    namespace: str | None
    sha256: str
    old_sha256: str | None
    old_until: Micros | None
    source: str | None
    expires_at: Micros | None
    revoked_at: Micros | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    version: int

    @staticmethod
    def created(command: CreateKey, stored: KeyHash, origin: Origin) -> tuple["Key", Event]:
        """A new one."""
        seconds = command.expires_in_seconds
        data: dict[str, Any] = {
            "holder_kind": command.kind,
            "holder_id": command.holder,
            "name": command.name,
            "role": command.role.value if command.role else Role.AGENT.value if command.kind == "agent" else None,
            "permissions": _list(command.permissions),
            "toolsets": _list(command.toolsets),
            "agent": command.agent,
            "namespace": command.namespace,
            "sha256": stored.sha256,
            "old_sha256": None,
            "old_until": None,
            "source": stored.source,
            "expires_at": None if seconds is None else origin.at + duration(seconds),
            "revoked_at": None,
            "created_by": origin.actor,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        id_ = origin.new_id("key")
        return Key.adopt({"id": id_, "version": 1} | data), Event("key.created", "key", id_, 1, data, creates=True)

    def rotated(self, sha256: str, grace_seconds: float, seen: int, now: Micros) -> tuple["Key", Event]:
        """With a new text; the one before counts for a while yet.

        Args:
            sha256: of the new text.
            grace_seconds: how long the one before counts.
            seen: the version that one has seen: whoever comes second has not seen the text that it would replace.
            now: the time.

        Raises:
            InvalidTransition: it counts no more, or is one of the token file.
            Conflict: it was changed meanwhile.
        """
        self._require_live(now)
        if self.source == FROM_FILE:
            raise from_the_file(self.id)
        if self.version != seen:
            raise not_as_it_was(self.id)
        old = {"old_sha256": self.sha256, "old_until": now + duration(grace_seconds)}
        changes = {"sha256": sha256} | (old if grace_seconds else {"old_sha256": None, "old_until": None})
        return self._evolved("rotated", changes, now)

    def revoked(self, now: Micros) -> tuple["Key", Event]:
        """It lets nobody in any more, for good.

        Raises:
            InvalidTransition: it does not already.
        """
        if self.revoked_at is not None:
            raise not_live(self.id, "revoked")
        return self._evolved("revoked", {"revoked_at": now, "old_sha256": None, "old_until": None}, now)

    def state(self, now: Micros, user_status: str | None = None) -> KeyState:
        """Whether it counts, given the status of the user whose it is."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "disabled" if user_status == "disabled" else "live"

    def counts_by(self, sha256: str, now: Micros) -> bool:
        """Whether the text of that SHA-256 is its text still."""
        is_old = sha256 == self.old_sha256 and self.old_until is not None and now < self.old_until
        return is_old or sha256 == self.sha256

    def ends_of(self, sha256: str) -> list[Micros]:
        """When the text of that SHA-256, which counts now, counts no more by itself: the earliest, if any."""
        ends = self.expires_at, None if sha256 == self.sha256 else self.old_until
        return [end for end in ends if end is not None]

    def actor(self, user_role: str | None, proof: str | None) -> Actor:
        """Whom it proves by a text of that SHA-256, never more than the user is now."""
        own = user_role if self.holder_kind == "user" else self.role
        allowed = frozenset[Permission]() if own is None else Role(own).permissions
        if self.role is not None:
            allowed &= Role(self.role).permissions
        if self.permissions is not None:
            allowed &= frozenset(json.loads(self.permissions))
        scope = Scope(
            toolsets=None if self.toolsets is None else frozenset(json.loads(self.toolsets)),
            agent=self.agent,
            namespace=self.namespace,
        )
        who = {"kind": self.holder_kind, "id": self.holder_id, "permissions": allowed, "scope": scope}
        return Actor.model_validate({**who, "key_id": self.id, "proof": proof})

    def _require_live(self, now: Micros) -> None:
        state = self.state(now)
        if state != "live":
            raise not_live(self.id, state)

    def _evolved(self, what: str, changes: dict[str, Any], now: Micros) -> tuple["Key", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(f"key.{what}", "key", self.id, version, data)


def _list(words: Sequence[str] | None) -> RawJson | None:
    return None if words is None else RawJson(dump_json(sorted(map(str, set(words)))))
