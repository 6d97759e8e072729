"""Settings of `[issuers.NAME]`: whose JSON Web Tokens are taken over HTTP, and whom they make of their holders."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mcp_server.kernel.authority import Role
from mcp_server.kernel.values import Frozen


def split(value: Any) -> Any:
    """The parts of a text with commas; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split)]
"""A list, which flags and environment variables give as one text with commas."""

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
Algorithms = Annotated[tuple[Algorithm, ...], BeforeValidator(split)]


class IssuerRuleSettings(Frozen):
    """Which holders of tokens get which role; the first rule that fits decides (docs/http.md)."""

    claim: str = Field(min_length=1, description="Claim that decides; dots lead into objects")
    equals: str | None = Field(default=None, description="Its value, or one of them")
    glob: str | None = Field(default=None, description="Its value as a pattern, as file names have it")
    role: Role = Field(description="What the holder may do at most")
    holder: Literal["user", "agent"] = Field(default="user", description="What the holder is")
    also_delegated: bool = Field(
        default=False, description="Whether an agent may also be a client to which a person logged in"
    )


class IssuerSettings(Frozen):
    """An OpenID Connect provider or OAuth authorization server (docs/http.md)."""

    url: str = Field(min_length=1, description="The issuer, exactly as its tokens name it in iss")
    audience: Names = Field(default=(), description="What tokens must be for (aud); unsaid, this server's address")
    algorithms: Algorithms = Field(
        default=(), description="How tokens may be signed: RS256, PS256, ES256, EdDSA; unsaid, any of these"
    )
    jwks_url: str | None = Field(default=None, description="Where its keys are; unsaid, what its metadata says")
    user_claim: str = Field(default="sub", min_length=1, description="Claim that names a user")
    agent_claim: str | None = Field(default=None, description="Claim that names an agent; unsaid, client_id, else azp")
    plain_names: bool = Field(default=False, description="Names without the issuer's before them; one issuer at most")
    scopes: Names = Field(default=(), description="Scopes that clients are told to ask for at first; unsaid, none")
    scope_prefix: str = Field(default="", description="What stands before a permission in its scopes")
    require_scopes: bool = Field(default=False, description="Whether a token without scopes of ours may do nothing")
    leeway_seconds: float = Field(default=30, ge=0, le=300, description="How far its clock may be off")
    map: tuple[IssuerRuleSettings, ...] = Field(
        default=(),
        description="Rules: claim, equals or glob, role, holder, also_delegated; without one nobody comes in",
    )
