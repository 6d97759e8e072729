"""The first answer on stdio: a client's handshake is answered while everything else is still being loaded.

Loading the SDK takes ten times as long as reading and answering one line. What is answered here is what the SDK would
answer (a test compares them); it gets the same line later, and its answer is dropped. Whatever is not an ordinary
handshake, of either era, waits for it.
"""

import json
import os
import queue
import threading
from typing import Any, cast

from mcp_server import __version__
from mcp_server.protocol.wire import METHOD_NOT_FOUND, WireError, parse

READ_BYTES = 1 << 16
NAME = "data-mcp-server-agent"
TITLE = "DataMCPServerAgent"
INSTRUCTIONS = (
    "The operations desk for agents. To work: agents_register once, then tasks_claim, tasks_report while working, "
    "tasks_finish. To hand out work: tasks_create, then tasks_wait. Share facts with state_get and state_set, passing "
    "expected_version so that nobody's change is lost; locks_acquire what others must not touch meanwhile. Reach "
    "agents with messages_send, people with email_send or calls_open; before what cannot be undone, "
    "approvals_request. To bring something live: deployments_define, deployments_plan, deployments_apply. commit lands "
    "several writes at once. events_read says what happened. A *_find takes an id for one in full, or filters. An "
    "agent's name stands for its id; times are ISO 8601 with a zone. "
    "Every write takes as_agent (the agent that speaks, by name or id; needed where several share a connection) and "
    "lease_token (then it counts only while you hold that task)."
)

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Those of which the answer is known here; to clients of others the SDK answers."""
MODERN = "2026-07-28"
DISCOVER = "server/discover"
CHANNEL = "claude/channel"
"""The capability of a server that tells a session of Claude Code what came for it."""
_META = "io.modelcontextprotocol/"
_ABOUT_CLIENT = {f"{_META}{name}" for name in ("protocolVersion", "clientInfo", "clientCapabilities")}


class Opening:
    """Reads the first that comes on stdin, and answers it where it is a handshake."""

    def __init__(self) -> None:
        self.answered: str | int | None = None
        """The id of the request that needs no answer any more."""
        self._first: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._started = False
        self._gives_handles = True
        self._is_channel = False

    def start(self, *, gives_handles: bool, is_channel: bool = False) -> None:
        """Begin to read.

        Args:
            gives_handles: whether this server has what belongs to tasks: the extensions of tasks and skills.
            is_channel: whether it is a channel of Claude Code.
        """
        self._started, self._gives_handles, self._is_channel = True, gives_handles, is_channel
        threading.Thread(target=self._read, name="stdin-opening", daemon=True).start()

    def first(self) -> bytes | None:
        """What came first, once it has come; nothing at the end of stdin. None where nobody reads here. Blocks."""
        return self._first.get() if self._started else None

    def _read(self) -> None:
        chunk = b""
        try:
            chunk = os.read(0, READ_BYTES)
            answer = answer_to(chunk, gives_handles=self._gives_handles, is_channel=self._is_channel)
            if answer is not None:
                os.write(1, json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                self.answered = answer["id"]
        except OSError:
            pass  # whoever reads on finds out what is wrong with it
        finally:
            self._first.put(chunk)


def answer_to(chunk: bytes, *, gives_handles: bool = True, is_channel: bool = False) -> dict[str, Any] | None:
    """The answer to a chunk that begins with an ordinary handshake."""
    request = _first_request(chunk)
    result: dict[str, Any] | None = None
    if request.get("method") == "initialize":
        result = _initialized(request.get("params"), is_channel)
    elif request.get("method") == DISCOVER and is_channel:
        return no_discovery(request["id"]).answer
    elif request.get("method") == DISCOVER:
        result = _discovered(request.get("params"), gives_handles)
    return None if result is None else {"jsonrpc": "2.0", "id": request["id"], "result": result}


def no_discovery(request_id: str | int) -> WireError:
    """The refusal to be discovered, in the SDK's words: Claude Code takes no server of today's era for a channel, and
    shakes hands as before with one that knows nothing of it."""
    return WireError(METHOD_NOT_FOUND, "Method not found", request_id, DISCOVER)


def _first_request(chunk: bytes) -> dict[str, Any]:
    """The request that a chunk begins with; nothing where that is none."""
    line, end, _ = chunk.partition(b"\n")
    try:
        message = parse(line) if end else {}
    except WireError:
        return {}
    return message if message.get("jsonrpc") == "2.0" and "id" in message else {}


def _discovered(params: Any, gives_handles: bool) -> dict[str, Any] | None:
    meta = _members(_members(params).get("_meta"))
    told = [meta.get(f"{_META}{name}") for name in ("clientInfo", "clientCapabilities")]
    if params != {"_meta": meta} or meta.keys() != _ABOUT_CLIENT or not _is_plain(*told):
        return None
    if meta[f"{_META}protocolVersion"] != MODERN:
        return None
    return {
        "cacheScope": "private",
        "capabilities": {
            "completions": {},
            **({"extensions": {f"{_META}tasks": {}, f"{_META}skills": {}}} if gives_handles else {}),
            "prompts": {"listChanged": False},
            "resources": {"listChanged": False, "subscribe": True},
            "tools": {"listChanged": False},
        },
        "instructions": INSTRUCTIONS,
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "ttlMs": 0,
        "_meta": {f"{_META}serverInfo": {"name": NAME, "title": TITLE, "version": __version__}},
    }


def _initialized(params: Any, is_channel: bool) -> dict[str, Any] | None:
    version = _asked_for(params)
    if version is None:
        return None
    return {
        "protocolVersion": version,
        "capabilities": {
            "completions": {},
            **({"experimental": {CHANNEL: {}}} if is_channel else {}),
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
    version = given.get("protocolVersion")
    return version if _is_plain(given.get("clientInfo"), given.get("capabilities")) and version in VERSIONS else None


def _is_plain(client: Any, capabilities: Any) -> bool:
    """Whether a client says of itself what every client says."""
    named = all(isinstance(_members(client).get(name), str) for name in ("name", "version"))
    return named and isinstance(capabilities, dict) and all(map(_is_object, _members(capabilities).values()))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
