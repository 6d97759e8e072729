"""The other end of a call: a real WebRTC peer, in the process of the test or in one of its own."""

import asyncio
import contextlib
import io
import json
import math
import wave
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from av import AudioFrame
from av.audio.resampler import AudioResampler

from mcp_server.domain.calls.media import CHANNEL, RATE
from mcp_server.domain.calls.orders import Answered, Connected, Join, MediaCall, Refused, Told
from mcp_server.integrations.calls.recording import Anchor, Recorder
from tests.integrations.calls.relay import Relay

T = TypeVar("T")


def tone(hertz: float, seconds: float, rate: int = RATE, loud: int = 8000) -> array:
    return array("h", [int(loud * math.sin(2 * math.pi * hertz * one / rate)) for one in range(int(seconds * rate))])


def wav(samples: array, rate: int = RATE, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def power(samples: Sequence[int], hertz: float, rate: int = RATE) -> float:
    """The part of what is heard that has this frequency (Goertzel), 0 to 1."""
    whole = sum(one * one for one in samples)
    if not whole:
        return 0.0
    factor, before, last = 2 * math.cos(2 * math.pi * hertz / rate), 0.0, 0.0
    for one in samples:
        before, last = last, one + factor * last - before
    return 2 * (before**2 + last**2 - factor * before * last) / len(samples) / whole


def clearest(samples: Sequence[int], hertz: float, rate: int = RATE) -> float:
    """The most of a frequency in any fifth of a second, 0 to 1."""
    step = rate // 5
    steps = range(0, len(samples) - step, step // 2)
    return max((power(samples[at : at + step], hertz, rate) for at in steps), default=0.0)


def longest_gap_seconds(samples: Sequence[int], rate: int = RATE, quiet: int = 400) -> float:
    """The longest silence between the first and the last that is heard, looked at in steps of 5 ms."""
    step = rate // 200
    heard = [max(map(abs, samples[at : at + step])) > quiet for at in range(0, len(samples) - step, step)]
    if not any(heard):
        return math.inf
    first, last = heard.index(True), len(heard) - heard[::-1].index(True)
    gap = longest = 0
    for one in heard[first:last]:
        gap = 0 if one else gap + 1
        longest = max(longest, gap)
    return longest / 200


class ToneTrack(MediaStreamTrack):
    """A tone of the peer's, in frames of 20 ms."""

    kind = "audio"

    def __init__(self, hertz: float, hurry: int = 1) -> None:
        super().__init__()
        self._hurry = hurry
        self._period, self._number, self._began = tone(hertz, 1, 48_000), 0, 0.0

    async def recv(self) -> AudioFrame:
        now = asyncio.get_running_loop().time()
        self._began = self._began or now
        await asyncio.sleep(max(0, self._began + self._number * 0.02 / self._hurry - now))
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        at = self._number * 960 % 48_000
        frame.planes[0].update(self._period[at : at + 960].tobytes())
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._number * 960, Fraction(1, 48_000)
        self._number += 1
        return frame


class Person:
    """A peer that dials in, keeps what it is sent, and what it hears if it has sound."""

    def __init__(
        self, hertz: float | None = None, servers: Sequence[RTCIceServer] = (), *, listens: bool = False, hurry: int = 1
    ) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=list(servers)))
        self.channel = self.connection.createDataChannel(CHANNEL)
        self.opened = asyncio.Event()
        self.channel.on("open", self.opened.set)
        self.channel.on("message", self._on_message)
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.pings = 0
        self.answers_pings = True
        self.heard = Recorder()
        self._listening: list[asyncio.Task[None]] = []
        if hertz is not None:
            self.connection.addTrack(ToneTrack(hertz, hurry))
        elif listens:
            self.connection.addTransceiver("audio", direction="recvonly")
        self.connection.on("track", lambda track: self._listening.append(asyncio.create_task(self._listen(track))))

    def _on_message(self, data: str) -> None:
        message = json.loads(data)
        if message["type"] != "ping":
            self.messages.put_nowait(message)
            return
        self.pings += 1
        if self.answers_pings:
            self.say(type="pong", n=message["n"])

    def say(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Hears as a browser does: behind a jitter buffer, ours."""
        clock = asyncio.get_running_loop().time
        anchor, resampler = Anchor(self.heard.theirs), AudioResampler("s16", "mono", RATE)
        self.heard.begin(clock())
        with contextlib.suppress(Exception):
            while True:
                frame = await track.recv()
                at, frame.pts = frame.pts * RATE // 48_000, None
                for part in resampler.resample(frame):
                    pcm = bytes(part.planes[0])[: 2 * part.samples]
                    anchor.put(at, pcm, self.heard.at(clock()))

    def sound(self) -> array:
        """All that was heard since this was asked last."""
        chunks = self.heard.chunks(asyncio.get_running_loop().time(), is_over=True)
        return array("h", b"".join(chunk.pcm for chunk in chunks))

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def close(self) -> None:
        await self.connection.close()
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)


class Listener:
    """Takes all that is told of a call, so that a test can wait for some of it."""

    def __init__(self, call: MediaCall) -> None:
        self.call, self.told = call, list[Told]()
        self.pid: int | None = None
        self.error: Exception | None = None
        self._more = asyncio.Condition()
        self._task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        try:
            while True:
                told = await self.call.heard()
                async with self._more:
                    self.told.append(told)
                    self._more.notify_all()
        except Exception as error:
            async with self._more:
                self.error = error
                self._more.notify_all()

    async def until(
        self, kind: type[T], which: Callable[[T], bool] = lambda _: True, *, after: int = 0, seconds: float = 60
    ) -> T:
        """The first of a kind, told already or to come; `after` so many other things that were told."""

        def found() -> T | None:
            return next((one for one in self.told[after:] if isinstance(one, kind) and which(one)), None)

        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: found() is not None or self.error is not None)
        one = found()
        if one is None:
            raise self.error or AssertionError
        return one

    async def died(self, seconds: float = 60) -> Exception:
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: self.error is not None)
        assert self.error is not None
        return self.error

    async def close(self) -> None:
        await self.call.leave()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def join(
    heard: Listener,
    person: Person,
    peer: str = "1",
    *,
    audio: bool = False,
    first: Sequence[dict[str, Any]] = (),
    through: Relay | None = None,
) -> Answered:
    """Have a person join, directly or through a relay."""
    before = len(heard.told)
    offer = await person.offer()
    await heard.call.tell(Join(peer, "A person", through.offer(offer) if through else offer, audio, tuple(first)))
    told = await heard.until(object, lambda one: isinstance(one, Answered | Refused), after=before)
    assert isinstance(told, Answered), told
    await person.accept(through.answer(told.answer) if through else told.answer)
    return told


@contextlib.asynccontextmanager
async def joined(
    heard: Listener,
    peer: str = "1",
    hertz: float | None = None,
    *,
    listens: bool = False,
    hurry: int = 1,
    **options: Any,
) -> AsyncGenerator[Person]:
    """A person that has joined and is connected."""
    person = Person(hertz, listens=listens, hurry=hurry)
    try:
        before = len(heard.told)
        await join(heard, person, peer, audio=hertz is not None or listens, **options)
        await heard.until(Connected, lambda one: one.peer == peer, after=before)
        await person.opened.wait()
        yield person
    finally:
        await person.close()
