"""Links by which people join a call: signed, one for each, never stored. Whether one has been used, the call knows."""

import hmac
import re
from typing import NamedTuple

from mcp_server.domain.approvals.seals import Signing
from mcp_server.domain.calls.joining import LinkUnknown
from mcp_server.domain.calls.model import LiveCall, Participant
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import principal_of
from mcp_server.kernel.services import Services

PERSON = "user:"
_TOKEN = re.compile(r"[a-z0-9]{1,64}\.[1-9][0-9]?\.[!-~]{1,200}")


class Followed(NamedTuple):
    """A link that was followed: the call, and for whom the link is."""

    call: LiveCall
    participant: Participant


class CallLinks:
    """Makes links and follows them."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._signing = services.get(Signing)
        self._standing = services.get(Standing)

    async def make(self, base: str, call: LiveCall, n: int) -> str:
        """The link of one participant, under the server's address."""
        return f"{base.rstrip('/')}/calls/{call.id.removeprefix('call_')}.{n}.{await self._signature(call, n)}"

    async def follow(self, token: str) -> Followed:
        """What a link leads to.

        Raises:
            LinkUnknown: it is not one of this server's, or of a user who is not let in any more,
                or of a call of one.
        """
        wrong = LinkUnknown("This link is not valid, or no longer.", next="Ask for a new one.")
        parts = token.split(".")
        if not _TOKEN.fullmatch(token):
            raise wrong
        found = await self._named(parts[0], int(parts[1]))
        if found is None:
            raise wrong
        call, one = found
        signature = (await self._signature(call, one.n)).encode()
        if not hmac.compare_digest(parts[2].encode(), signature) or one.kind == "agent":
            raise wrong
        if await self._is_out(call, one):
            raise wrong
        return found

    async def _named(self, call_name: str, n: int) -> Followed | None:
        """The call and the participant that a link names, whoever signed it."""
        row = await self._database.fetch_one("call_by_id", id=f"call_{call_name}")
        call = None if row is None else LiveCall.adopt(dict(row))
        return None if call is None or n > len(call.people()) else Followed(call, call.participant(n))

    async def _is_out(self, call: LiveCall, one: Participant) -> bool:
        """Whether who is asked in, or the user for whom the call was opened, is not let in any more."""
        opener = principal_of(call.opened_by)
        users = [opener.removeprefix(PERSON)] if opener.startswith(PERSON) else []
        if one.kind == "user":
            users.append(one.name)
        return any([await self._standing.is_out(user) for user in users])

    async def _signature(self, call: LiveCall, n: int) -> str:
        return await self._signing.sign("call", call.id, n, call.created_at)
