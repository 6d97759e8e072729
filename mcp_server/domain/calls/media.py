"""The way to the process that does the media of calls, and what both sides of it go by: sizes and settings. What passes
between them stands in `orders`, which only they load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mcp_server.kernel.services import Services

if TYPE_CHECKING:
    from mcp_server.domain.calls.orders import MediaCall

Message = Mapping[str, Any]
"""A message of the text channel, as JSON."""

CHANNEL = "desk"
"""The label of the text channel."""

MESSAGE_BYTES_MAX = 16 * 1024
TEXT_CHARACTERS_MAX = 4000
"""One text that somebody says or types."""

OFFER_BYTES_MAX = 64 * 1024
WAV_BYTES_MAX = 4 * 1024 * 1024
RATE = 16_000
"""Samples in a second of a recording: 16-bit, one channel."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server; TURN has a username and a password."""

    urls: tuple[str, ...]
    username: str | None = None
    password: str | None = None

    def told(self) -> dict[str, Any]:
        """As browsers take it."""
        known = {"urls": list(self.urls), "username": self.username, "credential": self.password}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """What the operator set.

    Attributes:
        ice_servers: none unless set: nothing outside is asked.
        speech: the command that makes speech of text, as argv: the text is given to stdin, or stands for `{text}`; it
            answers with a WAV file on stdout. Empty where there is none.
        idle_seconds: how long the media process stays once there is no call.
        peers_max: how many may be connected to one call.
        bitrate: of audio that is sent, in bits per second.
    """

    ice_servers: tuple[IceServer, ...] = ()
    speech: tuple[str, ...] = ()
    idle_seconds: float = 60.0
    peers_max: int = 8
    bitrate: int = 32_000


class MediaDied(Exception):
    """The media process ended, or could not be started; the text says why."""


class Media(Protocol):
    """The way to the media process, which it starts at its first call and ends when there are none."""

    async def open(self, call_id: str, *, audio: bool, record: bool) -> "MediaCall":
        """Begin a call.

        Raises:
            MediaDied: the media process could not be started.
        """
        ...

    async def close(self) -> None:
        """End the media process, if it runs."""
        ...


def _nobody() -> Media:
    raise MediaDied("this process does no media")


@dataclass(frozen=True, slots=True)
class MediaProvider:
    """This process's way to the media process, made at its first use; the composition root says which.

    Attributes:
        open: makes it, or gives the one that is there.
        missing: why this process can hold no calls, and what to do about it; None where it can.
    """

    open: Callable[[], Media] = _nobody
    missing: str | None = "This process does no media."


def media_here(services: Services) -> str:
    """Whether this process can hold calls at all: one without the extra leaves them to others."""
    return "webrtc" if services.option(MediaProvider).missing is None else "none"
