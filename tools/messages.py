"""Tools of messages between agents."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from mcp_server.domain.messages import RECIPIENTS_MAX, MessageSpec
from mcp_server.domain.users import Permission
from mcp_server.domain.values import several
from mcp_server.services.communication_views import MessageView
from mcp_server.services.context import LIMIT_DEFAULT, LIMIT_MAX, Call
from mcp_server.services.desk import Desk
from tools.spec import ADD, Arguments, Result, Tool, Waiting, listed

Recipient = Annotated[str, StringConstraints(min_length=1, max_length=129)]
Recipients = Annotated[tuple[Recipient, ...], BeforeValidator(several)]


class SendArguments(MessageSpec, Arguments):
    """See `messages_send`."""

    to: Recipients = Field(max_length=RECIPIENTS_MAX, description="Agent ids; or a capability, for all who have it")


class SendResult(Result):
    """The message, and the agents that get it."""

    message: MessageView
    recipients: list[str]


async def send(desk: Desk, call: Call, args: SendArguments) -> SendResult:
    """Send one message."""
    agents = [name for name in args.to if name.startswith("agent_")]
    capabilities = [name for name in args.to if not name.startswith("agent_")]
    message, recipients = await desk.messages.send(call, args, agents, capabilities)
    return SendResult.model_construct(message=message, recipients=recipients)


class ReadArguments(Waiting):
    """See `messages_read`."""

    agent_id: str = Field(description="You")
    thread_id: str | None = None
    acknowledge: tuple[str, ...] = Field(default=(), max_length=LIMIT_MAX, description="Message ids")
    unread_only: bool = True
    after: str | None = Field(default=None, description="Cursor, with unread_only=false")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)


class ReadResult(Result):
    """Messages, how many are unread still, and the cursor from which to go on."""

    messages: list[MessageView]
    unread: int
    cursor: str | None = None


async def read(desk: Desk, call: Call, args: ReadArguments) -> ReadResult:
    """Read an inbox."""
    messages, unread, cursor = await desk.messages.read(
        call,
        args.agent_id,
        thread_id=args.thread_id,
        acknowledge=args.acknowledge,
        unread_only=args.unread_only,
        after=args.after,
        limit=args.limit,
        wait_seconds=args.wait_seconds,
    )
    return ReadResult.model_construct(messages=messages, unread=unread, cursor=cursor)


TOOLS = (
    Tool(
        name="messages_send",
        title="Send a message",
        description="Write to other agents; they find it with messages_read. To answer, pass its thread_id.",
        toolset="communication",
        permission=Permission.MESSAGES_SEND,
        hints=ADD,
        arguments=SendArguments,
        result=SendResult,
        run=send,
        say=lambda r: f"Message {r.message.id} sent to {', '.join(r.recipients)}.",
    ),
    Tool(
        name="messages_read",
        title="Read messages",
        description="Take your unread messages, waiting for some if asked. Acknowledge those that have ack_due_at.",
        toolset="communication",
        permission=Permission.MESSAGES_RECEIVE,
        hints=ADD,
        arguments=ReadArguments,
        result=ReadResult,
        run=read,
        say=lambda r: f"{listed(len(r.messages), 'message', None)} {r.unread} unread.",
    ),
)
