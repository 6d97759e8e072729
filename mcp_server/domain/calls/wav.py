"""WAV files: what stands around samples, and whether a file is one that can be played."""

import base64
import binascii
import struct
from collections.abc import Generator
from itertools import islice

from mcp_server.domain.calls.media import RATE, WAV_BYTES_MAX
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed

SECONDS_MAX = 120.0
RATE_MIN, RATE_MAX = 1000, 192_000
CHUNKS_MAX = 100
"""A file made of more parts than that before its sound is not looked through."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_FORMAT_BYTES_MAX = 40
_EXTENSIBLE, _SUBFORMAT = 0xFFFE, slice(24, 26)
_BITS = {1: (8, 16, 24, 32), 3: (32, 64)}
"""By the format, PCM or floats, how many bits a sample may have."""


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
    """How long the sound is that is really there, whatever the file says of its length."""
    form, size = _parts(raw)
    kind, channels, rate, bits = _format(form)
    if not _is_played(kind, channels, rate, bits):
        raise _no_wav(f"format {kind}, {bits} bits, {channels} channels, {rate} Hz")
    seconds = size / (channels * bits // 8) / rate
    if not seconds:
        raise _no_wav("there is no sound in it")
    return seconds


def _format(form: bytes) -> tuple[int, int, int, int]:
    """How the sound is written: the format, channels, samples a second, bits of a sample."""
    if len(form) < _FORMAT.size:
        raise _no_wav("its format is cut off")
    kind, channels, rate, _, _, bits = _FORMAT.unpack_from(form)
    if kind == _EXTENSIBLE:
        kind = int.from_bytes(form[_SUBFORMAT], "little") or kind
    return kind, channels, rate, bits


def _is_played(kind: int, channels: int, rate: int, bits: int) -> bool:
    return bits in _BITS.get(kind, ()) and channels in (1, 2) and RATE_MIN <= rate <= RATE_MAX


def _parts(raw: bytes) -> tuple[bytes, int]:
    """What says how the sound is written, and how many bytes of it there are."""
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise _no_wav("such a file begins with RIFF, a length, and WAVE")
    form = b""
    for name, at, size in islice(_chunks(raw), CHUNKS_MAX):
        if name == b"data" and form:
            rest = len(raw) - at
            return form, min(size or rest, rest)  # one that was written to a pipe says 0, or far too much
        if name == b"fmt ":
            form = raw[at : at + min(size, _FORMAT_BYTES_MAX)]
    raise _no_wav("it does not say its format and then its sound")


def _chunks(raw: bytes) -> Generator[tuple[bytes, int, int]]:
    """The parts of a file: what each is called, where it begins and how long it says it is."""
    at = 12
    while at + _CHUNK.size <= len(raw):
        name, size = _CHUNK.unpack_from(raw, at)
        at += _CHUNK.size
        yield name, at, size
        at += size + size % 2


def _no_wav(why: str) -> ValidationFailed:
    return ValidationFailed(
        f"That is no WAV file that is played ({why}).",
        next=f"Give PCM of 8 to 32 bits or floats, one channel or two, {RATE_MIN} to {RATE_MAX} Hz.",
    )
