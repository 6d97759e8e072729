"""Whether another server of this house has a loopback port."""

import asyncio
import contextlib

ANSWER_SECONDS_MAX = 2.0
_ANSWER_BYTES = 1 << 16
_ASKED = b"GET /approvals/- HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def is_ours(port: int) -> bool:
    """Whether what answers there knows links of approvals."""
    from mcp_server.pages.answers import DEAD_LINK

    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(_ASKED)
                answer = await reader.read(_ANSWER_BYTES)
                while more := await reader.read(_ANSWER_BYTES - len(answer)):
                    answer += more
                return DEAD_LINK.encode() in answer
    return False
