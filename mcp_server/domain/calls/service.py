"""Use cases of calls: open one, act in it, read it, join it. The page uses `invitation` and `join`."""

from collections.abc import Sequence

from mcp_server.domain.calls.acting import Acting
from mcp_server.domain.calls.commands import ControlCall, OpenCall
from mcp_server.domain.calls.entering import Entering
from mcp_server.domain.calls.inviting import Inviting
from mcp_server.domain.calls.joining import Invitation, JoinCall, Joined
from mcp_server.domain.calls.joins import Offer, Opened
from mcp_server.domain.calls.media import MediaProvider
from mcp_server.domain.calls.model import LiveCall, NewCall, no_call
from mcp_server.domain.calls.opening import OPEN_MAX, OPEN_OF_ONE_MAX, Opening, open_call
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.calls.rows import require_seats
from mcp_server.domain.calls.views import (
    BYTES_PER_SECOND,
    OWN_CALLS,
    CallResult,
    CallView,
    OpenedCall,
    TranscriptView,
    call_state,
    call_view,
    line_views,
)
from mcp_server.domain.calls.wav import wav_file
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, Unavailable
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import Query
from mcp_server.kernel.privacy import seen_by
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import duration
from mcp_server.kernel.writes import Write

TRANSCRIPT_LINES_MAX = 1000
RECORDING_SECONDS_MAX = 300
"""How much of a recording is read at once."""
PIECES_AT_ONCE = 30


class CallService:
    """Open calls, act in them, read and join them. `open` answers once the offer that came along, if any, has its
    answer."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._provider = services.option(MediaProvider)
        self._policy = services.option(CallPolicy)
        self._inviting = services.get(Inviting)
        self._entering = services.get(Entering)
        self._acting = services.get(Acting)
        self.open = Write(context, Permission.CALLS_OPEN, self._opening, open_call, self._opened)

    async def control(self, call: Call, command: ControlCall) -> CallResult:
        """Act in a call.

        Raises:
            NotFound: no such call, or one in which the caller has no part.
            OpsError: what the action says.
        """
        call.actor.require(Permission.CALLS_OPEN)
        found = await self._seen(call, command.call_id)
        self._acting.require_may(call, found, command)
        before = await self._acting.done_before(call, found, command)
        if before is not None:
            return before
        if command.action == "invite":
            await self._guard_invitation(call, found, command.participants)
        return await self._acting.act(call, found, command)

    async def get(self, call: Call, call_id: str) -> CallView:
        """One call with everything but what was said.

        Raises:
            NotFound: no such call, or another's.
        """
        found = await self._seen(call, call_id)
        return call_view(found, await self._database.fetch_one("call_audio_summary", call_id=call_id))

    async def transcript(self, call: Call, call_id: str, after: int) -> TranscriptView:
        """What was said after a line.

        Raises:
            NotFound: no such call, or another's.
        """
        found = await self._seen(call, call_id)
        limit = TRANSCRIPT_LINES_MAX
        rows = await self._database.fetch_all("call_lines_after", call_id=call_id, after=after, limit=limit)
        told = call_view(found, None)
        return TranscriptView(
            call_id=call_id,
            status=found.status,
            purpose=found.purpose,
            lines=line_views(rows),
            next_after=rows[-1]["n"] if len(rows) == limit else None,
            forgotten_at=told.forgotten_at,
        )

    async def recording(self, call: Call, call_id: str, from_seconds: int) -> bytes:
        """A WAV file of up to five minutes of what was recorded.

        Raises:
            NotFound: no such call, or another's; or its recording is shorter.
        """
        await self._seen(call, call_id)
        first, size = from_seconds * BYTES_PER_SECOND, RECORDING_SECONDS_MAX * BYTES_PER_SECOND
        pcm, place, until = bytearray(), first, first + size
        while place < until:
            before = place
            rows = await self._database.fetch_all(
                "call_audio_from", call_id=call_id, place=place, until=until, limit=PIECES_AT_ONCE
            )
            for row in rows:
                pcm += bytes(row["pcm"])[place - row["at_bytes"] : until - row["at_bytes"]]
                place = first + len(pcm)
            if place == before:
                break
        if not pcm and from_seconds:  # one that has not begun can be watched
            raise NotFound(
                f"Nothing is recorded of {call_id} from {from_seconds} s on.",
                next=f"ops://calls/{call_id} says how long its recording is.",
                details={"call_id": call_id},
            )
        return wav_file(bytes(pcm))

    async def invitation(self, token: str) -> Invitation:
        """What a link leads to; uses nothing up.

        Raises:
            LinkUnknown: no such link (404).
            LinkOver: its time is over, or the call has ended (410).
        """
        return await self._entering.invitation(token)

    async def join(self, token: str, command: JoinCall) -> Joined:
        """Take part by a link.

        Raises:
            LinkUnknown: no such link (404).
            LinkUsed: somebody has joined by it, and `resume` is not what that one was given (403).
            LinkOver: its time is over, or the call has ended (410).
            ValidationFailed: the offer is none; the link stays good (400).
            LimitExceeded: too many calls or participants (429).
            Unavailable: the process that holds the call does not answer; the link stays good (503).
        """
        return await self._entering.join(token, command)

    async def _opening(self, call: Call, command: OpenCall) -> Opening:
        if self._provider.missing is not None:
            raise Unavailable(self._provider.missing)
        joins_itself = command.offer is not None
        guest = not command.participants and not joins_itself
        invite = self._inviting.guest() if guest else await self._inviting.asked(call, command.participants)
        expires_at = self._context.clock() + duration(command.expires_in_seconds)
        told = command.purpose, command.media, command.record
        new = NewCall(*told, (), expires_at, self._policy.minutes_max, command.key())
        offer = Offer(dump_json({"offer": command.offer, "audio": True})) if joins_itself else None
        of_one_max = OPEN_MAX if call.actor.is_local else OPEN_OF_ONE_MAX
        return Opening(new, invite, command.task_id, self._policy.at_once, offer, of_one_max)

    async def _guard_invitation(self, call: Call, found: LiveCall, names: Sequence[str]) -> None:
        """What the operator's rules say of a call with some people holds as well for asking them in later."""
        require_seats(found, len(names))
        opening = OpenCall(
            purpose=found.purpose, participants=tuple(names), media=found.media, record=bool(found.record)
        )
        await self._context.guard(call, self.open, opening)

    async def _opened(self, call: Call, opened: Opened) -> OpenedCall:
        del call
        links = await self._inviting.shown(opened.call, opened.asked)
        view = call_state(opened.call, links, replayed=opened.replayed)
        answer = None if opened.request_id is None else await self._entering.answer(opened)
        return OpenedCall(call=view, answer=answer)

    async def _seen(self, call: Call, call_id: str) -> LiveCall:
        """One in which the caller has a part."""
        call.actor.require(Permission.CALLS_READ)
        query = seen_by(call, Query("call_seen_by_id", parameters=(("id", call_id),)), (OWN_CALLS,))
        row = await self._database.fetch_one(query.statement, filters=query.filters, **dict(query.parameters))
        if row is None:
            raise no_call(call_id)
        return LiveCall.adopt(dict(row))
