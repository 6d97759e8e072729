"""One peer of a call: its connection, its text channel, its sound, and whether it is still there."""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from aiortc.stats import RTCTransportStats

from mcp_server.domain.calls.media import CHANNEL
from mcp_server.domain.calls.orders import Answered, Away, Back, Connected, Gone, Join, Messaged, Told
from mcp_server.integrations.calls import messages, offers, webrtc

CONNECT_SECONDS_MAX = 30.0
AWAY_SECONDS = 4.0
"""Noticed within five seconds, the beat of the heart included."""

GONE_SECONDS = 60.0
CLOSE_SECONDS_MAX = 5.0
WAITING_MAX = 1000
BUFFERED_BYTES_MAX = 1024 * 1024
UNFINISHED_BYTES_MAX = 1024 * 1024
"""Beyond what it was told that there is room for; aiortc itself takes whatever comes."""

CHANNELS_MAX = 4
RECEIVED_BYTES_MAX = 64 * 1024
"""In a second: eight times what Opus takes at a good bitrate. Who sends more for `FAST_SECONDS_MAX` is let go."""

FAST_SECONDS_MAX = 5
PINGS_BUFFERED_BYTES_MAX = 16 * 1024
log = logging.getLogger("datamcp.calls")


class Track(Protocol):
    """What a peer says, in frames."""

    async def recv(self) -> object:
        """The next frame."""
        ...


class Peer:
    """A peer, from its offer to its end. Tells of itself by `tell`; once it is closed, nothing more."""

    def __init__(
        self, join: Join, servers: Sequence[Mapping[str, Any]], tell: Callable[[Told], None], clock: Callable[[], float]
    ) -> None:
        """Nothing is connected before `answer`.

        Args:
            join: the offer, and what is said first.
            servers: STUN and TURN.
            tell: told what happens.
            clock: a steady one, in seconds.
        """
        self.id = join.peer
        self._offer = offers.checked(join.offer)
        self._tell, self._clock = tell, clock
        self._connection = RTCPeerConnection(webrtc.configuration(servers))
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)
        self._channel: RTCDataChannel | None = None
        self._waiting = deque(join.first)
        self._began = self._heard_at = clock()
        self._rate = messages.Rate()
        self._answered = asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()
        self._pings = self._channels = self._refused = 0
        self._received = self._fast_seconds = 0
        self._error_at = 0.0
        self._is_away = self._is_ended = self._is_closed = False
        self.has_audio = False
        self.on_sound: Callable[[Track], Awaitable[None]] | None = None

    async def answer(self, voice: MediaStreamTrack | None, bitrate: int) -> Answered:
        """Answer the offer; with sound, if there is a voice to be heard.

        Raises:
            BadOffer: it cannot be answered.
        """
        try:
            answer = await self._make_answer(voice, bitrate)
        except offers.BadOffer:
            raise
        except Exception as error:  # aiortc has no error of its own for what it cannot read, not even ValueError
            raise offers.BadOffer(f"The offer cannot be answered ({type(error).__name__}).") from None
        self._answered.set()
        for candidate in self._offer.names:
            self._start(self._add(candidate))
        return Answered(self.id, answer, self.has_audio)

    async def _make_answer(self, voice: MediaStreamTrack | None, bitrate: int) -> str:
        if voice is not None and self._offer.has_audio:
            sender = self._connection.addTrack(voice)
            transceiver = next(one for one in self._connection.getTransceivers() if one.sender is sender)
            capabilities = get_capabilities("audio").codecs
            transceiver.setCodecPreferences([one for one in capabilities if one.mimeType.lower() == "audio/opus"])
            self.has_audio = True
        elif self._offer.has_audio:
            self._connection.addTransceiver("audio", direction="inactive")
        self._connection.on("track", self._on_track)
        await self._connection.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        if self._is_closed:
            raise offers.BadOffer("The call ended before the offer was answered.")
        return webrtc.bounded(self._connection.localDescription.sdp, bitrate)

    def add(self, candidate: Mapping[str, Any]) -> None:
        """Try one more way to reach it; more than `CANDIDATES_MAX` are passed over.

        Raises:
            BadOffer: it is no candidate.
        """
        text = offers.text_of(candidate)
        names = len(self._offer.names)
        if offers.is_taken(self._offer, text) or (len(self._offer.names) > names and self._answered.is_set()):
            self._start(self._add(text))

    async def _add(self, text: str) -> None:
        await self._answered.wait()
        for section in range(self._offer.sections):
            candidate = candidate_from_sdp(text.removeprefix("candidate:"))
            candidate.sdpMLineIndex = section
            with contextlib.suppress(Exception):  # what cannot be tried is passed over
                await self._connection.addIceCandidate(candidate)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; until the channel is open it waits."""
        if self._channel is None or self._channel.readyState != "open":
            if len(self._waiting) < WAITING_MAX:
                self._waiting.append(message)
            return
        if self._channel.bufferedAmount > BUFFERED_BYTES_MAX:
            self._end("it does not read what it is sent")
            return
        self._channel.send(json.dumps(message, separators=(",", ":"), ensure_ascii=False))

    def beat(self, late_seconds: float) -> None:
        """Ask whether it is there, once a second; what we were late by is not its fault."""
        now = self._clock()
        self._heard_at = min(now, self._heard_at + late_seconds)
        if getattr(self._connection.sctp, "_advertised_rwnd", 0) < -UNFINISHED_BYTES_MAX:
            self._end("it sends a message that does not end")
        if self._channel is None:
            if self._answered.is_set() and now - self._began > CONNECT_SECONDS_MAX:
                self._end(f"it did not connect within {CONNECT_SECONDS_MAX:g} seconds")
            return
        if self.has_audio:
            self._start(self._weigh())
        self._ask(self._channel, now - self._heard_at)

    def _ask(self, channel: RTCDataChannel, silent: float) -> None:
        if silent > AWAY_SECONDS and not self._is_away:
            self._leave()
        if silent > GONE_SECONDS:
            self._end(f"it was not heard of for {GONE_SECONDS:g} seconds")
        elif channel.readyState == "open" and channel.bufferedAmount < PINGS_BUFFERED_BYTES_MAX:
            self._pings += 1
            self.send({"type": "ping", "n": self._pings})

    async def _weigh(self) -> None:
        """Let go of who sends far more than sound."""
        reports = cast("Iterable[object]", (await self._connection.getStats()).values())
        received = sum(one.bytesReceived for one in reports if isinstance(one, RTCTransportStats))
        is_fast, self._received = received - self._received > RECEIVED_BYTES_MAX, received
        self._fast_seconds = self._fast_seconds + 1 if is_fast else 0
        if self._fast_seconds >= FAST_SECONDS_MAX:
            self._end("it sends far more than sound takes")

    async def close(self, bye: str | None = None) -> None:
        """Close the connection, after a last message where there is one to give; may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        if bye is not None and self._channel is not None and self._channel.readyState == "open":
            self.send({"type": "bye", "reason": bye})
            await self._sent()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._connection.close()
        except TimeoutError:
            log.error("a connection did not close within %g seconds", CLOSE_SECONDS_MAX)

    async def _sent(self) -> None:
        """Give what is to be sent a moment to leave; a peer that is away does not take it."""
        for _ in range(10):
            if self._channel is None or not self._channel.bufferedAmount:
                return
            await asyncio.sleep(0.02)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channels += 1
        if self._channels > CHANNELS_MAX:
            self._end("it opened too many channels")
        elif channel.label == CHANNEL and self._channel is None and not self._is_closed:
            self._channel = channel
            channel.on("message", self._on_message)
            channel.on("close", self._leave)
            self._heard_at = self._clock()
            self._tell(Connected(self.id, round(self._heard_at - self._began, 3)))
            while self._waiting:
                self.send(self._waiting.popleft())
        else:
            channel.on("message", self._on_stray)

    def _on_track(self, track: Track) -> None:
        self._start(self._listen(track))

    async def _listen(self, track: Track) -> None:
        """What it says, to whoever wants it; it is read in any case, or it would pile up."""
        with contextlib.suppress(MediaStreamError):
            if self.on_sound is not None:
                await self.on_sound(track)
            while True:
                await track.recv()

    def _on_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed") and self._channel is not None:
            self._leave()

    def _leave(self) -> None:
        """Not heard of, or its connection is lost; it may come back, on this connection or another."""
        if not self._is_away and not self._is_closed:
            self._is_away = True
            self._tell(Away(self.id))

    def _end(self, reason: str) -> None:
        if not self._is_ended and not self._is_closed:
            self._is_ended = True
            self._tell(Gone(self.id, reason))

    def _on_message(self, data: str | bytes) -> None:
        if self._is_closed:
            return
        self._heard_at = self._clock()
        if self._is_away:
            self._is_away = False
            self._tell(Back(self.id))
        try:
            if not self._rate.take(self._heard_at):
                raise messages.BadMessage(f"That is too fast; {messages.EACH_SECOND:g} messages a second are taken.")
            message = messages.checked(data)
        except messages.BadMessage as error:
            self._refuse(str(error))
            return
        if message["type"] == "hangup":
            self._end("hung up")
        elif message["type"] != "pong":
            self._tell(Messaged(self.id, message))

    def _on_stray(self, _data: str | bytes) -> None:
        """A message of another channel than that which is read."""
        if not self._is_closed:
            self._refuse(f'Only the channel "{CHANNEL}" is read.')

    def _refuse(self, why: str) -> None:
        """Tell it what was wrong, ten times a second at most; who goes on for long is let go."""
        self._refused += 1
        if self._refused > messages.REFUSED_MAX:
            self._end("it sent too much that is not taken")
        elif (now := self._clock()) - self._error_at >= 0.1:
            self._error_at = now
            self.send({"type": "error", "text": why})
