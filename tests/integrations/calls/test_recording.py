"""The jitter buffer of what is heard: everything in its place, whatever order it came in."""

import random
from array import array

import pytest

from mcp_server.domain.calls.media import RATE
from mcp_server.integrations.calls.recording import (
    DEPTH_SECONDS,
    SILENCE_DBFS,
    Anchor,
    Lane,
    Recorder,
    level_dbfs,
    recorded,
)
from tests.integrations.calls.peers import longest_gap_seconds, power, tone

FRAME = RATE // 50


def frames(sound: array) -> list[tuple[int, bytes]]:
    return [(at, sound[at : at + FRAME].tobytes()) for at in range(0, len(sound), FRAME)]


def test_frames_that_come_in_any_order_are_heard_in_theirs():
    lane, sound = Lane(), tone(440, 1)
    shuffled = frames(sound)
    random.Random(1).shuffle(shuffled)
    assert {lane.put(at, pcm) for at, pcm in shuffled} == {True}
    assert lane.take(RATE) == sound


@pytest.mark.parametrize("lost", [(7,), (7, 8), (7, 8, 9), (49, 50), (50,), (50, 51, 52)])
def test_a_hole_of_three_packets_is_concealed_also_where_a_chunk_ends(lost: tuple[int, ...]):
    lane, kept = Lane(), [one for number, one in enumerate(frames(tone(440, 2))) if number not in lost]
    for at, pcm in kept:
        lane.put(at, pcm)
    heard = lane.take(RATE) + lane.take(RATE)
    assert longest_gap_seconds(heard) < 0.02


def test_a_hole_of_four_packets_is_silence_and_nothing_is_made_up():
    lane = Lane()
    for number, (at, pcm) in enumerate(frames(tone(440, 1))):
        if number not in (7, 8, 9, 10):
            lane.put(at, pcm)
    assert not any(lane.take(RATE)[7 * FRAME : 11 * FRAME])


def test_what_comes_after_it_was_told_is_left_out_and_said_so():
    lane = Lane()
    lane.take(RATE)
    assert not lane.put(0, tone(440, 0.02).tobytes())
    assert lane.put(RATE - 10, tone(440, 0.02).tobytes()), "the part of it that is still to come is kept"
    assert any(lane.take(FRAME))


def test_a_frame_as_late_as_the_buffer_is_deep_is_in_its_place():
    recorder, late = Recorder(), DEPTH_SECONDS - 0.02
    recorder.begin(100.0)
    anchor, sound = Anchor(recorder.theirs), tone(1000, 4)
    heard = array("h")
    for number, (at, pcm) in enumerate(frames(sound)):
        now = 100.0 + number * 0.02 + (late if number % 10 else 0)
        anchor.put(at, pcm, recorder.at(now))
    for now in (102.0 + DEPTH_SECONDS, 104.0 + DEPTH_SECONDS):
        heard.extend(array("h", b"".join(one.pcm for one in recorder.chunks(now))))
    assert longest_gap_seconds(heard) < 0.02
    assert len(heard) == 4 * RATE
    assert power(heard, 1000) > 0.95


def test_a_track_whose_clock_went_astray_is_heard_from_then_on():
    recorder = Recorder()
    recorder.begin(0.0)
    anchor, sound = Anchor(recorder.theirs), frames(tone(440, 1))
    for at, pcm in sound:
        anchor.put(at, pcm, at)
    for at, pcm in sound:  # an hour later by its own clock, at once by ours
        anchor.put(at + 3600 * RATE, pcm, RATE + at)
    (chunk,) = recorder.chunks(2.0, is_over=True)
    assert longest_gap_seconds(array("h", chunk.pcm)) < 0.02


def test_chunks_are_two_seconds_at_most_and_the_last_is_what_is_left():
    recorder = Recorder()
    assert recorder.chunks(50.0) == []
    recorder.begin(50.0)
    recorder.begin(51.0)
    told = [*recorder.chunks(52.9), *recorder.chunks(53.0), *recorder.chunks(57.0, is_over=True)]
    assert [len(one.pcm) // 2 / RATE for one in told] == [2.0, 2.0, 2.0, 1.0]
    assert recorder.chunks(57.0, is_over=True) == []


def test_both_sides_are_mixed_and_what_is_too_loud_is_cut():
    loud = array("h", [30_000, -30_000, 100])
    assert array("h", recorded(loud, loud).pcm) == array("h", [32_767, -32_768, 200])
    assert array("h", recorded(loud, array("h", bytes(6))).pcm) == loud
    assert array("h", recorded(array("h", bytes(6)), loud).pcm) == loud


def test_what_was_said_on_hold_is_not_kept_even_where_it_comes_late():
    lane = Lane()
    lane.open_from = 5 * FRAME
    assert not lane.put(4 * FRAME, tone(440, 0.02).tobytes())
    assert lane.put(int(4.5 * FRAME), tone(440, 0.02).tobytes())
    heard = lane.take(6 * FRAME)
    assert not any(heard[: 5 * FRAME])
    assert any(heard[5 * FRAME :])


def test_levels_are_below_full_scale():
    assert level_dbfs(array("h", [-32_768] * 100)) == 0.0
    assert level_dbfs(tone(440, 1, loud=32_767)) == pytest.approx(-3.0, abs=0.1)
    assert level_dbfs(array("h", bytes(200))) == SILENCE_DBFS == level_dbfs([])
