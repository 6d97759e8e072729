"""One call in the media process: its peers, our voice, and its recording."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from av.audio.resampler import AudioResampler

from mcp_server.domain.calls import orders
from mcp_server.domain.calls.media import RATE
from mcp_server.domain.calls.orders import Gone, Refused, Spoken, Told
from mcp_server.integrations.calls import speech
from mcp_server.integrations.calls.offers import BadOffer
from mcp_server.integrations.calls.peer import Peer, Track
from mcp_server.integrations.calls.recording import Anchor, Recorder
from mcp_server.integrations.calls.sound import RECORDED_FRAME_BYTES, Sound, sound_of
from mcp_server.integrations.calls.voice import Voice, VoiceTrack
from mcp_server.integrations.calls.wire import Begin, Open

PIECES_WAITING_MAX = 32
_NO_SOUND = "this call has text only"
log = logging.getLogger("datamcp.calls")


class Call:
    """A call; does what it is ordered in order, but joins, speech and sound, each of which takes its time."""

    def __init__(self, opened: Open, begin: Begin, tell: Callable[[Told], None], clock: Callable[[], float]) -> None:
        """Nobody is there yet.

        Args:
            opened: what kind of call it is.
            begin: what the operator set.
            tell: told what happens.
            clock: a steady one, in seconds.
        """
        self._opened, self._begin, self._clock = opened, begin, clock
        self._report = tell
        self._peers: dict[str, Peer] = {}
        self._recorder = Recorder() if opened.audio and opened.record else None
        self._voice = Voice(lambda piece, seconds: self._tell(Spoken(piece, seconds)), self._heard_ours)
        self._ours: Anchor | None = None
        self._to_say: asyncio.Queue[orders.Say | orders.Play] = asyncio.Queue(PIECES_WAITING_MAX)
        self._tasks = set[asyncio.Task[None]]()
        self._preparing: str | None = None
        self._is_closed = False
        if opened.audio:
            self._start(self._prepare_sounds())

    def obey(self, order: orders.Order) -> None:
        """Do as ordered, or begin to."""
        match order:
            case orders.Join():
                self._start(self._join(order))
            case orders.Say() | orders.Play():
                self._queue(order)
            case orders.Mute(on):
                self._voice.is_muted = on
            case orders.Hold(on):
                self._hold(on)
            case orders.Close(reason):
                self._start(self.close(reason))
            case _:
                self._obey_about_peers(order)

    def _obey_about_peers(self, order: orders.Candidate | orders.Send | orders.Drop) -> None:
        about = list(self._peers.values()) if order.peer is None else [self._peers.get(order.peer)]
        for peer in about:
            if peer is None:
                self._tell(Refused(str(order.peer), "nobody of this number is connected"))
            elif isinstance(order, orders.Send):
                peer.send(order.message)
            elif isinstance(order, orders.Candidate):
                self._add(peer, order)
            else:
                self._start(self._drop(peer, order.reason))

    def _add(self, peer: Peer, order: orders.Candidate) -> None:
        try:
            peer.add(order.candidate)
        except BadOffer as error:
            self._tell(Refused(peer.id, str(error)))

    def beat(self, late_seconds: float) -> None:
        """Once a second: whether everybody is there, and what was recorded."""
        for peer in list(self._peers.values()):
            peer.beat(late_seconds)
        self._tell_recorded()

    async def close(self, reason: str) -> None:
        """End the call; what is recorded is told still."""
        if self._is_closed:
            return
        self._is_closed = True
        for piece in [*self._voice.waiting(), *self._unprepared()]:
            self._report(Refused(piece, f"the call ended before it was played: {reason}"))
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(peer.close(reason) for peer in self._peers.values()), return_exceptions=True)
        self._peers.clear()
        self._tell_recorded(is_over=True)
        self._report(orders.Closed())

    def _unprepared(self) -> list[str]:
        return [
            *([] if self._preparing is None else [self._preparing]),
            *(self._to_say.get_nowait().id for _ in range(self._to_say.qsize())),
        ]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, told: Told) -> None:
        if not self._is_closed:
            self._report(told)

    def _tell_recorded(self, *, is_over: bool = False) -> None:
        if self._recorder is not None:
            for chunk in self._recorder.chunks(self._clock(), is_over=is_over):
                self._report(chunk)

    # Peers

    async def _join(self, order: orders.Join) -> None:
        replaced = self._peers.get(order.peer)
        try:
            peer = self._peer(order)
        except BadOffer as error:
            self._tell(Refused(order.peer, str(error)))
            return
        is_heard = order.audio and self._has_room_for_sound(order.peer)
        self._peers[order.peer] = peer
        try:
            await self._answer(peer, VoiceTrack(self._voice, self._begin.bitrate) if is_heard else None)
        except BadOffer as error:
            self._tell(Refused(order.peer, str(error)))
            self._forget(peer, replaced)
            await peer.close()
        else:
            if replaced is not None:
                await replaced.close()

    def _peer(self, order: orders.Join) -> Peer:
        if order.peer not in self._peers and len(self._peers) >= self._begin.peers_max:
            raise BadOffer(f"{self._begin.peers_max} are connected, and no more can be")

        def tell(told: Told) -> None:
            self._told(peer, told)

        peer = Peer(order, self._begin.ice_servers, tell, self._clock)
        return peer

    def _has_room_for_sound(self, peer_id: str) -> bool:
        """Sound is of one person and the agent."""
        return self._opened.audio and not any(one.has_audio for key, one in self._peers.items() if key != peer_id)

    async def _answer(self, peer: Peer, track: VoiceTrack | None) -> None:
        if self._recorder is not None:
            peer.on_sound = self._record
        answered = await peer.answer(track, self._begin.bitrate)
        if self._peers.get(peer.id) is peer:
            self._tell(answered)

    def _forget(self, peer: Peer, replaced: Peer | None = None) -> None:
        if self._peers.get(peer.id) is peer:
            del self._peers[peer.id]
            if replaced is not None and not self._is_closed:
                self._peers[peer.id] = replaced

    def _told(self, peer: Peer, told: Told) -> None:
        """What a peer tells of itself; of one that another has replaced, nothing."""
        if self._peers.get(peer.id) is not peer:
            return
        self._tell(told)
        if peer.has_audio:
            self._heard_by(told)
        if isinstance(told, Gone):
            self._forget(peer)
            self._start(peer.close(told.reason))

    def _heard_by(self, told: Told) -> None:
        if isinstance(told, orders.Away | orders.Connected | orders.Back):
            self._voice.is_unheard = isinstance(told, orders.Away)
        if isinstance(told, orders.Connected) and self._recorder is not None:
            self._recorder.begin(self._clock())

    async def _drop(self, peer: Peer, reason: str) -> None:
        if self._peers.get(peer.id) is peer:
            self._tell(Gone(peer.id, reason))
            self._forget(peer)
        await peer.close(reason)

    # Sound

    def _hold(self, on: bool) -> None:
        """What they say on hold is not kept, also where it comes late."""
        self._voice.is_held = on
        if self._recorder is not None:
            self._recorder.theirs.open_from = sys.maxsize if on else self._recorder.at(self._clock())

    def _queue(self, order: orders.Say | orders.Play) -> None:
        why = None
        if not self._opened.audio:
            why = _NO_SOUND
        elif isinstance(order, orders.Say) and not self._begin.speech:
            why = "no command for speech is set"
        elif self._to_say.full():
            why = f"{PIECES_WAITING_MAX} others wait to be spoken"
        if why is not None:
            self._tell(Refused(order.id, why))
        else:
            self._to_say.put_nowait(order)

    async def _prepare_sounds(self) -> None:
        """Make sound of what is to be said, in order."""
        while True:
            order = await self._to_say.get()
            self._preparing = order.id
            try:
                self._voice.add(order.id, await self._sound(order))
            except ValueError as error:
                self._tell(Refused(order.id, str(error)))
            except Exception as error:  # whatever is wrong with one sound, the next is played
                log.error("a sound could not be made", exc_info=error)
                self._tell(Refused(order.id, f"it could not be made into sound ({type(error).__name__})"))
            self._preparing = None

    async def _sound(self, order: orders.Say | orders.Play) -> Sound:
        if isinstance(order, orders.Play):
            return await asyncio.to_thread(sound_of, order.wav)
        wav = await speech.spoken(self._begin.speech, order.text)
        return await asyncio.to_thread(sound_of, wav, speech.SPOKEN_BYTES_MAX)

    def _heard_ours(self, number: int, pcm: bytes) -> None:
        """A frame of ours goes out; where nobody is recorded, or on hold, it is not kept."""
        if self._recorder is None:
            return
        if self._ours is None:
            self._ours = Anchor(self._recorder.ours)
        self._ours.put(number * RECORDED_FRAME_BYTES // 2, pcm, self._recorder.at(self._clock()))

    async def _record(self, track: Track) -> None:
        """Record what a peer says until its track ends."""
        assert self._recorder is not None
        anchor, resampler, at = Anchor(self._recorder.theirs), AudioResampler("s16", "mono", RATE), 0
        expected = None
        while True:
            frame = await track.recv()
            if not isinstance(frame, AudioFrame) or frame.pts is None:
                raise MediaStreamError
            if expected is None or frame.pts != expected:
                at = frame.pts * RATE // frame.sample_rate
            expected = frame.pts + frame.samples
            frame.pts = None
            for part in resampler.resample(frame):
                pcm = bytes(part.planes[0])[: 2 * part.samples]
                anchor.put(at, pcm, self._recorder.at(self._clock()))
                at += part.samples
