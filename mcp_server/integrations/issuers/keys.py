"""The public keys of an issuer: kept, fetched anew from time to time, and for a key that is not known.

What an issuer does not answer costs nobody more than one wait: it is asked once at a time and not again within the
cooldown, whatever tokens name. What it told goes on for a while where it no longer answers.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from mcp_server.integrations.issuers.model import Issuer, IssuerProblem, TokenRefused
from mcp_server.kernel.errors import Unavailable

FRESH_SECONDS = 300.0
"""After that long they are fetched anew, beside what goes on: a key that is taken back counts no longer than that."""
COOLDOWN_SECONDS = 30.0
"""Between two times that the issuer is asked: a key that was rotated in may be unknown for that long."""
KEPT_SECONDS = 4 * 3600.0
"""How long keys go on while the issuer does not answer."""
KEYS_MAX = 50
RSA_BITS = range(2048, 8193)
_NO_KEY = (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What is raised for members that are missing, no numbers, or no point of the curve."""


class Key(NamedTuple):
    """One public key; two are the same where their text is."""

    kid: str | None
    algorithms: frozenset[str]
    public: Any
    text: str


class Keys:
    """The keys of one issuer."""

    def __init__(
        self,
        issuer: Issuer,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        steady: Callable[[], float],
        on_gone: Callable[[], None],
    ) -> None:
        """None is known yet.

        Args:
            issuer: whose they are.
            fetch: gives its JSON Web Key Set.
            steady: a clock that is never set, in seconds.
            on_gone: is told when keys that were known are so no more.
        """
        self._issuer = issuer
        self._fetch = fetch
        self._steady = steady
        self._on_gone = on_gone
        self._known: tuple[Key, ...] = ()
        self._told_at: float | None = None
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why the issuer could not be asked the last time."""

    @property
    def known(self) -> tuple[Key, ...]:
        """Those it told last."""
        return self._known

    @property
    def are_fresh(self) -> bool:
        """Whether they count, and need not be renewed."""
        return self._told_at is not None and self._steady() - self._told_at <= FRESH_SECONDS

    async def ready(self) -> None:
        """See to it that there are keys that count, and that they are renewed.

        Raises:
            Unavailable: there are none, since the issuer does not answer.
        """
        if self.are_fresh:
            return
        age, asking = self._age(), self._ask()
        if age is not None and age <= KEPT_SECONDS:
            return
        if asking is not None:
            await asyncio.shield(asking)  # others wait for it, too
        age = self._age()
        if age is None or age > KEPT_SECONDS:
            raise Unavailable(
                f"Tokens of the issuer {self._issuer.name} cannot be checked now: it does not tell its keys.",
                next=f"Try again in {COOLDOWN_SECONDS:g} seconds.",
                details={"retry_after_seconds": COOLDOWN_SECONDS},
            )

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key that a token names; where it names none, the only one there is for the algorithm.

        Raises:
            TokenRefused: the issuer has no such key.
            Unavailable: no key is known, since the issuer does not answer.
        """
        await self.ready()
        key = self._match(kid, algorithm)
        if key is None and (asking := self._ask()) is not None:
            await asyncio.shield(asking)
            key = self._match(kid, algorithm)
        if key is None:
            raise TokenRefused("unknown key")
        return key

    async def renew(self) -> None:
        """Ask now, whenever it was asked before."""
        self._asked_at = None
        asking = self._ask()
        assert asking is not None, "nothing cools down"
        await asyncio.shield(asking)

    def _age(self) -> float | None:
        return None if self._told_at is None else self._steady() - self._told_at

    def _match(self, kid: str | None, algorithm: str) -> Key | None:
        fit = [key for key in self._known if algorithm in key.algorithms and kid in (None, key.kid)]
        return fit[0] if len(fit) == 1 or (fit and kid is not None) else None

    def _ask(self) -> asyncio.Task[None] | None:
        """The asking that is under way, or begins; None while it cools down."""
        if self._asking is not None:
            return self._asking
        now = self._steady()
        if self._asked_at is not None and now - self._asked_at < COOLDOWN_SECONDS:
            return None
        self._asked_at = now
        self._asking = asyncio.create_task(self._renewed())
        return self._asking

    async def _renewed(self) -> None:
        try:
            self._take(usable(await self._fetch(), self._issuer.algorithms))
        except IssuerProblem as error:
            self.problem = str(error)
        finally:
            self._asking = None

    def _take(self, keys: tuple[Key, ...]) -> None:
        gone = {key.text for key in self._known} - {key.text for key in keys}
        self._known, self._told_at, self.problem = keys, self._steady(), None
        if gone:
            self._on_gone()


def usable(key_set: dict[str, Any], algorithms: tuple[str, ...]) -> tuple[Key, ...]:
    """The keys of a set that can verify tokens by one of the algorithms.

    Raises:
        IssuerProblem: there are none, or more than anybody needs.
    """
    told = key_set.get("keys")
    if not isinstance(told, list) or len(cast("list[Any]", told)) > KEYS_MAX:
        raise IssuerProblem(f"its key set holds no list of up to {KEYS_MAX} keys")
    keys = [key for one in cast("list[Any]", told) if (key := _key(one, frozenset(algorithms))) is not None]
    if not keys:
        raise IssuerProblem(f"its key set holds no public key for {', '.join(algorithms)}")
    return tuple(keys)


def _key(told: Any, allowed: frozenset[str]) -> Key | None:
    """A key that may be used; None where it is for something else, too weak, or none at all."""
    if not isinstance(told, dict):
        return None
    jwk = cast("dict[str, Any]", told)
    algorithms = _algorithms_of(jwk) & allowed
    if not algorithms or not _verifies(jwk):
        return None
    try:
        public = PyJWK(jwk, algorithm=min(algorithms)).key
        text = json.dumps(jwk, sort_keys=True)
    except _NO_KEY:
        return None
    kid = jwk.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithms, public, text) if _is_strong(public) else None


def _algorithms_of(jwk: dict[str, Any]) -> frozenset[str]:
    match jwk.get("kty"):
        case "RSA":
            able = frozenset({"RS256", "PS256"})
        case "EC":
            able = frozenset({"ES256"})
        case "OKP":
            able = frozenset({"EdDSA"})
        case _:  # a secret that others know is none
            able = frozenset[str]()
    said = jwk.get("alg")
    return able if said is None else able & {"EdDSA" if said == "Ed25519" else str(said)}


def _verifies(jwk: dict[str, Any]) -> bool:
    """Whether it is a public key for signatures."""
    for_what = jwk.get("key_ops", ["verify"])
    return "d" not in jwk and jwk.get("use", "sig") == "sig" and isinstance(for_what, list) and "verify" in for_what


def _is_strong(public: Any) -> bool:
    if isinstance(public, RSAPublicKey):
        return public.key_size in RSA_BITS
    if isinstance(public, EllipticCurvePublicKey):
        return isinstance(public.curve, SECP256R1)
    return isinstance(public, Ed25519PublicKey)
