"""What is asked of users and keys, and the values that stand in it; checked once, where it comes in."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from mcp_server.kernel.addresses import check_address
from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Permission, Role
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.values import Frozen, Line, Seconds

UserStatus = Literal["enabled", "disabled"]
HolderKind = Literal["user", "agent"]
FROM_FILE = "file"
"""What a key comes from that was taken over from a token file."""


def _holder(text: str) -> str:
    check_line(text, "name")
    if not text.isprintable():
        raise ValidationFailed("A name holds no characters that nobody sees.")
    return text


Holder = Annotated[str, Field(pattern=r"^[^\s:@]{1,64}$"), AfterValidator(_holder)]
"""The name of a user; of an agent, its name or its id. An address is no name: it names a mailbox."""

Mailbox = Annotated[str, Field(max_length=320), AfterValidator(check_address)]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class AddUser(Frozen):
    """Somebody may use this server."""

    name: Holder
    role: Role = Role.OPERATOR
    display_name: Line | None = None
    address: Mailbox | None = None


class ChangeUser(Frozen):
    """What is said of a user is changed; what is not given stays, and an empty text takes away."""

    name: str
    role: Role | None = None
    display_name: Line | Literal[""] | None = None
    address: Mailbox | Literal[""] | None = None


class CreateKey(Frozen):
    """A new key for a user or an agent, no wider than the holder's role.

    Attributes:
        role: of an agent; of a user's key, a lesser one than the user's.
        permissions: those alone of the role's; None for all of them.
        toolsets: those alone; None for all.
        agent: the only agent that a user's key speaks as.
        namespace: the prefix of the namespaces of state that it reaches.
    """

    kind: HolderKind
    holder: Holder
    name: Line | None = None
    role: Role | None = None
    permissions: tuple[Permission, ...] | None = Field(default=None, min_length=1)
    toolsets: tuple[Toolset, ...] | None = Field(default=None, min_length=1)
    agent: Holder | None = None
    namespace: Prefix | None = None
    expires_in_seconds: Seconds | None = None


class KeyHash(NamedTuple):
    """What is stored of a key's text, and where it came from."""

    sha256: str
    source: str | None = None
