"""Our side of a call's sound: what is to be said waits here, in order, and is sent in packets of 20 ms; between,
silence.

Packets are encoded here and not by aiortc, which would do it in threads, in stereo and at a bitrate of its own."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, CodecContext
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.packet import Packet

from mcp_server.integrations.calls.sound import (
    FRAMES_EACH_SECOND,
    RECORDED_FRAME_BYTES,
    SENT_FRAME_BYTES,
    SENT_RATE,
    Sound,
)

WAITING_SECONDS_MAX = 600.0
"""How much sound may wait to be played in one call."""

LATE_SECONDS_MAX = 1.0
"""What a stall of ours delayed is sent in a burst up to here, for the peer's buffer to make good; after a longer one,
sending goes on from then."""

_TIME_BASE = Fraction(1, SENT_RATE)
_SAMPLES = SENT_RATE // FRAMES_EACH_SECOND
_SILENCE = bytes(SENT_FRAME_BYTES)


@dataclass(slots=True)
class _Piece:
    id: str
    sound: Sound
    frames: int = 0


class Voice:
    """What is said and played in one call. Pulled by the track of whoever is connected, one at a time."""

    def __init__(self, spoken: Callable[[str, float], None], heard: Callable[[int, bytes], None]) -> None:
        """Nothing to say.

        Args:
            spoken: told the id of what has been played whole, and how many seconds it took.
            heard: told each frame of ours that is sent, by its number on the track, as it is recorded.
        """
        self._spoken, self._heard = spoken, heard
        self._pieces: deque[_Piece] = deque()
        self.is_muted = self.is_held = self.is_unheard = False

    def add(self, piece_id: str, sound: Sound) -> None:
        """Say something after all that waits.

        Raises:
            ValueError: too much waits.
        """
        if sum(piece.sound.seconds for piece in self._pieces) + sound.seconds > WAITING_SECONDS_MAX:
            raise ValueError(f"more than {WAITING_SECONDS_MAX:g} seconds of sound would wait to be played")
        self._pieces.append(_Piece(piece_id, sound))

    def waiting(self) -> list[str]:
        """The ids of what has not been played whole."""
        return [piece.id for piece in self._pieces]

    def next_frame(self, number: int) -> bytes:
        """What is to be sent next: 20 ms at `SENT_RATE`. What is said while muted is passed over; on hold, or while
        whoever listens is away, it waits."""
        if not self._pieces or self.is_held or self.is_unheard:
            return _SILENCE
        piece = self._pieces[0]
        sent = _frame(piece.sound.sent, piece.frames, SENT_FRAME_BYTES)
        recorded = _frame(piece.sound.recorded, piece.frames, RECORDED_FRAME_BYTES)
        piece.frames += 1
        if piece.frames * SENT_FRAME_BYTES >= len(piece.sound.sent):
            self._pieces.popleft()
            self._spoken(piece.id, round(piece.sound.seconds, 3))
        if self.is_muted:
            return _SILENCE
        self._heard(number, recorded)
        return sent


def _frame(sound: bytes, number: int, size: int) -> bytes:
    frame = sound[number * size : (number + 1) * size]
    return frame + bytes(size - len(frame))


class VoiceTrack(MediaStreamTrack):
    """The voice as aiortc sends it to one peer."""

    kind = "audio"

    def __init__(self, voice: Voice, bitrate: int) -> None:
        """A track of its own for each connection; `bitrate` in bits per second."""
        super().__init__()
        self._voice = voice
        self._encoder = _encoder(bitrate)
        self._began: float | None = None
        self._number = 0

    async def recv(self) -> "Packet[AudioStream]":
        """The next packet, when it is due."""
        while True:
            if self.readyState != "live":
                raise MediaStreamError
            await self._until_due()
            packets = self._encoded(self._voice.next_frame(self._number))
            self._number += 1
            if packets:
                return packets[0]

    async def _until_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        wait = self._began + self._number / FRAMES_EACH_SECOND - now
        if wait > 0:
            await asyncio.sleep(wait)
        elif wait < -LATE_SECONDS_MAX:
            self._began -= wait

    def _encoded(self, pcm: bytes) -> "list[Packet[AudioStream]]":
        frame = AudioFrame(format="s16", layout="mono", samples=_SAMPLES)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.pts, frame.time_base = SENT_RATE, self._number * _SAMPLES, _TIME_BASE
        packets: list[Packet[AudioStream]] = list(self._encoder.encode(frame))
        for packet in packets:  # the encoder counts from before its first sample
            packet.pts, packet.time_base = self._number * _SAMPLES, _TIME_BASE
        return packets


class _Encoder(Protocol):
    def encode(self, frame: AudioFrame | None) -> Sequence[Any]: ...


def _encoder(bitrate: int) -> _Encoder:
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.bit_rate, encoder.sample_rate, encoder.time_base = bitrate, SENT_RATE, _TIME_BASE
    encoder.format, encoder.layout = "s16", "mono"
    encoder.options = {"application": "voip", "packet_loss": "10", "fec": "1"}
    return encoder
