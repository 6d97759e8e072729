"""Our side of a call's sound, as it is sent."""

import asyncio
import random
from array import array

import pytest

from mcp_server.integrations.calls.sound import SENT_RATE, Sound
from mcp_server.integrations.calls.voice import WAITING_SECONDS_MAX, Voice, VoiceTrack

pytestmark = pytest.mark.anyio
CHANCE = random.Random(1)
NOISE = array("h", [CHANCE.randint(-8000, 8000) for _ in range(SENT_RATE)]).tobytes()


def sound(seconds: int) -> Sound:
    return Sound(NOISE * seconds, bytes(len(NOISE) // 3 * seconds))


async def bits_a_second(bitrate: int) -> float:
    voice = Voice(lambda *_: None, lambda *_: None)
    voice.add("a", sound(1))
    track = VoiceTrack(voice, bitrate)
    sizes = [(await track.recv()).size for _ in range(50)]
    track.stop()
    return 8 * sum(sizes)


async def test_noise_takes_no_more_than_the_bitrate_that_is_set():
    low, high = await asyncio.gather(bits_a_second(12_000), bits_a_second(48_000))
    assert 9_000 < low < 15_000
    assert 38_000 < high < 56_000


async def test_what_waits_is_bounded_and_said_in_order_and_on_hold_or_unheard_it_waits():
    spoken, heard = list[str](), list[int]()
    voice = Voice(lambda piece, _: spoken.append(piece), lambda number, _: heard.append(number))
    voice.add("a", sound(1))
    voice.add("b", sound(1))
    with pytest.raises(ValueError, match="600 seconds"):
        voice.add("c", sound(int(WAITING_SECONDS_MAX) - 1))
    for number in range(10):
        voice.next_frame(number)
    voice.is_held = True
    assert not any(voice.next_frame(10))
    voice.is_held, voice.is_unheard = False, True
    assert not any(voice.next_frame(11))
    voice.is_unheard, voice.is_muted = False, True
    assert not any(voice.next_frame(12))
    voice.is_muted = False
    for number in range(13, 102):
        voice.next_frame(number)
    assert (spoken, voice.waiting()) == (["a", "b"], [])
    assert heard == [*range(10), *range(13, 102)], "what was said muted is not recorded"
