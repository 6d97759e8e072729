"""The first answer on stdio: a client's handshake is answered while everything else is still being loaded.

Loading the SDK takes ten times as long as reading and answering one line. What is answered here is what the SDK would
answer (a test compares them); it gets the same line later, and its answer is dropped. Whatever is not an ordinary
handshake waits for it.
"""

import json
import os
import queue
import threading
from typing import Any, cast

from mcp_server import __version__
from mcp_server.protocol.wire import WireError, parse

READ_BYTES = 1 << 16
NAME = "data-mcp-server-agent"
TITLE = "DataMCPServerAgent"
INSTRUCTIONS = (
    "The operations desk for agents. To work: agents_register once, then tasks_claim, tasks_report while working, "
    "tasks_finish. To hand out work: tasks_create, then tasks_wait. Share facts with state_get and state_set, passing "
    "expected_version so that nobody's change is lost. Before what cannot be undone, approvals_request. "
    "events_read says what happened. Every write takes as_agent (the agent that speaks, by name or id; needed where "
    "several share a connection) and lease_token (then it counts only while you hold that task)."
)

VERSIONS = ("2025-06-18", "2025-11-25")
"""Those of which the answer is known here; to clients of others the SDK answers."""


class Opening:
    """Reads the first that comes on stdin, and answers it where it is a handshake."""

    def __init__(self) -> None:
        self.answered: str | int | None = None
        """The id of the request that needs no answer any more."""
        self._first: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._started = False

    def start(self) -> None:
        """Begin to read."""
        self._started = True
        threading.Thread(target=self._read, name="stdin-opening", daemon=True).start()

    def first(self) -> bytes | None:
        """What came first, once it has come; nothing at the end of stdin. None where nobody reads here. Blocks."""
        return self._first.get() if self._started else None

    def _read(self) -> None:
        chunk = b""
        try:
            chunk = os.read(0, READ_BYTES)
            answer = answer_to(chunk)
            if answer is not None:
                os.write(1, json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                self.answered = answer["id"]
        except OSError:
            pass  # whoever reads on finds out what is wrong with it
        finally:
            self._first.put(chunk)


def answer_to(chunk: bytes) -> dict[str, Any] | None:
    """The answer to a chunk that begins with an ordinary handshake."""
    line, end, _ = chunk.partition(b"\n")
    if not end:
        return None
    try:
        message = parse(line)
    except WireError:
        return None
    version = _asked_for(message.get("params"))
    if version is None or message.get("jsonrpc") != "2.0" or message.get("method") != "initialize":
        return None
    return None if "id" not in message else {"jsonrpc": "2.0", "id": message["id"], "result": _result(version)}


def _result(version: str) -> dict[str, Any]:
    return {
        "protocolVersion": version,
        "capabilities": {
            "completions": {},
            "prompts": {"listChanged": False},
            "resources": {"listChanged": False, "subscribe": True},
            "tools": {"listChanged": False},
        },
        "serverInfo": {"name": NAME, "title": TITLE, "version": __version__},
        "instructions": INSTRUCTIONS,
    }


def _asked_for(params: Any) -> str | None:
    """The version, where these are such parameters as every client sends; the SDK tells what is wrong with others."""
    given = _members(params)
    capabilities, client = given.get("capabilities"), _members(given.get("clientInfo"))
    named = all(isinstance(client.get(name), str) for name in ("name", "version"))
    plain = isinstance(capabilities, dict) and all(isinstance(one, dict) for one in _members(capabilities).values())
    version = given.get("protocolVersion")
    return version if named and plain and version in VERSIONS else None


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
