"""Reading and verifying one JSON Web Token."""

import base64
import binascii
import json
import re
from typing import Any, NamedTuple, cast

import jwt
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, InvalidAudienceError, PyJWTError

from mcp_server.integrations.issuers.keys import Key
from mcp_server.integrations.issuers.model import Issuer, TokenRefused

TOKEN_CHARACTERS_MAX = 16_384
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = frozenset({"", "jwt", "at+jwt"})
"""What the header may say a token is, without `application/`; other tokens are for something else."""
_OTHER_USES = frozenset({"id", "refresh", "logout", "offline"})
"""What Keycloak writes into the claim `typ` of tokens that are for no server."""
_DECODER = jwt.PyJWT()


class Unverified(NamedTuple):
    """What a token says of itself, which is not yet believed."""

    issuer: str
    kid: str | None
    algorithm: str


def looks_like_one(token: str) -> bool:
    """Whether a text has the form of a JSON Web Token with a signature."""
    return len(token) <= TOKEN_CHARACTERS_MAX and _SHAPE.fullmatch(token) is not None


def read(token: str) -> Unverified:
    """What a token says of itself.

    Raises:
        TokenRefused: it makes no sense, or asks for what is not understood here.
    """
    parts = token.split(".")
    header, claims = _object(parts[0]), _object(parts[1])
    if "crit" in header or "b64" in header:
        raise TokenRefused("critical header")
    kind, kid, algorithm, issuer = header.get("typ", ""), header.get("kid"), header.get("alg"), claims.get("iss")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise TokenRefused("another kind of token")
    if not isinstance(issuer, str) or not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise TokenRefused("malformed")
    return Unverified(issuer, kid, algorithm)


def verified(token: str, issuer: Issuer, key: Key, algorithm: str) -> dict[str, Any]:
    """The claims of a token that the key has signed, for us, and that counts now.

    Raises:
        TokenRefused: it does not.
    """
    try:
        claims = _DECODER.decode(
            token,
            key.public,
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.url,
            leeway=issuer.leeway_seconds,
            options={"require": ["exp", "iss", "aud"]},
        )
    except ExpiredSignatureError:
        raise TokenRefused("expired") from None
    except ImmatureSignatureError:
        raise TokenRefused("not yet valid") from None
    except InvalidAudienceError:
        raise TokenRefused("another audience") from None
    except (PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise TokenRefused("bad signature" if "ignature" in type(error).__name__ else "malformed") from None
    _require_access_token(claims)
    return claims


def _require_access_token(claims: dict[str, Any]) -> None:
    """Refuse what is no access token that whoever bears it may use."""
    kind = claims.get("typ")
    if "at_hash" in claims or "nonce" in claims or (isinstance(kind, str) and kind.lower() in _OTHER_USES):
        raise TokenRefused("another kind of token")
    if "cnf" in claims:  # whoever else bears it is a thief, and here nobody can prove who he is
        raise TokenRefused("bound to a key")


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise TokenRefused("malformed") from None
    if not isinstance(value, dict):
        raise TokenRefused("malformed")
    return cast("dict[str, Any]", value)
