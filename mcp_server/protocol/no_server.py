"""Where there will be no server: a client that has shaken hands is answered why.

A client shows its person what it was answered, and not always what stands in a log.
"""

import json
import os
import queue
import threading
import time
from contextlib import suppress

from mcp_server.protocol.opening import READ_BYTES, Opening
from mcp_server.protocol.wire import WireError, parse

REFUSE_SECONDS = 2.0
"""How long a client may take to ask for something."""
_CANNOT_START = -32000


def tell_why(opening: Opening, reason: str) -> None:
    """Answer the next request with the reason why there will be no server. Blocks, for so long at most."""
    chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(opening, chunks), name="stdin-refusing", daemon=True).start()
    end, rest = time.monotonic() + REFUSE_SECONDS, b""
    with suppress(queue.Empty, OSError):
        while chunk := chunks.get(timeout=max(0.0, end - time.monotonic())):
            *lines, rest = (rest + chunk).split(b"\n")
            if _refuse([one for one in map(_request_id, lines) if one not in (None, opening.answered)], reason):
                return


def _read(opening: Opening, chunks: "queue.SimpleQueue[bytes]") -> None:
    chunk = opening.first()
    with suppress(OSError):
        while chunk:
            chunks.put(chunk)
            chunk = os.read(0, READ_BYTES)
    chunks.put(b"")


def _refuse(asked: list[str | int | None], reason: str) -> bool:
    """Whether there was anything to refuse."""
    for one in asked:
        answer = {"jsonrpc": "2.0", "id": one, "error": {"code": _CANNOT_START, "message": reason}}
        os.write(1, json.dumps(answer).encode() + b"\n")
    return bool(asked)


def _request_id(line: bytes) -> str | int | None:
    """The id of the request that a line holds; None where it holds none."""
    try:
        message = parse(line)
    except WireError:
        return None
    return message.get("id") if "method" in message else None
