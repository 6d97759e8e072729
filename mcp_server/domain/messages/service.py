"""Use cases of messages between agents."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.messages import transactions
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import InboxView, SentMessage, inbox_view, message_view
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.paging import decode_cursor, encode_cursor
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.waiting import wait_until
from mcp_server.kernel.writes import Write


class MessageService:
    """Send, read and acknowledge. `send` writes in the caller's own name."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._agents = services.get(AgentService)
        self.send = Write(context, Permission.MESSAGES_SEND, _to_somebody, transactions.send, _sent)

    async def read(self, call: Call, command: ReadMessages) -> InboxView:
        """An agent's messages, oldest first; how many are unread after this; and the cursor from which to go on.

        Those that are unread are taken: they count as read from then on. With `unread_only=False`, read ones are shown
        as well, after a cursor, and nothing is taken.

        Raises:
            NotFound: no such agent, or no such message to acknowledge.
        """
        call.actor.require(Permission.MESSAGES_RECEIVE)
        call.actor.require_self(command.agent_id)
        agent_id, write = command.agent_id, self._database.write
        if command.acknowledge:
            await write(transactions.acknowledge, self._context.origin(call), agent_id, command.acknowledge)
        asked: dict[str, Any] = {"agent_id": agent_id, "thread_id": command.thread_id}
        place = 0 if command.after is None else decode_cursor(command.after, (int,))[0]

        async def attempt() -> tuple[Sequence[Row], int]:
            if not command.unread_only:
                rows = await self._database.fetch_all("inbox_after", place=place, limit=command.limit, **asked)
                return rows, await self._unread(agent_id)
            if command.wait_seconds > 0 and await self._database.fetch_one("inbox_any_unread", **asked) is None:
                # Whoever waits looks often, and must not take a writer's turn each time.
                return [], await self._unread(agent_id)
            origin = self._context.origin(call)
            return await write(transactions.read, origin, agent_id, command.thread_id, command.limit)

        rows, unread = await wait_until(
            self._context, call, attempt, lambda found: bool(found[0]), command.wait_seconds, ("message",)
        )
        if not rows:
            await self._agents.require_known(agent_id)
        cursor = encode_cursor([rows[-1]["place"]]) if rows else command.after
        return InboxView(messages=[inbox_view(row) for row in rows], unread=unread, cursor=cursor)

    async def _unread(self, agent_id: str) -> int:
        row = await self._database.fetch_one("inbox_count", agent_id=agent_id)
        return 0 if row is None else row["n"]


async def _to_somebody(call: Call, command: SendMessage) -> SendMessage:
    del call
    if not command.to:
        raise ValidationFailed(
            "The message has no recipient: there is no broadcast.",
            next="Name agents in `to`, or a capability that they have.",
        )
    return command


async def _sent(call: Call, sent: transactions.Sent) -> SentMessage:
    del call
    return SentMessage(message=message_view(sent.message), recipients=sent.recipients)
