"""From settings to whose JSON Web Tokens are believed, and to what this server is called where they are made."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mcp_server.config import Settings
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import READ_PERMISSIONS
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.services import Services
from mcp_server.upkeep.findings import Finding

if TYPE_CHECKING:
    from mcp_server.config.issuers import IssuerSettings
    from mcp_server.integrations.issuers.model import Issuer
    from mcp_server.protocol.bearers import Verifier
    from mcp_server.protocol.challenges import ProtectedResource
    from mcp_server.protocol.issued import IssuedTokens

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*")
"""As RFC 6750 has it."""
_CORRECT = "Correct it in the settings (docs/http.md)."


def believed(settings: Settings) -> "tuple[Issuer, ...]":
    """The issuers, checked.

    Raises:
        ValidationFailed: one of them makes no sense, or could not be told from another.
    """
    issuers = tuple(_issuer(settings, name, told) for name, told in settings.issuers.items())
    if len({issuer.url for issuer in issuers}) < len(issuers):
        raise ValidationFailed("Two issuers have the same url.", next=_CORRECT)
    if sum(issuer.plain_names for issuer in issuers) > 1:
        raise ValidationFailed(
            "More than one issuer has plain_names, so that holders of one could be taken for those of another.",
            next="Set it for one of them.",
        )
    return issuers


def issued_tokens(services: Services, settings: Settings) -> "tuple[IssuedTokens, ...]":
    """What tells whom their tokens stand for; nothing where there are no issuers."""
    if not settings.issuers:
        return ()
    from mcp_server.integrations.issuers.issuers import Issuers
    from mcp_server.protocol.issued import IssuedTokens

    most = settings.role.permissions & (READ_PERMISSIONS if settings.read_only else settings.role.permissions)
    return (IssuedTokens(Issuers(believed(settings)), most, services.get(Standing)),)


def in_trouble(verifiers: "Sequence[Verifier]") -> Callable[[], list[str]]:
    """Names the issuers among the verifiers that could not be asked for their keys the last time."""
    return lambda: [name for one in verifiers for name in getattr(one, "troubled", tuple)()]


def protected_resource(settings: Settings) -> "ProtectedResource | None":
    """What issuers make tokens for; None where there are none.

    Raises:
        ValidationFailed: nobody knows under which address this server is reached.
    """
    if not settings.issuers:
        return None
    from mcp_server.protocol.challenges import ProtectedResource

    told = settings.issuers.values()
    scopes = dict.fromkeys(scope for issuer in told for scope in issuer.scopes)
    return ProtectedResource(_base(settings), _path(settings), tuple(issuer.url for issuer in told), tuple(scopes))


def inspect_issuers(settings: Settings) -> list[Finding]:
    """Whether each issuer answers now with keys, and what its tokens must be for."""
    if not settings.issuers:
        return []
    from mcp_server.integrations.issuers.issuers import Issuers

    known = believed(settings)
    told = asyncio.run(Issuers(known).looked_at())
    return [_finding(issuer, told[issuer.name]) for issuer in known]


def _finding(issuer: "Issuer", told: str | int) -> Finding:
    name = f"issuer_{issuer.name}"
    if isinstance(told, str):
        return Finding(name, False, f"{told}.", f"Correct [issuers.{issuer.name}], or see to it that this is reached.")
    return Finding(name, True, f"Its keys are known ({told}); tokens must be for {' or '.join(issuer.audience)}.")


def _issuer(settings: Settings, name: str, told: "IssuerSettings") -> "Issuer":
    from mcp_server.integrations.issuers.model import ALGORITHMS, Issuer, Rule

    for problem in _problems(name, told):
        raise ValidationFailed(f"[issuers.{name}]: {problem}.", next=_CORRECT)
    fields = told.model_dump(exclude={"scopes", "map", "audience", "algorithms"})
    rules = tuple(Rule(**rule.model_dump()) for rule in told.map)
    audience, algorithms = told.audience or _own_names(settings), told.algorithms or ALGORITHMS
    return Issuer(name=name, audience=audience, algorithms=algorithms, rules=rules, **fields)


def _problems(name: str, told: "IssuerSettings") -> list[str]:
    """What is wrong with what the operator says of one issuer."""
    from mcp_server.integrations.issuers.addresses import may_be_asked

    scopes = (*told.scopes, told.scope_prefix)
    found = {
        "a name has letters, digits, - and _, 32 at most": _NAME.fullmatch(name) is None,
        "url must begin with https:// and end with its path": not may_be_asked(told.url) or "?" in told.url,
        "jwks_url must begin with https://": not may_be_asked(told.jwks_url or told.url, by=told.url),
        "a scope holds no blanks, quotes or backslashes": not all(map(_SCOPE.fullmatch, scopes)),
        f"without a rule, [[issuers.{name}.map]], nobody gets a role by its tokens": not told.map,
        "each rule of map has one of equals and glob": any(
            (rule.equals is None) == (rule.glob is None) for rule in told.map
        ),
    }
    return [says for says, is_so in found.items() if is_so]


def _own_names(settings: Settings) -> tuple[str, ...]:
    """Audiences that mean this server: itself, and all that is served at its address; either with a slash behind it."""
    base = _base(settings)
    return tuple(name + end for name in (base + _path(settings), base) for end in ("", "/"))


def _path(settings: Settings) -> str:
    return "/sse" if settings.transport == "sse" else "/mcp"


def _base(settings: Settings) -> str:
    from mcp_server.integrations.issuers.addresses import is_here

    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    if not is_here(settings.host):
        raise ValidationFailed(
            "Tokens of issuers are made for an address, and this server does not know under which it is reached.",
            next="Set DATAMCP_PUBLIC_URL, such as https://desk.example.org.",
        )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"
