"""The desk's side of a call as the page meets it: a real WebRTC peer behind the page's routes, which says what a test
wants. The store and the media process have tests of their own."""

import array
import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from starlette.applications import Starlette

from mcp_server.domain.calls.joining import Invitation, JoinCall, Joined, LinkUsed
from mcp_server.kernel.hosts import LOOPBACK, Hosts
from mcp_server.pages.call import call_routes
from mcp_server.pages.door import Door
from tests.web import served

RATE = 48_000
TOKEN = "call-link"
RESUME = "resume-secret"
_HIDDEN = re.compile(r"[0-9a-f-]+\.local")
"""How a browser hides its address; it is found by what it sends. aioice would ask the network, in one loop for ever."""


def invited(**told: Any) -> Invitation:
    """What a link leads to: a call in writing, where nothing else is said."""
    call = {
        "call_id": "call_1",
        "purpose": "Shall v7 go out?",
        "opened_by": "agent:scribe via user:local",
        "media": "text",
        "record": False,
        "status": "pending",
        "participant": "ann@example.org",
        "expires_at": 1_800_000_000_000_000,
        "is_used": False,
        "ice_servers": [],
    }
    return Invitation(**call | told)


class Tone(AudioStreamTrack):
    """A sine of one frequency for ever, 20 ms at a time."""

    def __init__(self, hertz: float) -> None:
        super().__init__()
        self._hertz = hertz
        self._samples = 0
        self._started: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self._started = loop.time() if self._started is None else self._started
        await asyncio.sleep(max(self._started + self._samples / RATE - loop.time(), 0))
        count = RATE // 50
        sound = array.array(
            "h",
            (int(12_000 * math.sin(math.tau * self._hertz * (self._samples + i) / RATE)) for i in range(count)),
        )
        frame = AudioFrame(format="s16", layout="mono", samples=count)
        frame.planes[0].update(sound.tobytes())
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._samples
        self._samples += count
        return frame


class Peer:
    """One call of one person, whose desk does what the test says."""

    def __init__(self, **told: Any) -> None:
        self.invited = invited(**told)
        self.lines = list[dict[str, Any]]()
        self.offers = list[JoinCall]()
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """What the page sent, but its heartbeat."""
        self.refusal: Exception | None = None
        self.is_deaf = False
        """Whether offers are answered with an answer that leads nowhere."""
        self.takes_no_sound = False
        self.silent: Any = None
        """The channel on which the desk says nothing more."""
        self.tone: float | None = None
        self.heard = bytearray()
        """16-bit stereo PCM of the person's microphone."""
        self._lines = list[RTCPeerConnection]()
        self._tasks = set[asyncio.Task[None]]()
        self._channel: Any = None

    def get(self, _: type) -> "Peer":
        """Stand where the page looks for the service of calls."""
        return self

    async def invitation(self, token: str) -> Invitation:
        assert token == TOKEN
        return self.invited

    async def join(self, token: str, command: JoinCall) -> Joined:
        assert token == TOKEN
        self.offers.append(command)
        if self.refusal is not None:
            raise self.refusal
        if self.invited.is_used and command.resume != RESUME:
            raise LinkUsed("This link has been used.", next="Ask for a new one.")
        self.invited = self.invited._replace(is_used=True)
        line = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        line.on("datachannel", self._opened)
        line.on("track", lambda track: self._keep(self._hear(track)))
        await line.setRemoteDescription(RTCSessionDescription(_HIDDEN.sub("127.0.0.1", command.offer), "offer"))
        if self.takes_no_sound:
            line.getTransceivers()[0].direction = "inactive"
        if self.tone is not None:
            line.addTrack(Tone(self.tone))
        await line.setLocalDescription(await line.createAnswer())
        self._lines.append(line)
        if self.is_deaf:
            await line.close()
        return Joined(line.localDescription.sdp, self.invited.call_id, RESUME)

    def say(self, **message: Any) -> None:
        """Send a message to the page."""
        self._channel.send(json.dumps(message))

    def write(self, text: str, who: str = "agent:scribe", kind: str = "text", **more: Any) -> None:
        """A line of the transcript, kept and told."""
        self.lines.append(
            {"n": len(self.lines) + 1, "at": "2027-01-15T08:00:00Z", "who": who, "kind": kind, "text": text} | more
        )
        if self._channel is not None:
            self.say(type="line", line=self.lines[-1])

    async def told(self, kind: str) -> dict[str, Any]:
        """The next message of a kind from the page; others before it are passed over."""
        async with asyncio.timeout(60):
            while True:
                message = await self.said.get()
                if message["type"] == kind:
                    return message

    def fall_silent(self) -> None:
        """Say nothing more on this line, not even that it is alive; the next one is another."""
        self.silent = self._channel

    async def vanish(self) -> None:
        """End the line without a word, as a network does."""
        await self._lines[-1].close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self._lines:
            await line.close()

    def _keep(self, work: Any) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", self._take)
        status = {"id": "call_1", "purpose": self.invited.purpose, "status": "active", "media": self.invited.media}
        people = [{"name": self.invited.participant, "state": "joined"}]
        self.say(
            type="welcome",
            call=status | {"recording": self.invited.record},
            you=1,
            participants=people,
            lines=self.lines,
        )
        self._keep(self._ping(channel))

    async def _ping(self, channel: Any) -> None:
        while channel.readyState == "open":
            if channel is not self.silent:
                channel.send('{"type":"ping","n":1}')
            await asyncio.sleep(1)

    def _take(self, data: str) -> None:
        message = json.loads(data)
        if message["type"] == "hangup":
            self.say(type="bye", reason="ann@example.org hung up.")
        if message["type"] != "pong":
            self.said.put_nowait(message)

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                assert frame.format.name == "s16" and len(frame.layout.channels) == 2
                self.heard += bytes(frame.planes[0])[: frame.samples * 4]
        except MediaStreamError:
            return


@asynccontextmanager
async def calling(**told: Any) -> AsyncGenerator[tuple[Peer, str]]:
    """A call, and its link."""
    peer = Peer(**told)
    desk: Any = peer
    async with served(Door(Starlette(routes=call_routes(desk)), Hosts([*LOOPBACK, "lan.test:*"]))) as address:
        try:
            yield peer, f"{address}/calls/{TOKEN}"
        finally:
            await peer.close()


def loudness(pcm: bytes, hertz: float, channels: int, rate: int) -> float:
    """How much of the sound's energy is at a frequency (Goertzel): 1 for a pure sine, 0 for silence."""
    samples = array.array("h", pcm[: len(pcm) // 2 * 2])[::channels]
    energy = sum(sample * sample for sample in samples)
    if energy == 0:
        return 0.0
    turn = 2 * math.cos(math.tau * hertz / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    return 2 * (last * last + before * before - turn * last * before) / (energy * len(samples))
