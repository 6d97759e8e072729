"""Sound that is to be played: a WAV file of any rate, checked and turned into what is sent and what is recorded."""

import io
from dataclasses import dataclass

import av
from av import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from mcp_server.domain.calls.media import RATE, WAV_BYTES_MAX
from mcp_server.domain.calls.wav import RATE_MAX, RATE_MIN

SENT_RATE = 48_000
FRAMES_EACH_SECOND = 50
SENT_FRAME_BYTES = 2 * SENT_RATE // FRAMES_EACH_SECOND
RECORDED_FRAME_BYTES = 2 * RATE // FRAMES_EACH_SECOND
SECONDS_MAX = 600.0
CHANNELS_MAX = 8


@dataclass(frozen=True, slots=True)
class Sound:
    """16-bit mono PCM, at the rate that is sent and at that of recordings."""

    sent: bytes
    recorded: bytes

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.sent) / 2 / SENT_RATE


def sound_of(wav: bytes, bytes_max: int = WAV_BYTES_MAX) -> Sound:
    """What a WAV file of so many bytes at most says.

    Raises:
        ValueError: it cannot be played; the text says why.
    """
    if len(wav) > bytes_max:
        raise ValueError(f"the WAV file has {len(wav)} bytes, and at most {bytes_max} are taken")
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise ValueError("it is no WAV file: that begins with RIFF, a length, and WAVE")
    try:
        with av.open(io.BytesIO(wav), mode="r", format="wav") as container:
            sound = _decoded(container)
    except (FFmpegError, OSError) as error:  # what it says quotes no file
        raise ValueError(f"the WAV file cannot be read ({type(error).__name__})") from None
    if not sound.recorded:
        raise ValueError("the WAV file holds no sound")
    return sound


def _decoded(container: InputContainer) -> Sound:
    streams: tuple[AudioStream, ...] = container.streams.audio
    if len(streams) != 1:
        raise ValueError("the WAV file has no sound that is known here")
    (stream,) = streams
    codec: str = getattr(
        stream.codec_context, "name", "no sound that is known"
    )  # there may be none, whatever types say
    if not codec.startswith("pcm_"):
        raise ValueError(f"the WAV file holds {codec}; only PCM is played")
    if not 1 <= stream.channels <= CHANNELS_MAX or not RATE_MIN <= stream.rate <= RATE_MAX:
        raise ValueError(
            f"the WAV file has {stream.channels} channels at {stream.rate} Hz; "
            f"up to {CHANNELS_MAX} channels at {RATE_MIN} to {RATE_MAX} Hz are played"
        )
    to_sent = AudioResampler(format="s16", layout="mono", rate=SENT_RATE)
    to_recorded = AudioResampler(format="s16", layout="mono", rate=RATE)
    sent, recorded = bytearray(), bytearray()
    for frame in [*container.decode(stream), None]:
        for part in _resampled(to_sent, frame):
            sent += _samples(part)
            recorded += b"".join(map(_samples, _resampled(to_recorded, part)))
        if len(sent) > 2 * SENT_RATE * SECONDS_MAX:
            raise ValueError(f"the WAV file is longer than {SECONDS_MAX:g} seconds")
    recorded += b"".join(map(_samples, _resampled(to_recorded, None)))
    return Sound(bytes(sent), bytes(recorded))


def _resampled(resampler: AudioResampler, frame: AudioFrame | None) -> list[AudioFrame]:
    """A frame in its new form, or what was held back; one that passes through as it is has nothing held back."""
    if frame is not None:
        frame.pts = None
    return [part for part in resampler.resample(frame) if part is not None]  # pyright: ignore[reportUnnecessaryComparison]


def _samples(frame: AudioFrame) -> bytes:
    return bytes(frame.planes[0])[: 2 * frame.samples]
