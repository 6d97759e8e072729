"""Use cases of messages between agents."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.errors import NotFound, ValidationFailed
from mcp_server.domain.messages import MessageSpec
from mcp_server.domain.users import Permission
from mcp_server.services.communication_views import MessageView, inbox_view, message_view
from mcp_server.services.context import Call, Context, decode_cursor, encode_cursor
from mcp_server.services.ports import MessageTransactions, Row
from mcp_server.services.waiting import wait_until


class MessageService:
    """Send, read and acknowledge."""

    def __init__(self, context: Context, messages: MessageTransactions) -> None:
        self._context = context
        self._store = context.store
        self._messages = messages

    async def send(
        self, call: Call, spec: MessageSpec, to: Sequence[str], capabilities: Sequence[str]
    ) -> tuple[MessageView, list[str]]:
        """Send a message in the caller's own name; the agents that get it.

        Raises:
            ValidationFailed: to nobody.
            OpsError: a recipient or thread that does not exist, or too many recipients.
        """
        call.actor.require(Permission.MESSAGES_SEND)
        if not to and not capabilities:
            raise ValidationFailed(
                "The message has no recipient: there is no broadcast.",
                next="Name agents in `to`, or a capability that they have.",
            )
        context = self._context
        sent = await self._store.write(
            self._messages.send, context.origin(call), context.new_id("message"), spec, tuple(to), tuple(capabilities)
        )
        return message_view(sent.message), sent.recipients

    async def read(
        self,
        call: Call,
        agent_id: str,
        *,
        thread_id: str | None = None,
        acknowledge: Sequence[str] = (),
        unread_only: bool = True,
        after: str | None = None,
        limit: int,
        wait_seconds: float = 0,
    ) -> tuple[list[MessageView], int, str | None]:
        """An agent's messages, oldest first; how many are unread after this; and the cursor from which to go on.

        Those that are unread are taken: they count as read from then on. With `unread_only=False`, read ones are shown
        as well, after the cursor `after`, and nothing is taken.

        Raises:
            NotFound: no such agent, or no such message to acknowledge.
        """
        call.actor.require(Permission.MESSAGES_RECEIVE)
        call.actor.require_self(agent_id)
        if acknowledge:
            await self._store.write(
                self._messages.acknowledge, self._context.origin(call), agent_id, tuple(acknowledge)
            )
        asked: dict[str, Any] = {"agent_id": agent_id, "thread_id": thread_id}
        place = 0 if after is None else decode_cursor(after, (int,))[0]

        async def attempt() -> tuple[Sequence[Row], int]:
            if not unread_only:
                rows = await self._store.fetch_all("inbox_after", place=place, limit=limit, **asked)
                return rows, await self._unread(agent_id)
            if wait_seconds > 0 and await self._store.fetch_one("inbox_any_unread", **asked) is None:
                # Whoever waits looks often, and must not take a writer's turn each time.
                return [], await self._unread(agent_id)
            return await self._store.write(self._messages.read, self._context.origin(call), agent_id, thread_id, limit)

        rows, unread = await wait_until(
            self._context, call, attempt, lambda found: bool(found[0]), wait_seconds, ("message",)
        )
        if not rows:
            await self._require_known(agent_id)
        cursor = encode_cursor([rows[-1]["place"]]) if rows else after
        return [inbox_view(row) for row in rows], unread, cursor

    async def _unread(self, agent_id: str) -> int:
        row = await self._store.fetch_one("inbox_count", agent_id=agent_id)
        return 0 if row is None else row["n"]

    async def _require_known(self, agent_id: str) -> None:
        if await self._store.fetch_one("agent_known", agent_id=agent_id) is None:
            raise NotFound(f"There is no agent {agent_id}.", next="List agents with agents_find.")
