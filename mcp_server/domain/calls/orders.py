"""What passes between the owner of a call and the process that does its media: orders one way, what came of them and
what people did the other way. The media process knows nothing of the store; the owner knows nothing of WebRTC.

A peer is named by the number of its participant, as text: `"1"`. A join for a peer that is there replaces its
connection, of which nothing more is told then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_server.domain.calls.media import Message


@dataclass(frozen=True, slots=True)
class Join:
    """Answer an offer. `first` is sent as soon as the peer's channel opens. Comes to `Answered` or `Refused`, then to
    `Connected` or `Gone`."""

    peer: str
    name: str
    offer: str
    audio: bool
    first: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One more way to reach a peer: `candidate`, `sdpMid`, `sdpMLineIndex`."""

    peer: str
    candidate: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """A message to one peer, or to all."""

    message: Message
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text, where there is a command for that. Comes to `Spoken` or `Refused`."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Play:
    """Play a WAV file. Comes to `Spoken` or `Refused`."""

    id: str
    wav: bytes


@dataclass(frozen=True, slots=True)
class Mute:
    """Whether nothing of ours is heard."""

    on: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether both sides are silent; text goes on."""

    on: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """End one peer's connection."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the call: what is recorded is told still, then `Closed`."""

    reason: str


Order = Join | Candidate | Send | Say | Play | Mute | Hold | Drop | Close


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a peer's offer, and whether it has audio."""

    peer: str
    answer: str
    audio: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not done and why: about a peer by its number, or about what was said by its id."""

    about: str
    why: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A peer's channel is open, so many seconds after its offer."""

    peer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Messaged:
    """A message of a peer, whose type and sizes are right."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Away:
    """A peer was not heard of for five seconds."""

    peer: str


@dataclass(frozen=True, slots=True)
class Back:
    """A peer that was away is heard of again."""

    peer: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A peer hung up, could not be connected, or was away for too long."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said or played has been heard whole."""

    id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """Up to two seconds of what was heard on both sides: 16-bit PCM, little-endian, `RATE` samples a second."""

    pcm: bytes
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The call's media have ended as they were told to; nothing more follows."""


Told = Answered | Refused | Connected | Messaged | Away | Back | Gone | Spoken | Recorded | Closed


class MediaCall(Protocol):
    """One call at the media process."""

    async def tell(self, order: Order) -> None:
        """Give an order.

        Raises:
            MediaDied: there is nobody to give it to.
        """
        ...

    async def heard(self) -> Told:
        """The next that is told of the call, in order.

        Raises:
            MediaDied: the media process ended; nothing more follows.
        """
        ...

    async def leave(self) -> None:
        """Let go of the call, whatever its state; may be called again."""
        ...
