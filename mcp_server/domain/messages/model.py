"""Messages between agents: what is sent, to whom, and what has become of it in each inbox."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from mcp_server.kernel.arguments import Waiting
from mcp_server.kernel.events import Event
from mcp_server.kernel.paging import LIMIT_DEFAULT, LIMIT_MAX
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration
from mcp_server.kernel.values import Frozen, Line, Text, several

RECIPIENTS_MAX = 50
Importance = Literal["low", "normal", "high", "urgent"]
Body = Annotated[Text, StringConstraints(min_length=1)]


class MessageSpec(Frozen):
    """What a sender says. The recipients stand beside it: a capability has to be looked up first."""

    body: Body
    subject: Line | None = None
    thread_id: str | None = Field(default=None, max_length=64)
    importance: Importance = "normal"
    ack_within_seconds: float | None = Field(default=None, gt=0, le=90 * 86_400, allow_inf_nan=False)


Recipient = Annotated[str, StringConstraints(min_length=1, max_length=129)]
Recipients = Annotated[tuple[Recipient, ...], BeforeValidator(several)]


class SendMessage(MessageSpec):
    """A message and who gets it."""

    to: Recipients = Field(max_length=RECIPIENTS_MAX, description="Agent ids; or a capability, for all who have it")

    def agents(self) -> list[str]:
        """The agents that are named."""
        return [name for name in self.to if name.startswith("agent_")]

    def capabilities(self) -> list[str]:
        """The capabilities that are named: all who have one get the message."""
        return [name for name in self.to if not name.startswith("agent_")]


class ReadMessages(Waiting):
    """An inbox is read, and messages in it are acknowledged."""

    agent_id: str = Field(description="You")
    thread_id: str | None = None
    acknowledge: tuple[str, ...] = Field(default=(), max_length=LIMIT_MAX, description="Message ids")
    unread_only: bool = True
    after: str | None = Field(default=None, description="Cursor, with unread_only=false")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)


class Message(Record):
    """The aggregate: one message, the same for all who get it. A message without a thread begins one."""

    id: str
    thread_id: str
    sender: str
    subject: str | None
    body: str
    importance: str
    ack_due_at: Micros | None
    created_at: Micros
    version: int

    @staticmethod
    def sent(
        message_id: str, spec: MessageSpec, thread_id: str, places: dict[str, int], sender: str, now: Micros
    ) -> tuple["Message", Event]:
        """A new message, with its place in each recipient's inbox."""
        fields = {
            "thread_id": thread_id,
            "sender": sender,
            "subject": spec.subject,
            "body": spec.body,
            "importance": spec.importance,
            "ack_due_at": None if spec.ack_within_seconds is None else now + duration(spec.ack_within_seconds),
            "created_at": now,
        }
        message = Message.adopt({"id": message_id, "version": 1} | fields)
        return message, Event("message.sent", "message", message_id, 1, fields | {"places": places})


class Delivery(Record):
    """One message in one agent's inbox."""

    message_id: str
    agent_id: str
    place: int
    read_at: Micros | None
    acknowledged_at: Micros | None
    ack_due_at: Micros | None
    ack_missed_at: Micros | None

    def read(self, now: Micros) -> Event:
        """Seen by its agent for the first time."""
        return self._event("message.read", {"read_at": now})

    def acknowledged(self, now: Micros) -> Event:
        """Acknowledged, late or in time."""
        return self._event("message.acknowledged", {"acknowledged_at": now})

    def missed(self, now: Micros) -> Event:
        """Not acknowledged in time."""
        return self._event("message.ack_missed", {"ack_missed_at": now})

    def _event(self, kind: str, data: dict[str, int]) -> Event:
        return Event(kind, "message", self.message_id, 1, {"agent_id": self.agent_id} | data)
