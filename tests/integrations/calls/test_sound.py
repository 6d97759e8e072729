"""What is played: WAV files of any rate, and the operator's command for speech."""

import shutil
import struct
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.calls.media import RATE, TEXT_CHARACTERS_MAX, WAV_BYTES_MAX
from mcp_server.integrations.calls import sound, speech
from mcp_server.integrations.calls.sound import SENT_RATE, sound_of
from tests.integrations.calls.peers import power, tone, wav


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_of_any_rate_is_the_same_tone(rate: int):
    played = sound_of(wav(tone(440, 0.5, rate), rate))
    assert played.seconds == pytest.approx(0.5, abs=0.01)
    assert power(array("h", played.sent), 440, SENT_RATE) > 0.95
    assert power(array("h", played.recorded), 440) > 0.95


def test_two_channels_are_heard_as_one():
    both = array("h", [value for one in tone(440, 0.5) for value in (one, one)])
    played = sound_of(wav(both, channels=2))
    assert played.seconds == pytest.approx(0.5, abs=0.01)
    assert power(array("h", played.recorded), 440) > 0.95


def test_a_file_that_was_written_to_a_pipe_says_no_length_and_is_played():
    whole = wav(tone(440, 0.5))
    unsized = whole[:4] + b"\xff\xff\xff\x7f" + whole[8:40] + b"\xff\xff\xff\x7f" + whole[44:]
    assert sound_of(unsized).seconds == pytest.approx(0.5, abs=0.01)


def header(codec: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    body = struct.pack("<HHIIHH", codec, channels, rate, rate * 2, 2, bits)
    return b"RIFF\x24\x10\x00\x00WAVEfmt \x10\x00\x00\x00" + body + b"data\x00\x10\x00\x00" + bytes(4096)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "no WAV"),
        (b"ID3" + bytes(100), "no WAV"),
        (b"RIFF\x00\x00\x00\x00WAVE", "cannot be read|no sound"),
        (wav(array("h")), "cannot be read|no sound"),
        (header(codec=0x55), "only PCM|cannot be read"),
        (header(codec=0x11, bits=4), "only PCM|cannot be read"),
        (header(bits=0), "no sound that is known"),
        (header(rate=1), "1 Hz|cannot be read"),
        (header(channels=60), "60 channels|cannot be read"),
        (b"RIFF" + bytes(4) + b"WAVE" + bytes(WAV_BYTES_MAX), "at most"),
    ],
)
def test_what_cannot_be_played_is_refused_and_why(file: bytes, why: str):
    with pytest.raises(ValueError, match=why):
        sound_of(file)


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 255), max_size=8), st.integers(0, 60))
def test_whatever_is_altered_in_a_header_it_is_played_or_refused(altered: dict[int, int], cut: int):
    file = bytearray(header()[:-4000])
    for at, value in altered.items():
        file[at] = value
    try:
        assert 0 < sound_of(bytes(file[: len(file) - cut])).seconds < 1
    except ValueError as error:
        assert str(error)


def test_sound_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound, "SECONDS_MAX", 2.0)
    assert sound_of(wav(tone(440, 1.9))).seconds == pytest.approx(1.9, abs=0.01)
    with pytest.raises(ValueError, match="longer than 2 seconds"):
        sound_of(wav(tone(440, 2.1)))


def command(tmp_path: Path, body: str) -> list[str]:
    file = tmp_path / "speak.py"
    file.write_text(f"import sys, time\n{body}")
    return [sys.executable, "-I", str(file)]


ECHO = "sys.stdout.buffer.write(b'said ' + (sys.argv[1:] and sys.argv[1].encode() or sys.stdin.buffer.read()))"


@pytest.mark.anyio
@pytest.mark.parametrize(("argument", "text"), [((), "Grüß -v"), (("{text}",), "Grüß -v")])
async def test_the_text_comes_on_stdin_or_where_the_command_wants_it(
    tmp_path: Path, argument: tuple[str, ...], text: str
):
    assert await speech.spoken([*command(tmp_path, ECHO), *argument], text) == f"said {text}".encode()


@pytest.mark.anyio
async def test_a_text_that_begins_like_an_option_is_none(tmp_path: Path):
    assert await speech.spoken([*command(tmp_path, ECHO), "{text}"], "--version") == b"said  --version"


@pytest.mark.anyio
@pytest.mark.parametrize("argument", [(), ("{text}",)])
@pytest.mark.parametrize("text", ["a\nb\r\n-v", "\x01\x1b[31m\x7f", "$(id); `id` | id", "@/etc/passwd", "x" * 100_000])
async def test_whatever_a_text_holds_it_reaches_the_command_as_it_is(
    tmp_path: Path, argument: tuple[str, ...], text: str
):
    assert await speech.spoken([*command(tmp_path, ECHO), *argument], text) == f"said {text}".encode()


@pytest.mark.anyio
@pytest.mark.parametrize("argument", [(), ("{text}",)])
async def test_what_is_no_text_is_not_spoken_and_starts_nothing(tmp_path: Path, argument: tuple[str, ...]):
    argv = [*command(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')"), *argument]
    with pytest.raises(ValueError, match="cannot be started|surrogates"):
        await speech.spoken(argv, "\ud800")
    assert not (tmp_path / "started").exists()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("sys.exit('no voice')", r"ended with 1, saying \"no voice\""),
        ("while True: sys.stdout.buffer.write(bytes(1000000))", "wrote more than"),
        ("time.sleep(60)", "took longer than"),
    ],
)
async def test_a_command_that_fails_or_goes_on_for_ever_is_stopped_and_told_of(
    tmp_path: Path, body: str, why: str, monkeypatch: pytest.MonkeyPatch
):
    if "sleep" in body:
        monkeypatch.setattr(speech, "SECONDS_MAX", 0.2)
    with pytest.raises(ValueError, match=why):
        await speech.spoken(command(tmp_path, body), "hello")


@pytest.mark.anyio
async def test_a_command_that_is_not_there_is_told_of():
    with pytest.raises(ValueError, match="cannot be started"):
        await speech.spoken(["/nowhere/speak"], "hello")


@pytest.mark.anyio
async def test_a_command_sees_none_of_the_servers_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATAMCP_TURN_PASSWORD", "secret")
    argv = command(tmp_path, "import os; sys.stdout.write(repr(sorted(os.environ)))")
    assert b"DATAMCP" not in await speech.spoken(argv, "hello")


@pytest.mark.anyio
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng is installed")
@pytest.mark.parametrize("argv", [["espeak-ng", "--stdout"], ["espeak-ng", "--stdout", "{text}"]])
async def test_a_real_voice_is_heard(argv: list[str]):
    played = sound_of(await speech.spoken(argv, "One, two, three."))
    assert played.seconds > 0.5
    assert max(array("h", played.recorded)) > 3000


@pytest.mark.anyio
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng is installed")
async def test_the_longest_text_is_spoken_whole():
    wav = await speech.spoken(["espeak-ng", "--stdin", "--stdout"], ("Seven and eight. " * 300)[:TEXT_CHARACTERS_MAX])
    assert len(wav) > WAV_BYTES_MAX
    assert sound_of(wav, speech.SPOKEN_BYTES_MAX).seconds > 100
