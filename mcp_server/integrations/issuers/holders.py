"""From the claims of a token to its holder: who it is by the operator's rules, and what role and scopes leave it."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal, cast
from urllib.parse import quote

from mcp_server.integrations.issuers.model import Issuer, Rule, TokenRefused
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.errors import PermissionDenied

NAME_CHARACTERS_MAX = 64
_AREAS = frozenset(permission.value.partition(":")[0] for permission in Permission)
_PLAIN = "/|+=,;!$&'()*"
"""What may stand in a name beside letters, digits and `-._~`; the rest is written as `%3A`, so that none are alike, and
none reads as an address, which names a mailbox."""


def holder_of(issuer: Issuer, claims: dict[str, Any]) -> Actor:
    """Who holds a token.

    Raises:
        PermissionDenied: no rule gives it a role.
        TokenRefused: it names nobody.
    """
    own = is_clients_own(claims)
    for rule in issuer.rules:
        may_be = rule.also_delegated or own if rule.holder == "agent" else not own
        if may_be and _fits(rule, values_of(claims, rule.claim)):
            role = rule.role.permissions
            allowed = narrowed(issuer, claims, role)
            name = _name(issuer, claims, rule.holder)
            # A program that asks on its own account has nobody who could agree to more.
            reach = frozenset[Permission]() if own else role - allowed
            return Actor(kind=rule.holder, id=name, permissions=allowed, reach=reach)
    raise PermissionDenied(
        f"The token is valid, but no rule for the issuer {issuer.name} gives its holder a role.",
        next="Ask the operator of this server for one.",
    )


def is_clients_own(claims: dict[str, Any]) -> bool:
    """Whether a client got the token on its own account (client credentials), and no person logged in to it."""
    client, holder = claims.get("client_id") or claims.get("azp"), claims.get("sub")
    marked = claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app"
    return marked or holder is None or (client is not None and holder in (client, f"{client}@clients"))


def narrowed(issuer: Issuer, claims: dict[str, Any], permissions: frozenset[Permission]) -> frozenset[Permission]:
    """What the token's scopes leave of permissions: all, where none of its scopes is one of ours."""
    ours = [
        scope.removeprefix(issuer.scope_prefix)
        for scope in _scopes(claims)
        if scope.startswith(issuer.scope_prefix) and scope.removeprefix(issuer.scope_prefix).partition(":")[0] in _AREAS
    ]
    if not ours and not issuer.require_scopes:
        return permissions
    return frozenset(one for one in permissions if one.value in ours or f"{one.value.partition(':')[0]}:*" in ours)


def values_of(claims: dict[str, Any], claim: str) -> list[str]:
    """The values of a claim, as text: of a list each. Dots lead into objects, where no claim has the whole name."""
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
    return [_text(one) for one in _listed(value) if isinstance(one, str | int)]


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fits(rule: Rule, values: Iterable[str]) -> bool:
    return any(value == rule.equals if rule.glob is None else fnmatchcase(value, rule.glob) for value in values)


def _scopes(claims: dict[str, Any]) -> list[str]:
    """What stands in `scope`, one text, or in `scp`, a text or a list."""
    told = claims.get("scope", claims.get("scp", ""))
    return told.split() if isinstance(told, str) else [one for one in _listed(told) if isinstance(one, str)]


def _name(issuer: Issuer, claims: dict[str, Any], holder: Literal["user", "agent"]) -> str:
    """The holder's name, which no holder of another issuer has: the issuer's stands before it, but for one issuer."""
    found = [values for claim in _naming(issuer, holder) if (values := values_of(claims, claim))]
    if not found or len(found[0]) != 1 or not found[0][0]:
        raise TokenRefused("no name")
    if issuer.plain_names:
        name = quote(found[0][0], safe=_PLAIN.replace("/", ""))
    else:
        name = f"{issuer.name}/{quote(found[0][0], safe=_PLAIN)}"
    if len(name) > NAME_CHARACTERS_MAX:
        raise TokenRefused("a name too long")
    return name


def _naming(issuer: Issuer, holder: Literal["user", "agent"]) -> tuple[str, ...]:
    """The claims that may name a holder; the first that is there does."""
    if holder == "user":
        return (issuer.user_claim,)
    return ("client_id", "azp", "sub") if issuer.agent_claim is None else (issuer.agent_claim,)
