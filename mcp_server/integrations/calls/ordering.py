"""Sound packets in their order, for the decoder.

aiortc's own buffer stops for 16 packets at the first that is lost, and drops what it has where others overtake that."""

import heapq

from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

HELD_PACKETS = 8
"""160 ms: a packet that is later than that is lost."""

_WRAP = 1 << 16


class PacketOrder:
    """Takes the place of aiortc's `JitterBuffer`, for Opus, where each packet is a frame: holds so many packets, and
    with each that comes lets the first go."""

    def __init__(self, capacity: int, prefetch: int = 0, is_video: bool = False) -> None:
        """What aiortc asks for is for its own."""
        self._held: list[tuple[int, JitterFrame]] = []
        self._newest: int | None = None
        self._gone = -1

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Hold a packet; whether a picture is to be asked for, which is never, and what is next."""
        number = self._unwrapped(packet.sequence_number)
        if number > self._gone and all(number != held for held, _ in self._held):
            heapq.heappush(self._held, (number, JitterFrame(packet.payload, packet.timestamp)))
        if len(self._held) <= HELD_PACKETS:
            return False, None
        self._gone, frame = heapq.heappop(self._held)
        return False, frame

    def _unwrapped(self, sequence_number: int) -> int:
        """The number that goes on where 16 bits end: the one nearest to the newest."""
        if self._newest is None:
            self._newest = _WRAP + sequence_number
            return self._newest
        ahead = (sequence_number - self._newest + _WRAP // 2) % _WRAP - _WRAP // 2
        number = self._newest + ahead
        self._newest = max(self._newest, number)
        return number
