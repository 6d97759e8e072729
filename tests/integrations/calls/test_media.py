"""Calls with real peers at the other end, through the real media process."""

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtcrtpreceiver, rtcsctptransport

from mcp_server.domain.calls import media, orders
from mcp_server.domain.calls.media import RATE, MediaDied, MediaSettings
from mcp_server.domain.calls.orders import Connected, Messaged, Recorded
from mcp_server.integrations.calls.door import CallMedia
from mcp_server.integrations.calls.ordering import PacketOrder
from tests.integrations.calls.peers import (
    Listener,
    Person,
    clearest,
    join,
    joined,
    longest_gap_seconds,
    power,
    tone,
    wav,
)
from tests.integrations.calls.relay import relayed
from tests.patience import Stopwatch, within

pytestmark = pytest.mark.anyio
SPEECH = (sys.executable, "-I", "-c", "import sys, pathlib; sys.stdout.buffer.write(pathlib.Path({0!r}).read_bytes())")


@pytest.fixture
def in_time() -> Generator[None]:
    """This process, and what it starts, before all others, where it may: sound has gaps on a machine that is busy with
    other things, which is not to decide a test."""
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    yield
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.asynccontextmanager
async def opened(*, audio: bool = False, record: bool = False, **settings: Any) -> AsyncGenerator[Listener]:
    """A call at a media process of its own."""
    door = CallMedia(MediaSettings(**settings))
    try:
        heard = Listener(await door.open("call_1", audio=audio, record=record))
        heard.pid = door.pid
        yield heard
        await heard.close()
    finally:
        await door.close()


def recorded(heard: Listener) -> array:
    return array("h", b"".join(one.pcm for one in heard.told if isinstance(one, Recorded)))


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


async def ends(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_there(pid):
            await asyncio.sleep(0.02)


async def test_text_goes_both_ways_and_what_is_no_message_is_answered_with_an_error():
    async with opened(peers_max=2) as heard, joined(heard, first=[{"type": "welcome", "you": 1}]) as person:
        assert await person.messages.get() == {"type": "welcome", "you": 1}
        person.say(type="text", text="Grüß dich 👋", ref="1")
        assert set(re.findall(r"typ (\w+)", (await heard.until(orders.Answered)).answer)) == {"host"}, "nobody is asked"
        told = await heard.until(Messaged)
        assert (told.peer, told.message) == ("1", {"type": "text", "text": "Grüß dich 👋", "ref": "1"})
        await heard.call.tell(orders.Send({"type": "line", "line": {"n": 1}}))
        assert await person.messages.get() == {"type": "line", "line": {"n": 1}}
        for wrong, why in (("nonsense", "no JSON"), ('{"type":"boo"}', "no known type"), ("x" * 20_000, "at most")):
            person.channel.send(wrong)
            error = await person.messages.get()
            assert error["type"] == "error"
            assert why in error["text"]
            await asyncio.sleep(0.11)  # errors are told ten times a second at most
        async with joined(heard, "2") as other:
            await heard.call.tell(orders.Send({"type": "line", "line": {"n": 2}}))
            await heard.call.tell(orders.Send({"type": "state"}, "2"))
            assert [await other.messages.get(), await other.messages.get()] == [
                {"type": "line", "line": {"n": 2}},
                {"type": "state"},
            ]
            assert await person.messages.get() == {"type": "line", "line": {"n": 2}}
            third = Person()
            await heard.call.tell(orders.Join("3", "x", await third.offer(), audio=False))
            assert (await heard.until(orders.Refused)).why == "2 are connected, and no more can be"
            await third.close()
            other.say(type="hangup")
            assert (await heard.until(orders.Gone)).reason == "hung up"
            assert await other.messages.get() == {"type": "bye", "reason": "hung up"}
        await heard.call.tell(orders.Close("all is said"))
        assert await person.messages.get() == {"type": "bye", "reason": "all is said"}
        await heard.until(orders.Closed)


async def test_a_tone_of_ours_is_heard_and_one_of_theirs_recorded_and_hold_and_mute_are_silence(
    tmp_path: Path, in_time: None
):
    (tmp_path / "said.wav").write_bytes(wav(tone(660, 0.4)))
    speech = (*SPEECH[:-1], SPEECH[-1].format(str(tmp_path / "said.wav")))
    async with opened(audio=True, record=True, speech=speech) as heard, joined(heard, hertz=1000.0) as person:
        await heard.call.tell(orders.Play("a", wav(tone(440, 1, 22_050), 22_050)))
        await heard.call.tell(orders.Say("b", "One, two"))
        assert (await heard.until(orders.Spoken, lambda one: one.id == "b")).seconds == pytest.approx(0.4, abs=0.05)
        await asyncio.sleep(0.3)
        ours = person.sound()
        assert clearest(ours, 440) > 0.9
        assert clearest(ours, 660) > 0.9
        await heard.call.tell(orders.Mute(True))
        await heard.call.tell(orders.Play("c", wav(tone(440, 0.5))))
        await heard.until(orders.Spoken, lambda one: one.id == "c")
        await heard.call.tell(orders.Mute(False))
        await heard.call.tell(orders.Hold(True))
        await heard.call.tell(orders.Play("d", wav(tone(440, 0.5))))
        await asyncio.sleep(1.2)
        assert max(map(abs, person.sound()[RATE // 4 :]), default=0) < 50, "neither what was said muted nor on hold"
        await heard.call.tell(orders.Hold(False))
        await heard.until(orders.Spoken, lambda one: one.id == "d")
        await heard.call.tell(orders.Close("done"))
        await heard.until(orders.Closed)
        sound = recorded(heard)
        assert clearest(sound, 1000) > 0.9
        assert clearest(sound, 440) > 0.3, "both sides at once"
        held = {one.readlink() for one in Path(f"/proc/{heard.pid}/fd").iterdir()}
        assert {str(one) for one in held if one.is_absolute()} <= {"/dev/null", "/dev/urandom"}, "no file is written"
        levels = [one.level_dbfs for one in heard.told if isinstance(one, Recorded)]
        assert -25 < levels[0] < -5
        assert longest_gap_seconds(sound) > 0.3, "what they said on hold is not recorded"


async def test_what_cannot_be_said_is_told_of_with_its_reason():
    async with opened(audio=True) as heard:
        await heard.call.tell(orders.Say("a", "hello"))
        await heard.call.tell(orders.Play("b", b"nonsense"))
        await heard.call.tell(orders.Play("c", wav(tone(440, 1))))
        await heard.call.tell(orders.Candidate("9", {"candidate": ""}))
        await heard.until(orders.Refused, lambda one: one.about == "b")
        await asyncio.sleep(0.3)
        await heard.call.tell(orders.Close("over"))
        await heard.until(orders.Closed)
        why = {one.about: one.why for one in heard.told if isinstance(one, orders.Refused)}
        assert why["a"] == "no command for speech is set"
        assert why["b"].startswith("it is no WAV file")
        assert why["c"] == "the call ended before it was played: over"
        assert why["9"] == "nobody of this number is connected"


async def test_a_garbage_offer_is_refused_with_its_reason_and_the_next_is_answered():
    async with opened() as heard:
        person = Person(440)
        good = await person.offer()
        lines = good.split("\r\n")
        chance = random.Random(20)
        garbage = [
            "",
            "v=0",
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
            good.replace("a=ice-", "a="),
        ]
        for _ in range(30):
            shuffled = [chance.choice([line, line[: chance.randint(0, 20)], "a=", ""]) for line in lines]
            garbage.append("\r\n".join(shuffled))
        for number, offer in enumerate(garbage):
            await heard.call.tell(orders.Join(f"g{number}", "x", offer, audio=False))
        for number in range(len(garbage)):
            told = await heard.until(object, partial(is_of, f"g{number}"))
            if isinstance(told, orders.Answered):
                await heard.call.tell(orders.Drop(told.peer, "a guess that was right"))
        await person.close()
        async with joined(heard, "1") as person:
            for number in range(1000):
                host = f"10.{number % 200}.{number // 200}.7"
                candidate = f"candidate:{number} 1 udp 2130706431 {host} 5000 typ host"
                await heard.call.tell(orders.Candidate("1", {"candidate": candidate, "sdpMLineIndex": 0}))
            person.say(type="text", text="still there")
            async with asyncio.timeout(60):
                await heard.until(Messaged)


def is_of(peer: str, told: object) -> bool:
    return peer == (told.about if isinstance(told, orders.Refused) else getattr(told, "peer", None))


async def test_the_death_of_the_media_process_is_told_to_every_call_at_once_and_the_next_starts_another():
    door = CallMedia(MediaSettings())
    calls = [Listener(await door.open(f"call_{number}", audio=False, record=False)) for number in range(3)]
    before = door.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    for heard in calls:
        assert isinstance(await heard.died(), MediaDied)
        with pytest.raises(MediaDied):
            await heard.call.tell(orders.Mute(True))
    again = Listener(await door.open("call_4", audio=False, record=False))
    assert door.pid not in (None, before)
    async with joined(again):
        pass
    for heard in (*calls, again):
        await heard.close()
    await door.close()
    assert door.pid is None


async def test_it_ends_when_there_are_no_calls_and_when_it_is_told_to():
    door = CallMedia(MediaSettings(idle_seconds=0.2))
    first = Listener(await door.open("call_1", audio=False, record=False))
    pid = door.pid
    assert pid is not None
    await first.close()
    await ends(pid)
    second = Listener(await door.open("call_2", audio=False, record=False))
    pid = door.pid
    assert pid is not None
    await second.call.tell(orders.Say("a", "x"))
    await second.until(orders.Refused)  # so it has the call
    os.kill(pid, signal.SIGTERM)
    assert await second.until(orders.Closed) == orders.Closed()
    await second.died()
    await ends(pid)
    await second.close()
    await door.close()


@pytest.mark.parametrize("program", ["/nowhere", sys.executable])
async def test_a_media_process_that_does_not_start_is_told_of(program: str):
    door = CallMedia(MediaSettings(), lambda: (program, "-c", "raise SystemExit('no aiortc')"))
    with pytest.raises(MediaDied, match="cannot be started|no aiortc"):
        await door.open("call_1", audio=False, record=False)
    await door.close()


PARENT = """
import asyncio, sys
from mcp_server.domain.calls.media import MediaSettings
from mcp_server.integrations.calls.door import CallMedia
from mcp_server.integrations.calls.ordering import PacketOrder

async def main():
    door = CallMedia(MediaSettings())
    call = await door.open("call_1", audio=True, record=True)
    print(door.pid, flush=True)
    await call.heard()

asyncio.run(main())
"""


async def test_a_parent_that_is_killed_leaves_no_media_process():
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert is_there(pid)
    parent.kill()
    await parent.wait()
    await ends(pid)
    parent._transport.close()


async def test_a_rejoin_replaces_the_old_connection_and_is_no_other_peer():
    async with opened(peers_max=1) as heard, joined(heard) as old:
        async with joined(heard, first=[{"type": "welcome"}]) as new:
            assert await new.messages.get() == {"type": "welcome"}
            new.say(type="text", text="again")
            assert (await heard.until(Messaged)).message["text"] == "again"
            bad = "v=0\r\nnonsense"
            await heard.call.tell(orders.Join("1", "x", bad, audio=False))
            await heard.until(orders.Refused)
            await heard.call.tell(orders.Send({"type": "state"}))
            assert await new.messages.get() == {"type": "state"}, "an offer that is refused replaces nothing"
        assert old.messages.empty()
        await heard.until(orders.Away)
        assert [type(one) for one in heard.told if isinstance(one, orders.Gone | orders.Away)] == [orders.Away]


@pytest.mark.slow
async def test_a_peer_that_vanishes_is_noticed_within_five_seconds_and_gone_after_a_minute():
    async with relayed() as relay, opened() as heard, joined(heard, through=relay) as person:
        person.say(type="text", text="here")
        await heard.until(Messaged)
        began, watch = time.monotonic(), Stopwatch()
        relay.delays = lambda: None
        await heard.until(orders.Away)
        assert watch.seconds < 6, "a second of it is this machine's"
        await heard.until(orders.Gone, seconds=180)
        assert time.monotonic() - began > 58 and watch.seconds < 75


@pytest.mark.slow
async def test_ten_seconds_of_loss_are_survived_and_nothing_that_was_written_is_missing(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(rtcsctptransport, "SCTP_RTO_MAX", 2)  # as browsers do; aiortc would wait for up to a minute
    async with (
        relayed() as relay,
        opened(audio=True, record=True) as heard,
        joined(heard, hertz=1000.0, through=relay) as person,
    ):
        await heard.until(Recorded)
        relay.delays = lambda: None
        for number in range(5):
            person.say(type="text", text=str(number))
            await heard.call.tell(orders.Send({"type": "line", "line": {"n": number}}))
        await asyncio.sleep(10)
        assert (await heard.until(orders.Away)).peer == "1"
        relay.delays = lambda: 0.0
        await heard.until(orders.Back, seconds=60)
        await heard.until(Messaged, lambda one: one.message["text"] == "4", seconds=60)
        texts = [one.message["text"] for one in heard.told if isinstance(one, Messaged)]
        assert texts == ["0", "1", "2", "3", "4"]
        assert [(await person.messages.get())["line"]["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
        before = len(heard.told)
        await heard.until(Recorded, lambda one: power(array("h", one.pcm), 1000) > 0.9, after=before)
        assert not [one for one in heard.told if isinstance(one, orders.Gone)]


@pytest.mark.slow
async def test_packets_that_are_late_lost_or_out_of_order_leave_no_gap_in_the_recording_or_at_the_peer(
    monkeypatch: pytest.MonkeyPatch, in_time: None
):
    monkeypatch.setattr(rtcrtpreceiver, "JitterBuffer", PacketOrder)  # browsers have a good one, aiortc has not
    chance = random.Random(7)

    def delays() -> float | None:
        if chance.random() < 0.02:
            return None
        return chance.choice([0.0, 0.0, 0.01, 0.03, 0.06, 0.09])

    async with (
        relayed() as relay,
        opened(audio=True, record=True) as heard,
        joined(heard, hertz=1000.0, through=relay) as person,
    ):
        relay.delays = delays
        await heard.call.tell(orders.Play("a", wav(tone(440, 12))))
        await heard.until(orders.Spoken)
        await asyncio.sleep(0.5)
        ours = person.sound()[RATE:-RATE]
        await heard.call.tell(orders.Close("done"))
        await heard.until(orders.Closed)
        theirs = recorded(heard)[RATE:-RATE]
        assert longest_gap_seconds(ours) <= 0.06
        assert longest_gap_seconds(theirs) <= 0.06
        assert power(ours, 440) > 0.7
        assert power(theirs, 1000) > 0.3


@pytest.mark.slow
async def test_a_peer_that_sends_far_more_than_sound_takes_is_let_go():
    async with opened(audio=True, record=True) as heard, joined(heard, hertz=1000.0, hurry=30):
        assert (await heard.until(orders.Gone)).reason == "it sends far more than sound takes"
        assert len(recorded(heard)) < 60 * RATE, "what it sent is not as long as it says"


@pytest.mark.slow
async def test_servers_that_are_dead_delay_an_answer_by_a_second_at_most():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("0.0.0.0", 0))
        port = dead.getsockname()[1]
        servers = (media.IceServer((f"stun:127.0.0.1:{port}",)), media.IceServer((f"turn:127.0.0.1:{port}",), "a", "b"))
        async with opened(ice_servers=servers) as heard:
            person = Person()
            offer = await person.offer()
            with within(2.5):
                answered = await join(heard, person)
            assert offer
            assert "typ host" in answered.answer
            await heard.until(Connected)
            await person.close()
