"""Who calls over HTTP: bearer tokens from a file, kept there only as SHA-256.

[[tokens]]
sha256 = "9f86d08..."   # of the token's text
kind = "agent"          # user or agent
id = "agent_abc..."     # whom the token is bound to; of an agent, its id or its name
role = "agent"          # admin, operator, agent or viewer
"""

import hashlib
import hmac
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from mcp_server.kernel.authority import Actor, Permission, Role
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.values import Frozen
from mcp_server.protocol.seam import RequestContext

if TYPE_CHECKING:  # what only HTTP needs of the SDK is loaded when a request comes over it
    from mcp_server.protocol.bearers import Bearer, Refused


class TokenEntry(Frozen):
    """One token: its hash, and whom it stands for."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: Literal["user", "agent"]
    id: str = Field(pattern=r"^[^\s:]{1,64}$")
    role: Role


class _TokenFile(Frozen):
    tokens: tuple[TokenEntry, ...] = Field(min_length=1)


class FileTokens:
    """The tokens of one file. Fulfils `bearers.Verifier`."""

    def __init__(self, path: Path) -> None:
        """Read the file once.

        Raises:
            ValidationFailed: the file cannot be read or does not hold tokens.
        """
        try:
            self._entries = _TokenFile.model_validate(tomllib.loads(path.read_text("utf-8"))).tokens
        except OSError as error:
            raise ValidationFailed(f"The token file {path} cannot be read: {error.strerror}.") from None
        except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValidationFailed(f"The token file {path} is not valid: {_first_line(error)}") from None

    def takes(self, token: str) -> bool:
        """They may look like anything."""
        del token
        return True

    async def verify(self, token: str) -> "Bearer | Refused":
        """The token's holder."""
        from mcp_server.protocol.bearers import Refused, bearer

        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, digest):
                return bearer(token, Actor(kind=entry.kind, id=entry.id, permissions=entry.role.permissions))
        return Refused("unknown")

    def permissions_of(self, label: str) -> frozenset[Permission]:
        """What the holders of tokens of that label, `kind:id`, may do together; nothing where there is none."""
        roles = [entry.role for entry in self._entries if f"{entry.kind}:{entry.id}" == label]
        return frozenset(permission for role in roles for permission in role.permissions)


class Callers:
    """Tells who makes a request: the token's holder over authenticated HTTP, the configured local user elsewhere."""

    def __init__(self, local: Actor, *, read_only: bool) -> None:
        self._local = local
        self._read_only = read_only

    def __call__(self, ctx: RequestContext) -> Actor:
        """The request's actor. Settings narrow it; nothing widens it again."""
        proved = _proved(ctx.request)
        if proved is None:
            return self._local
        allowed = proved.permissions & self._local.permissions
        return proved.model_copy(update={"permissions": allowed}).narrowed(read_only=self._read_only)


def _proved(request: Any) -> Actor | None:
    if request is None:
        return None
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

    from mcp_server.protocol.bearers import Bearer

    user = request.scope.get("user")
    if not isinstance(user, AuthenticatedUser):
        return None
    assert isinstance(user.access_token, Bearer), "every verifier of ours gives one"
    return user.access_token.actor


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}."
    return str(error).splitlines()[0]
