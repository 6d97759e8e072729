"""WAV files that are given to be played: what is taken, and why the rest is not, before anything is made of it."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.calls.media import WAV_BYTES_MAX
from mcp_server.domain.calls.wav import checked_wav
from mcp_server.kernel.errors import LimitExceeded, OpsError, ValidationFailed
from tests.patience import Stopwatch

SOUND = bytes(16_000)
PCM, FLOATS = 1, 3


def wav(kind: int = PCM, channels: int = 1, rate: int = 16_000, bits: int = 16, **more: Any) -> bytes:
    """A file of `sound` whose header may say `data` bytes of it, in a form that may have a `subformat`."""
    sound, align = more.get("sound", SOUND), channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits)
    if "subformat" in more:
        form += struct.pack("<HHIH", 22, bits, 4, more["subformat"]) + bytes.fromhex("000000001000800000aa00389b71")
    parts = struct.pack("<4sI", b"fmt ", len(form)) + form
    parts += struct.pack("<4sI", b"data", more.get("data", len(sound))) + sound
    return b"RIFF" + struct.pack("<I", more.get("riff", 4 + len(parts))) + b"WAVE" + parts


def seconds(file: bytes) -> float:
    return checked_wav(base64.b64encode(file).decode())


@pytest.mark.parametrize(
    ("file", "lasts"),
    [
        (wav(), 0.5),
        (wav(bits=8, rate=8000), 2.0),
        (wav(bits=24, channels=2, rate=48_000, sound=bytes(6 * 4800)), 0.1),
        (wav(FLOATS, bits=32, rate=16_000), 0.25),
        (wav(0xFFFE, subformat=PCM), 0.5),
        (wav(0xFFFE, subformat=FLOATS, bits=32), 0.25),
        (wav(data=0xFFFFFFF0), 0.5),
        (wav(data=0x7FFFFFFF, riff=0x7FFFFFFF), 0.5),
        (wav(data=0, riff=0), 0.5),
        (wav()[:-8000], 0.25),
        (wav(data=3200), 0.1),
    ],
)
def test_a_file_lasts_as_long_as_the_sound_that_is_in_it_whatever_it_says(file: bytes, lasts: float):
    assert seconds(file) == pytest.approx(lasts)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "begins with RIFF"),
        (b"RIFX" + wav()[4:], "begins with RIFF"),
        (b"RF64" + wav()[4:], "begins with RIFF"),
        (wav()[:30], "format and then"),
        (wav()[:36], "format and then"),
        (wav()[:44], "no sound"),
        (wav()[:16] + struct.pack("<I", 2) + b"\x01\x00" + wav()[36:], "cut off"),
        (wav(channels=0), "0 channels"),
        (wav(channels=65_535), "65535 channels"),
        (wav(channels=3), "3 channels"),
        (wav(rate=0), " 0 Hz"),
        (wav(rate=999), " 999 Hz"),
        (wav(rate=192_001), " 192001 Hz"),
        (wav(rate=0xFFFFFFFF), " 4294967295 Hz"),
        (wav(bits=0), " 0 bits"),
        (wav(bits=12), " 12 bits"),
        (wav(FLOATS, bits=16), "format 3, 16 bits"),
        (wav(0x55), "format 85"),
        (wav(0xFFFE), "format 65534"),
        (wav(0xFFFE, subformat=0x11), "format 17"),
    ],
)
def test_what_is_not_played_is_refused_with_what_it_says_of_itself(file: bytes, why: str):
    with pytest.raises(ValidationFailed, match=why):
        seconds(file)


@pytest.mark.parametrize("text", ["", "no base64!", "UklGR", "\u00e4", "UklG\nRg==", "data:audio/wav;base64,UklGRg=="])
def test_what_is_no_base64_is_refused(text: str):
    with pytest.raises(ValidationFailed):
        checked_wav(text)


def test_a_file_that_is_too_large_or_too_long_is_refused():
    with pytest.raises(LimitExceeded, match="bytes"):
        seconds(wav(sound=bytes(WAV_BYTES_MAX)))
    with pytest.raises(LimitExceeded, match="lasts 500 s"):
        seconds(wav(rate=8000, bits=8, sound=bytes(4_000_000)))


def test_a_file_of_a_great_many_parts_is_not_looked_through():
    watch = Stopwatch()
    with pytest.raises(ValidationFailed):
        seconds(b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 500_000)
    assert watch.seconds < 1


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 255), max_size=8), st.integers(0, 60))
def test_whatever_is_altered_in_a_header_a_file_is_taken_or_refused(altered: dict[int, int], cut: int):
    file = bytearray(wav(sound=bytes(64)))
    for at, value in altered.items():
        file[at] = value
    try:
        assert 0 < seconds(bytes(file[: len(file) - cut])) <= 120
    except OpsError as error:
        assert error.wrong
