"""Who may do what: actors, roles and permissions."""

from enum import StrEnum
from functools import cached_property
from typing import Literal, NamedTuple

from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.lines import quoted
from mcp_server.kernel.values import Frozen


class Permission(StrEnum):
    """One thing an actor may be allowed to do."""

    AGENTS_READ = "agents:read"
    AGENTS_REGISTER = "agents:register"
    AGENTS_CONTROL = "agents:control"
    TASKS_READ = "tasks:read"
    TASKS_CREATE = "tasks:create"
    TASKS_WORK = "tasks:work"
    TASKS_CONTROL = "tasks:control"
    TASKS_APPROVE = "tasks:approve"
    STATE_READ = "state:read"
    STATE_WRITE = "state:write"
    LOCKS_CONTROL = "locks:control"
    EVENTS_READ = "events:read"
    MESSAGES_RECEIVE = "messages:receive"
    MESSAGES_SEND = "messages:send"
    MESSAGES_CONTROL = "messages:control"
    EMAILS_READ = "emails:read"
    EMAILS_SEND = "emails:send"
    EMAILS_CONTROL = "emails:control"
    APPROVALS_READ = "approvals:read"
    APPROVALS_REQUEST = "approvals:request"
    APPROVALS_CONTROL = "approvals:control"
    CALLS_READ = "calls:read"
    CALLS_OPEN = "calls:open"
    CALLS_CONTROL = "calls:control"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_DEFINE = "deployments:define"
    DEPLOYMENTS_APPLY = "deployments:apply"
    DEPLOYMENTS_CONTROL = "deployments:control"
    COMMIT = "commit:write"
    PEOPLE_READ = "people:read"
    PEOPLE_CONTROL = "people:control"


READ_PERMISSIONS = frozenset(p for p in Permission if p.value.endswith(":read")) - {Permission.PEOPLE_READ}
"""What looks at things; who uses this server is not among them."""

ELEVATED = frozenset((Permission.PEOPLE_CONTROL,))
"""What admins alone may: to manage users and keys."""

_EVERYTHING = frozenset(Permission)
_AGENT_PERMISSIONS = READ_PERMISSIONS | {
    Permission.AGENTS_REGISTER,
    Permission.TASKS_CREATE,
    Permission.TASKS_WORK,
    Permission.STATE_WRITE,
    Permission.MESSAGES_RECEIVE,
    Permission.MESSAGES_SEND,
    Permission.EMAILS_SEND,
    Permission.APPROVALS_REQUEST,
    Permission.CALLS_OPEN,
    Permission.DEPLOYMENTS_DEFINE,
    Permission.DEPLOYMENTS_APPLY,
    Permission.COMMIT,
}


class Role(StrEnum):
    """A named set of permissions."""

    ADMIN = "admin"
    OPERATOR = "operator"
    AGENT = "agent"
    VIEWER = "viewer"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role allows."""
        match self:
            case Role.ADMIN:
                return _EVERYTHING
            case Role.OPERATOR:
                return _EVERYTHING - ELEVATED
            case Role.AGENT:
                return _AGENT_PERMISSIONS
            case Role.VIEWER:
                return READ_PERMISSIONS


class Scope(Frozen):
    """What narrows a caller beside its permissions.

    Attributes:
        toolsets: those that it reaches; None for all.
        agent: the only agent, by its id or name, that it speaks as; None for every one that it may speak as.
        namespace: the prefix of the namespaces whose documents it reaches; None for all.
    """

    toolsets: frozenset[str] | None = None
    agent: str | None = None
    namespace: str | None = None

    def has_toolset(self, name: str) -> bool:
        """Whether it reaches a toolset."""
        return self.toolsets is None or name in self.toolsets

    def has_namespace(self, name: str) -> bool:
        """Whether it reaches the documents of a namespace: the prefix itself, and what begins with it and one of
        `. - _`, which a prefix may end with, too."""
        prefix = self.namespace
        if prefix is None or name == prefix:
            return True
        return name.startswith(prefix) and (prefix[-1] in _ENDS_WORDS or name[len(prefix)] in _ENDS_WORDS)

    def namespaces(self) -> tuple[str | None, int]:
        """The prefix for a filter, and 1 where any name that begins with it is reached."""
        prefix = self.namespace
        return prefix, int(prefix is not None and prefix[-1] in _ENDS_WORDS)

    def require_namespace(self, name: str) -> None:
        """Refuse a namespace that it does not reach.

        Raises:
            PermissionDenied: naming the prefix.
        """
        if not self.has_namespace(name):
            raise PermissionDenied(
                f"This key does not reach the namespace {quoted(name, 64)}.",
                next=f"It reaches {self.namespace} and what begins with it; ask for another key for the rest.",
                details={"namespace": name, "prefix": self.namespace},
            )


_ENDS_WORDS = ".-_"
EVERYWHERE = Scope()


class Actor(Frozen):
    """The principal: who calls, as the transport proved it. Never an argument of a tool.

    Attributes:
        kind: a person, an agent with a key of its own, the server, or what the server has deployed.
        id: of the user or the deployment; of the agent, its id or its name.
        permissions: what it may do.
        is_local: whether it is the local user of this process, who needs no key.
        scope: what else narrows it.
        key_id: the key that proved it; None where none did.
        proof: SHA-256 of the text of that key by which it was proved; one that was rotated away proves nothing.
        reach: what else it could do with a token of wider scopes, for which its client can ask.
        until: when what proved it ends by itself, in microseconds since 1970; None where it does not, or a key says so.
    """

    kind: Literal["user", "agent", "system", "deployment"]
    id: str
    permissions: frozenset[Permission]
    is_local: bool = False
    scope: Scope = EVERYWHERE
    key_id: str | None = None
    proof: str | None = None
    reach: frozenset[Permission] = frozenset()
    until: int | None = None

    @cached_property
    def label(self) -> str:
        """`kind:id`, as events and documents name their author."""
        return f"{self.kind}:{self.id}"

    def may(self, permission: Permission) -> bool:
        """Whether the actor has a right."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuse the call unless the actor holds `permission`.

        Raises:
            PermissionDenied: naming the permission and who asked.
        """
        if permission not in self.permissions:
            raise PermissionDenied(
                f"{self.label} lacks the permission {permission.value}.",
                next="Ask the operator of this server for a role that has it.",
                details={"permission": permission.value, "actor": self.label},
            )

    def require_self(self, agent_id: str) -> None:
        """An agent's credential is bound to that agent: it cannot act for another.

        Raises:
            PermissionDenied: when an agent names an agent other than itself.
        """
        if self.kind == "agent" and self.id != agent_id:
            raise PermissionDenied(
                f"{self.label} cannot act for {agent_id}: an agent's credential is bound to that agent.",
                next=f"Call again with agent_id {self.id}.",
                details={"agent_id": agent_id, "actor": self.label},
            )

    def require_person(self) -> None:
        """Approvals are people's: neither an agent nor the server itself answers one.

        Raises:
            PermissionDenied: the actor is not a user.
        """
        if self.kind != "user":
            raise PermissionDenied(
                f"{self.label} is not a person, and only a person may decide on an approval.",
                next="Wait for a person to decide.",
                details={"actor": self.label},
            )

    def narrowed(self, *, read_only: bool) -> "Actor":
        """The same actor, reading only if so asked. Nothing widens an actor again."""
        if not read_only:
            return self
        return self.model_copy(update={"permissions": self.permissions & READ_PERMISSIONS})


class Speaker(NamedTuple):
    """The agent on whose behalf a call is made."""

    agent_id: str
    name: str

    @property
    def label(self) -> str:
        """`agent:scribe`."""
        return f"agent:{self.name}"


VIA = " via "
"""Stands between the speaker and the principal, where those are two. Neither holds a space."""


def principal_of(label: str) -> str:
    """The principal in the name of a speaker: `user:local` of `agent:scribe via user:local`."""
    return label.rpartition(VIA)[2]


SYSTEM = Actor(kind="system", id="server", permissions=frozenset(Permission))
