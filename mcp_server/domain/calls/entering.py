"""How somebody comes into a call: by a link in a browser, or by an offer of a program. Either waits for the answer of
the server that holds the call."""

import json
from typing import NamedTuple

from mcp_server.domain.calls import joins
from mcp_server.domain.calls.joining import Invitation, JoinCall, Joined
from mcp_server.domain.calls.joins import Offer, Opened, require_link
from mcp_server.domain.calls.links import CallLinks
from mcp_server.domain.calls.model import OVER
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from mcp_server.kernel.json_text import dump_json, sha256_text
from mcp_server.kernel.services import Services
from mcp_server.kernel.waiting import wait_until

ANSWER_SECONDS_MAX = 15.0
"""How long the server that holds a call may take to answer an offer."""


class _Waited(NamedTuple):
    """What there is of an answer, and whether waiting on makes sense."""

    answer: str | None
    is_over: bool


class Entering:
    """Follows links, and has offers answered."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._links = services.get(CallLinks)
        self._policy = services.option(CallPolicy)

    async def invitation(self, token: str) -> Invitation:
        """What a link leads to. See `CallService`."""
        call, one = await self._links.follow(token)
        require_link(call, one, self._context.clock())
        return Invitation(
            call_id=call.id,
            purpose=call.purpose,
            opened_by=call.opened_by,
            media=call.media,
            record=bool(call.record),
            status=call.status,
            participant=one.name,
            expires_at=call.expires_at,
            is_used=one.joins > 0,
            ice_servers=self._policy.told_servers(),
        )

    async def join(self, token: str, command: JoinCall) -> Joined:
        """Take part by a link. See `CallService`."""
        call, one = await self._links.follow(token)
        returns = self._context.new_secret("resume")
        data = dump_json({"offer": command.offer, "audio": command.audio})
        shown = None if command.resume is None else sha256_text(command.resume)
        offer = Offer(data, command.name, shown, sha256_text(returns))
        at_once, origin = self._policy.at_once, self._context.origin(SYSTEM_CALL)
        asked = await self._database.write(joins.join, origin, call.id, one.n, offer, at_once)
        return Joined(await self.answer(asked), call.id, command.resume if one.joins else returns)

    async def answer(self, asked: Opened) -> str:
        """The answer to an offer, as SDP.

        Raises:
            ValidationFailed: the offer is none.
            Unavailable: nobody answers, or the call is over; the offer is none any more.
        """
        request_id, call_id = asked.request_id, asked.call.id

        async def look() -> _Waited:
            row = await self._database.fetch_one("call_request", id=request_id)
            call = await self._database.fetch_one("call_by_id", id=call_id)
            is_over = row is None or call is None or call["status"] in OVER
            return _Waited(None if row is None else row["answer"], is_over)

        def reached(found: _Waited) -> bool:
            return found.answer is not None or found.is_over

        try:
            await wait_until(self._context, SYSTEM_CALL, look, reached, ANSWER_SECONDS_MAX, ("call",))
        finally:
            origin = self._context.origin(SYSTEM_CALL)
            text = await self._database.write(joins.take_back, origin, request_id or "")
        told: dict[str, str] = {} if text is None else json.loads(text)
        if "refused" in told:
            why = told["refused"].removesuffix(".")
            raise ValidationFailed(
                f"The offer was not taken: {why}.",
                next=f"Make another for {call_id}: calls_control(action='accept_offer').",
                details={"call_id": call_id},
            )
        if "answer" not in told:
            raise Unavailable(
                f"The server that holds {call_id} does not answer.",
                next="Try again in a moment; nothing was used up.",
                details={"call_id": call_id},
            )
        return told["answer"]
