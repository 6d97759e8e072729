"""The resources of calls."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.views import dumped
from resources.spec import Blob, Resource, positive


async def _call(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.calls.get(call, parameters["call_id"])


async def _transcript(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.calls.transcript(call, parameters["call_id"], positive(parameters, "after") or 0)


async def _recording(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    call_id = parameters["call_id"]
    found = await desk.calls.get(call, call_id)
    data = await desk.calls.recording(call, call_id, positive(parameters, "from_seconds") or 0)
    return Blob(data, {"seconds": 0} if found.recording is None else dumped(found.recording))


RESOURCES = (
    Resource(
        uri_template="ops://calls/{call_id}",
        name="call",
        title="Call",
        description="One call: who was asked in, who is there, and how long its recording is.",
        toolset="communication",
        permission=Permission.CALLS_READ,
        read=_call,
        private=True,
    ),
    Resource(
        uri_template="ops://calls/{call_id}/transcript{?after}",
        name="transcript",
        title="Transcript of a call",
        description="What was said in a call, line by line; `after` a line's number, what came then.",
        toolset="communication",
        permission=Permission.CALLS_READ,
        read=_transcript,
        private=True,
    ),
    Resource(
        uri_template="ops://calls/{call_id}/recording{?from_seconds}",
        name="recording",
        title="Recording of a call",
        description="Up to five minutes of what was heard, from a second on, as WAV; its length and level beside it.",
        toolset="communication",
        permission=Permission.CALLS_READ,
        read=_recording,
        mime_type="audio/wav",
        private=True,
    ),
)
