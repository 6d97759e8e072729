"""JSON Web Tokens of configured issuers as bearer tokens. Loaded where an issuer is set."""

from collections.abc import Mapping
from typing import Protocol

from starlette.authentication import AuthenticationError

from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.errors import OpsError, PermissionDenied, Unavailable
from mcp_server.kernel.once import Once
from mcp_server.kernel.times import SECOND
from mcp_server.protocol.bearers import Bearer, Refused, bearer


class Verified(Protocol):
    """Whom a token stands for."""

    @property
    def actor(self) -> Actor:
        """With the rights that the token leaves it."""
        ...

    @property
    def expires_at(self) -> int:
        """In seconds since 1970."""
        ...

    @property
    def scope_prefix(self) -> str:
        """What stands before a permission in a scope of its issuer."""
        ...


class Issuing(Protocol):
    """What verifies tokens; see `integrations.issuers`."""

    def takes(self, token: str) -> bool:
        """Whether a text has the form of such a token."""
        ...

    def known(self, token: str) -> Verified | None:
        """Whom a token stands for that was verified before, while its issuer's keys are fresh."""
        ...

    async def verify(self, token: str) -> Verified | str:
        """Whom a token stands for; or in a few words why it stands for nobody."""
        ...

    def problems(self) -> Mapping[str, str]:
        """Why issuers could not be asked for their keys the last time, by their names."""
        ...


class Holders(Protocol):
    """Tells who is disabled here; see `domain.people.service.Standing`."""

    def is_known_enabled(self, actor: Actor) -> bool:
        """Whether it is sure without asking anybody that it is not."""
        ...

    async def is_disabled(self, actor: Actor) -> bool:
        """Whether it is."""
        ...


class IssuedBearer(Bearer):
    """A bearer whose token an issuer made.

    Attributes:
        scope_prefix: what stands before a permission in a scope of that issuer.
    """

    scope_prefix: str


class NotLetIn(AuthenticationError):
    """A token that makes sense, and lets nobody in all the same; with what to say, and by which status."""

    def __init__(self, error: OpsError, status: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status


class IssuedTokens:
    """Tells whom the tokens of issuers stand for. Fulfils `bearers.Verifier`."""

    def __init__(self, issuing: Issuing, most: frozenset[Permission], holders: Holders) -> None:
        """Join the parts.

        Args:
            issuing: verifies tokens.
            most: what this server lets anybody do at most.
            holders: tell at every request whether a principal may come in no more, whatever an issuer says.
        """
        self._issuing = issuing
        self.takes = issuing.takes
        self._most = most
        self._holders = holders
        self._bearer = Once(self._made)

    def known(self, token: str) -> Bearer | None:
        """Whom it stands for, where it was verified before, and it is sure that its holder is not disabled since."""
        found = self._issuing.known(token)
        return None if found is None or not self._holders.is_known_enabled(found.actor) else self._bearer(found)

    def troubled(self) -> list[str]:
        """Names of issuers that could not be asked for their keys the last time."""
        return sorted(self._issuing.problems())

    async def verify(self, token: str) -> Bearer | Refused:
        """Whom it stands for.

        Raises:
            NotLetIn: its holder may do nothing here, or it cannot be checked now.
        """
        try:
            found = await self._issuing.verify(token)
        except PermissionDenied as error:
            raise NotLetIn(error, 403) from None
        except Unavailable as error:
            raise NotLetIn(error, 503) from None
        if isinstance(found, str):
            return Refused(found)
        return Refused("disabled") if await self._holders.is_disabled(found.actor) else self._bearer(found)

    def _made(self, found: Verified) -> Bearer:
        actor, until = found.actor, found.expires_at * SECOND
        actor = actor.model_copy(update={"reach": actor.reach & self._most, "until": until})
        # Its text is not kept, and nobody needs it.
        carried = bearer("", actor, expires_at=found.expires_at)
        return IssuedBearer(**dict(carried), scope_prefix=found.scope_prefix)
