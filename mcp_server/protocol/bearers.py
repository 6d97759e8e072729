"""Whom a bearer token stands for, and the chain of those who can tell. Loaded where MCP is served over HTTP."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.limits import Caller

BEARER_CHARACTERS_MAX = 16_384
"""A longer token is none: it is not even looked at."""


class Bearer(AccessToken):
    """Who is authenticated, as the SDK carries it through a request.

    Attributes:
        actor: the principal, with the rights that it has by this token, and with what else narrows it (`actor.scope`:
            toolsets, one agent, one prefix of namespaces; `actor.key_id`).
    """

    actor: Actor

    @cached_property
    def user(self) -> AuthenticatedUser:
        """The same, as it stands in the scope of a request."""
        return AuthenticatedUser(self)

    @cached_property
    def caller(self) -> Caller:
        """For whom its requests are counted."""
        return Caller.of(self.actor)

    @property
    def toolsets(self) -> frozenset[str] | None:
        """The toolsets that the token reaches; None for all."""
        return self.actor.scope.toolsets

    @property
    def key_id(self) -> str | None:
        """The key that proved it; None where that was something else, such as a JWT."""
        return self.actor.key_id


def bearer(token: str, actor: Actor, *, expires_at: int | None = None) -> Bearer:
    """What the SDK carries of an actor.

    Args:
        token: the text that proved it.
        actor: whom it stands for.
        expires_at: in seconds since 1970; None where the token does not end by itself.
    """
    # `client_id` and `subject` bind sessions and what clients bring back to whoever they were given to: of two keys of
    # one user each has its own.
    who = actor.key_id or actor.label
    scopes = list(_scopes(actor.permissions))
    return Bearer(token=token, client_id=who, subject=actor.label, scopes=scopes, expires_at=expires_at, actor=actor)


@lru_cache(256)
def _scopes(permissions: frozenset[Permission]) -> tuple[str, ...]:
    return tuple(sorted(permission.value for permission in permissions))


class Refused(NamedTuple):
    """Why a token lets nobody in, in a word or two for counts and logs: `expired`, `revoked`, `unknown`."""

    reason: str


class Verifier(Protocol):
    """Tells whom one kind of token stands for."""

    def takes(self, token: str) -> bool:
        """Whether the token looks like one of this kind. It may be asked of anything."""
        ...

    def known(self, token: str) -> Bearer | None:
        """Whom it stands for now, where that is sure without waiting for anybody; None where it is to be verified."""
        ...

    async def verify(self, token: str) -> Bearer | Refused:
        """Whom it stands for now. A token that makes no sense is refused, never an error."""
        ...


def _uncounted(reason: str) -> None:
    del reason


class Verifiers:
    """Those who can tell, tried in turn where a token looks like one of theirs. Fulfils the SDK's `TokenVerifier`."""

    def __init__(self, *verifiers: Verifier, refused: Callable[[str], None] = _uncounted) -> None:
        """Join them.

        Args:
            verifiers: in the order in which they are tried.
            refused: is told why a token let nobody in.
        """
        self._verifiers = verifiers
        self.refused = refused

    def known(self, token: str) -> Bearer | None:
        """Whom the token stands for, where that is sure without waiting for anybody."""
        if len(token) <= BEARER_CHARACTERS_MAX:
            for verifier in self._verifiers:
                found = verifier.known(token)
                if found is not None:
                    return found
        return None

    async def verify_token(self, token: str) -> Bearer | None:
        """Whom the token stands for; None where nobody is let in by it."""
        reason = "unknown"
        if len(token) <= BEARER_CHARACTERS_MAX:
            for verifier in self._verifiers:
                if not verifier.takes(token):
                    continue
                found = await verifier.verify(token)
                if isinstance(found, Bearer):
                    return found
                reason = found.reason if reason == "unknown" else reason
        self.refused(reason)
        return None
