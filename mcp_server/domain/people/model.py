"""Users and keys: rules only. A key's text is known to its holder alone; what is stored is its SHA-256."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from mcp_server.domain.people.refusals import from_the_file, not_as_it_was, not_live, same_status
from mcp_server.kernel.addresses import check_address
from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Actor, Permission, Role, Scope
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, check_line, dump_json
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration
from mcp_server.kernel.values import Frozen, Line, Seconds

UserStatus = Literal["enabled", "disabled"]
HolderKind = Literal["user", "agent"]
KeyState = Literal["live", "expired", "revoked", "disabled"]
FROM_FILE = "file"
"""What a key comes from that was taken over from a token file."""


def _holder(text: str) -> str:
    check_line(text, "name")
    if not text.isprintable():
        raise ValidationFailed("A name holds no characters that nobody sees.")
    return text


Holder = Annotated[str, Field(pattern=r"^[^\s:@]{1,64}$"), AfterValidator(_holder)]
"""The name of a user; of an agent, its name or its id. An address is no name: it names a mailbox."""

Mailbox = Annotated[str, Field(max_length=320), AfterValidator(check_address)]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class AddUser(Frozen):
    """Somebody may use this server."""

    name: Holder
    role: Role = Role.OPERATOR
    display_name: Line | None = None
    address: Mailbox | None = None


class ChangeUser(Frozen):
    """What is said of a user is changed; what is not given stays, and an empty text takes away."""

    name: str
    role: Role | None = None
    display_name: Line | Literal[""] | None = None
    address: Mailbox | Literal[""] | None = None


class CreateKey(Frozen):
    """A new key for a user or an agent, no wider than the holder's role.

    Attributes:
        role: of an agent; of a user's key, a lesser one than the user's.
        permissions: those alone of the role's; None for all of them.
        toolsets: those alone; None for all.
        agent: the only agent that a user's key speaks as.
        namespace: the prefix of the namespaces of state that it reaches.
    """

    kind: HolderKind
    holder: Holder
    name: Line | None = None
    role: Role | None = None
    permissions: tuple[Permission, ...] | None = Field(default=None, min_length=1)
    toolsets: tuple[Toolset, ...] | None = Field(default=None, min_length=1)
    agent: Holder | None = None
    namespace: Prefix | None = None
    expires_in_seconds: Seconds | None = None


class KeyHash(NamedTuple):
    """What is stored of a key's text, and where it came from."""

    sha256: str
    source: str | None = None


class User(Record):
    """A person who uses this server: a role, and a profile."""

    id: str
    role: str
    status: UserStatus
    display_name: str | None
    address: str | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    version: int

    @staticmethod
    def added(command: AddUser, origin: Origin) -> tuple["User", Event]:
        """A new one."""
        data: dict[str, Any] = {
            "role": command.role.value,
            "status": "enabled",
            "display_name": command.display_name,
            "address": command.address,
            "created_by": origin.actor,
            "created_at": origin.at,
            "updated_at": origin.at,
        }
        event = Event("user.added", "user", command.name, 1, data, creates=True)
        return User.adopt({"id": command.name, "version": 1} | data), event

    def changed_by(self, command: ChangeUser, now: Micros) -> tuple["User", Event | None]:
        """With another role or profile; no event where nothing is another."""
        said = {
            "role": command.role.value if command.role else None,
            "display_name": command.display_name,
            "address": command.address,
        }
        wanted = {name: value or None for name, value in said.items() if value is not None}
        changes = {name: value for name, value in wanted.items() if getattr(self, name) != value}
        return self._evolved("changed", changes, now) if changes else (self, None)

    def turned(self, status: UserStatus, now: Micros) -> tuple["User", Event]:
        """Let in again, or let in no more.

        Raises:
            InvalidTransition: it is so already.
        """
        if self.status == status:
            raise same_status(self.id, status)
        return self._evolved(status, {"status": status}, now)

    def _evolved(self, what: str, changes: dict[str, Any], now: Micros) -> tuple["User", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(f"user.{what}", "user", self.id, version, data)


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
