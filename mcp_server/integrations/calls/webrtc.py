"""What aiortc is told once, before the first connection: it has no options for these.

- Names of servers outside are asked for a second at most, so that a dead STUN server does not hold up every answer.
- A machine whose only network is itself has the loopback address as its candidate.
- Sound packets are put in order as `ordering` says.
- After a loss the text channel tries again every two seconds, and not after up to a minute.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aioice import Candidate, Connection, TransportPolicy
from aiortc import RTCConfiguration, RTCIceServer, rtcicetransport, rtcrtpreceiver, rtcsctptransport
from aiortc.rtcconfiguration import RTCBundlePolicy

from mcp_server.domain.calls.media import MESSAGE_BYTES_MAX
from mcp_server.integrations.calls.ordering import PacketOrder

GATHER_SECONDS_MAX = 1
RETRY_SECONDS_MAX = 2
LOOPBACK = "127.0.0.1"
_SIZE = re.compile(r"a=max-message-size:\d+")
_OPUS = re.compile(r"a=rtpmap:(\d+) opus/48000/2\r\n", re.IGNORECASE)


class BoundedConnection(Connection):
    """An ICE connection that does not wait long for servers."""

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = GATHER_SECONDS_MAX
    ) -> list[Candidate]:
        """See `Connection`."""
        if not addresses and self._transport_policy == TransportPolicy.ALL:
            addresses = [LOOPBACK]
        return await super().get_component_candidates(component, addresses, timeout)


def prepare() -> None:
    """Tell aiortc."""
    setattr(rtcicetransport, "Connection", BoundedConnection)  # noqa: B010 - it is not exported from there
    setattr(rtcrtpreceiver, "JitterBuffer", PacketOrder)  # noqa: B010
    rtcsctptransport.SCTP_RTO_MAX = RETRY_SECONDS_MAX


def configuration(servers: Sequence[Mapping[str, Any]]) -> RTCConfiguration:
    """How to connect, by these servers and no others: aiortc's default would be a public one."""
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=one["urls"], username=one.get("username"), credential=one.get("credential"))
            for one in servers
        ],
        bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
    )


def bounded(answer: str, bitrate: int) -> str:
    """An answer that asks the peer for Opus of one channel at this bitrate, with what repairs losses; and for messages
    of a size that is at least answered."""
    asked = f"maxaveragebitrate={bitrate};stereo=0;sprop-stereo=0;useinbandfec=1"
    answer = _SIZE.sub(f"a=max-message-size:{4 * MESSAGE_BYTES_MAX}", answer)
    return _OPUS.sub(lambda found: f"{found[0]}a=fmtp:{found[1]} {asked}\r\n", answer)
