"""WAV files: what stands around samples, and whether a file is one that can be played."""

import base64
import binascii
import io
import struct
import wave

from mcp_server.domain.calls.media import RATE, WAV_BYTES_MAX
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed

SECONDS_MAX = 120.0
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def wav_file(pcm: bytes) -> bytes:
    """16-bit samples, one channel, as a file."""
    size = len(pcm)
    return _HEADER.pack(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", size) + pcm


def checked_wav(text: str) -> float:
    """How many seconds a WAV file lasts, given as base64.

    Raises:
        ValidationFailed: it is none.
        LimitExceeded: it is too large or too long.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationFailed("That is not base64, so nothing is played.", next="Give a WAV file as base64.") from None
    if len(raw) > WAV_BYTES_MAX:
        raise LimitExceeded(f"The WAV file has {len(raw)} bytes; {WAV_BYTES_MAX} at most are played.", next="Cut it.")
    seconds = _seconds(raw)
    if seconds > SECONDS_MAX:
        raise LimitExceeded(
            f"The WAV file lasts {seconds:.0f} s; {SECONDS_MAX:.0f} s at most are played.", next="Cut it."
        )
    return seconds


def _seconds(raw: bytes) -> float:
    try:
        with wave.Wave_read(io.BytesIO(raw)) as file:
            seconds = file.getnframes() / file.getframerate()
            known = file.getsampwidth() in (1, 2, 3, 4) and file.getnchannels() in (1, 2)
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise ValidationFailed(
            f"That is no WAV file with PCM in it ({str(error) or 'it ends too soon'}), so nothing is played.",
            next="Give PCM of 8 to 32 bits, one channel or two.",
        ) from None
    if not known or not seconds:
        raise ValidationFailed("The WAV file holds no sound that is played.", next="Give PCM, one channel or two.")
    return seconds
