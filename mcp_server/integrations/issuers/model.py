"""What is known of an issuer, and what it makes of a token."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from mcp_server.kernel.authority import Actor, Role

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""All of them asymmetric: who can verify a token cannot make one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which holders get which role: those one of whose values of a claim equals `equals` or matches `glob`.

    Attributes:
        also_delegated: whether an agent may also be a client to which a person logged in, not only one that got the
            token on its own account.
    """

    claim: str
    role: Role
    equals: str | None = None
    glob: str | None = None
    holder: Literal["user", "agent"] = "user"
    also_delegated: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, as the operator set it; the fields are those of the settings."""

    name: str
    url: str
    audience: tuple[str, ...]
    rules: tuple[Rule, ...]
    algorithms: tuple[str, ...] = ALGORITHMS
    jwks_url: str | None = None
    user_claim: str = "sub"
    agent_claim: str | None = None
    plain_names: bool = False
    scope_prefix: str = ""
    require_scopes: bool = False
    leeway_seconds: float = 30


class Verified(NamedTuple):
    """Whom a token stands for.

    Attributes:
        actor: with the rights that role and scopes leave.
        expires_at: in seconds since 1970.
        scope_prefix: what stands before a permission in a scope of its issuer.
    """

    actor: Actor
    expires_at: int
    scope_prefix: str


class TokenRefused(Exception):
    """A token lets nobody in; the reason is a few words for counts and logs, and holds nothing of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IssuerProblem(Exception):
    """An issuer does not answer, or not as one."""
