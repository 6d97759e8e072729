"""What the page behind a link to a call shows and sends, and why it may be refused."""

from typing import Any, NamedTuple

from pydantic import Field

from mcp_server.domain.calls.media import OFFER_BYTES_MAX
from mcp_server.kernel.errors import InvalidTransition, NotFound, PermissionDenied
from mcp_server.kernel.values import Frozen, Line


class LinkUnknown(NotFound):
    """A link that is none of this server's (404)."""


class LinkUsed(PermissionDenied):
    """A link that somebody has joined by, and no secret to come back with (403)."""


class LinkOver(InvalidTransition):
    """A link whose time is over, or whose call has ended (410)."""


class JoinCall(Frozen):
    """Somebody joins by a link."""

    offer: str = Field(max_length=OFFER_BYTES_MAX, description="SDP")
    audio: bool = False
    name: Line | None = Field(default=None, max_length=64)
    resume: str | None = Field(default=None, max_length=64, description="What the first join gave, to come back with")


class Invitation(NamedTuple):
    """What a link leads to.

    Attributes:
        call_id: of the call.
        purpose: why it is made, in the words of who opened it.
        opened_by: who that is, as a label: `agent:scribe via user:local`.
        media: `text` or `audio`.
        record: whether it is recorded.
        status: of the call.
        participant: for whom the link is.
        expires_at: microseconds UTC, until when it may be joined.
        is_used: whether somebody has joined by it.
        ice_servers: as browsers take them.
    """

    call_id: str
    purpose: str
    opened_by: str
    media: str
    record: bool
    status: str
    participant: str
    expires_at: int
    is_used: bool
    ice_servers: list[dict[str, Any]]


class Joined(NamedTuple):
    """The answer to an offer, and the secret with which the same person comes back; None where no link was used."""

    answer: str
    call_id: str
    resume: str | None = None
