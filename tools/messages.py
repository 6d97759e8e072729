"""Tools of messages between agents."""

from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import InboxView, SentMessage
from mcp_server.kernel.authority import Permission
from tools.spec import ADD, Tool, listed

TOOLS = (
    Tool(
        name="messages_send",
        title="Send a message",
        description="Write to other agents; they find it with messages_read. To answer, pass its thread_id.",
        toolset="communication",
        permission=Permission.MESSAGES_SEND,
        hints=ADD,
        arguments=SendMessage,
        result=SentMessage,
        write=lambda desk: desk.messages.send,
        others_words=False,
        say=lambda r: f"Message {r.message.id} sent to {', '.join(r.recipients)}.",
    ),
    Tool(
        name="messages_read",
        title="Read messages",
        description="Take your unread messages, waiting for some if asked. Acknowledge those that have ack_due_at.",
        toolset="communication",
        permission=Permission.MESSAGES_RECEIVE,
        hints=ADD,
        arguments=ReadMessages,
        result=InboxView,
        does=lambda desk: desk.messages.read,
        say=lambda r: f"{listed(len(r.messages), 'message', None)} {r.unread} unread.",
    ),
)
