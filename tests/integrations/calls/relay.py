"""A network between two peers that a test controls: a relay of UDP packets that can delay, drop and reorder them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable

_CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*\r\n")
_ANY = re.compile(r"a=candidate:.*\r\n")


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self.datagram_received = received  # type: ignore[method-assign]


class Relay:
    """Stands between one peer and the media process, which each know only its address."""

    def __init__(self) -> None:
        self.delays: Callable[[], float | None] = lambda: 0.0
        """How long the next packet takes, in seconds; None where it is lost."""
        self.passed = 0
        self._peer: tuple[str, int] | None = None
        self._media: tuple[str, int] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._to_peer, _ = await loop.create_datagram_endpoint(lambda: _Side(self._of_peer), local_addr=("0.0.0.0", 0))
        self._to_media, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._of_media), local_addr=("0.0.0.0", 0)
        )

    def stop(self) -> None:
        self._to_peer.close()
        self._to_media.close()

    def offer(self, sdp: str) -> str:
        """An offer as the media process is told it: with no address of the peer's, whose packets come through here."""
        return _ANY.sub("", sdp)

    def answer(self, sdp: str) -> str:
        """An answer as the peer is told it: with the address of this relay alone."""
        found = _CANDIDATE.search(sdp)
        assert found is not None
        self._media = (found[1], int(found[2]))
        port = self._to_peer.get_extra_info("sockname")[1]
        here = f"a=candidate:1 1 udp 2130706431 {found[1]} {port} typ host\r\n"
        return _ANY.sub("", sdp).replace("a=end-of-candidates\r\n", f"{here}a=end-of-candidates\r\n")

    def _of_peer(self, data: bytes, address: tuple[str, int]) -> None:
        self._peer = address
        self._pass(self._to_media, data, self._media)

    def _of_media(self, data: bytes, address: tuple[str, int]) -> None:
        self._pass(self._to_peer, data, self._peer)

    def _pass(self, transport: asyncio.DatagramTransport, data: bytes, address: tuple[str, int] | None) -> None:
        seconds = self.delays()
        if seconds is None or address is None:
            return
        self.passed += 1
        asyncio.get_running_loop().call_later(seconds, self._send, transport, data, address)

    def _send(self, transport: asyncio.DatagramTransport, data: bytes, address: tuple[str, int]) -> None:
        if not transport.is_closing():
            transport.sendto(data, address)


@contextlib.asynccontextmanager
async def relayed() -> AsyncGenerator[Relay]:
    relay = Relay()
    await relay.start()
    try:
        yield relay
    finally:
        relay.stop()
