"""All issuers that the operator set: which one made a token, and whom the token stands for."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcp_server.integrations.issuers.fetching import Fetcher
from mcp_server.integrations.issuers.holders import holder_of
from mcp_server.integrations.issuers.keys import Keys
from mcp_server.integrations.issuers.model import Issuer, TokenRefused, Verified
from mcp_server.integrations.issuers.tokens import looks_like_one, read, verified

CACHED_MAX = 4096
"""How many tokens are remembered; of each its SHA-256 and whom it stands for."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An issuer with its keys."""

    issuer: Issuer
    keys: Keys


class Issuers:
    """Tells whom JSON Web Tokens stand for."""

    takes = staticmethod(looks_like_one)

    def __init__(
        self,
        issuers: Sequence[Issuer],
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is fetched before the first token.

        Args:
            issuers: those that are believed.
            clock: seconds since 1970.
            steady: a clock that is never set, in seconds.
        """
        self._clock = clock
        self._cached: OrderedDict[bytes, tuple[Verified, Keys]] = OrderedDict()
        self._known = {
            issuer.url: _Known(issuer, Keys(issuer, Fetcher(issuer).key_set, steady, self._cached.clear))
            for issuer in issuers
        }

    def known(self, token: str) -> Verified | None:
        """Whom a token stands for that was verified before and has not ended, while its issuer's keys are fresh."""
        # An object of JSON begins so in base64: of keys no digest is made in vain.
        cached = self._cached.get(_digest(token)) if token.startswith("e") else None
        if cached is None or cached[0].expires_at <= self._clock() or not cached[1].are_fresh:
            return None
        return cached[0]

    async def verify(self, token: str) -> Verified | str:
        """Whom a token stands for; or in a few words why it stands for nobody.

        Raises:
            PermissionDenied: it is valid, and its holder may do nothing here.
            Unavailable: its issuer tells no keys, so that it cannot be checked.
        """
        digest = _digest(token)
        cached = self._cached.get(digest)
        if cached is not None and cached[0].expires_at > self._clock():
            await cached[1].ready()
            return cached[0]
        try:
            found, keys = await self._verified(token)
        except TokenRefused as refused:
            return refused.reason
        self._cached[digest] = (found, keys)
        while len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return found

    def problems(self) -> dict[str, str]:
        """Why issuers could not be asked for their keys the last time, by their names."""
        known = [(one.issuer.name, one.keys.problem) for one in self._known.values()]
        return {name: problem for name, problem in known if problem is not None}

    async def looked_at(self) -> dict[str, str | int]:
        """Ask every issuer now; by name how many keys it has, or what is wrong."""
        told: dict[str, str | int] = {}
        for one in self._known.values():
            await one.keys.renew()
            told[one.issuer.name] = one.keys.problem or len(one.keys.known)
        return told

    async def _verified(self, token: str) -> tuple[Verified, Keys]:
        said = read(token)
        known = self._known.get(said.issuer)
        if known is None:
            raise TokenRefused("unknown issuer")
        issuer = known.issuer
        if said.algorithm not in issuer.algorithms:
            raise TokenRefused("algorithm")
        key = await known.keys.find(said.kid, said.algorithm)
        claims = verified(token, issuer, key, said.algorithm)
        expires_at = int(claims["exp"]) + int(issuer.leeway_seconds)
        found = Verified(holder_of(issuer, claims), expires_at, issuer.scope_prefix)
        return found, known.keys


def _digest(token: str) -> bytes:
    """By what a token is remembered, whose text is not kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
