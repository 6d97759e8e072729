"""Messages between agents and people: what is sent, to whom, and what has become of it in each inbox."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from mcp_server.kernel.arguments import Waiting
from mcp_server.kernel.authority import VIA
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import canonical_hash
from mcp_server.kernel.keys import Key
from mcp_server.kernel.meaning import AgentName, Meant, MessageId, ThreadId, bare_id
from mcp_server.kernel.paging import LIMIT_DEFAULT, LIMIT_MAX
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.relative import UNTIL, as_said
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.times import Micros, duration
from mcp_server.kernel.together import not_together
from mcp_server.kernel.values import Frozen, Line, Text

RECIPIENTS_MAX = 50
PERSON = "user:"
CAPABILITY = "capability:"
Importance = Annotated[
    Literal["low", "normal", "high", "urgent"],
    Meant(also={"medium": "normal", "important": "high", "critical": "urgent", "highest": "urgent", "lowest": "low"}),
]
Body = Annotated[Text, StringConstraints(min_length=1)]


_KINDS = re.compile(r"(user|capability)\s*[=:]\s*(\S.*)", re.IGNORECASE)


def _of_a_kind(given: Any) -> Any:
    """A recipient as it is meant: `capability=python` is `capability:python`."""
    text = bare_id(given)
    found = _KINDS.fullmatch(text) if isinstance(text, str) else None
    return text if found is None else f"{found[1].lower()}:{found[2]}"


def _one(text: str) -> str:
    if "," in text:
        raise ValidationFailed(f"{named(text)} names several; give them as a list")
    if "@" in text and VIA not in text and not text.startswith((PERSON, CAPABILITY)):
        raise ValidationFailed(
            f"{named(text)} is an email address, which email_send writes to; a person here is user:NAME"
        )
    return text


PARTY = Meant("an agent's name or id, user:NAME or capability:NAME", "scribe", parts=r"^[^,;]+$")
Recipient = Annotated[
    str,
    BeforeValidator(_of_a_kind),
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_one),
    PARTY,
]
Recipients = tuple[Recipient, ...]


class SendMessage(Frozen):
    """A message and who gets it; in a thread, unsaid, whoever else takes part in it."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("capability", "capabilities"), "`to` takes capability:NAME for all who have one"),
        **dict.fromkeys(("user", "users"), "`to` takes user:NAME for a person"),
        **dict.fromkeys(
            ("broadcast", "to_all"), "to=['all'] reaches every other agent, capability:NAME all who have one"
        ),
        **dict.fromkeys(("cc", "bcc"), "everyone stands in `to`"),
        **dict.fromkeys(("attachments", "attachment", "file"), "state_set keeps it, and the body names it"),
        **dict.fromkeys(("send_at", "run_at"), "it goes at once; a task with run_at has it sent later"),
    }

    to: Recipients = Field(
        default=(),
        max_length=RECIPIENTS_MAX,
        description="Agents, user:NAME, capability:NAME, all",
        examples=[["scribe"]],
    )
    subject: Line | None = None
    body: Body = Field(examples=["The build is green."])
    thread_id: ThreadId | None = None
    importance: Importance = "normal"
    ack_within_seconds: Annotated[
        float | None, Meant(example=3600), Field(gt=0, le=90 * 86_400, allow_inf_nan=False), UNTIL
    ] = None
    idempotency_key: Line | None = None

    def content_hash(self, to: Iterable[str]) -> str:
        """What an idempotency key is bound to: everything else that was said, and the recipients as they resolve."""
        said = self.model_dump(exclude={"idempotency_key", "to"}, exclude_defaults=True)
        return canonical_hash(said | {"to": sorted(set(to))} | as_said(self))


class ReadMessages(Waiting):
    """An inbox is read, or a thread, or what was sent, or what waits for an acknowledgement."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("since", "before", "until"), "`after` takes the cursor of an earlier answer"),
        **dict.fromkeys(
            ("subject", "sender", "from"),
            "`text` finds what you sent or got by sender, recipient, subject and words",
        ),
        **dict.fromkeys(("include_read", "all", "read"), "unread_only=false shows those that were read, too"),
        **dict.fromkeys(
            ("mark_read", "mark_as_read", "peek"),
            "unread_only=false looks and takes nothing; else what it shows counts as read",
        ),
        **dict.fromkeys(("user", "person"), "`agent_id` takes user:NAME for a person's"),
    }

    agent_id: AgentName | None = Field(default=None, description="Whose; by default you")
    text: Sought | None = Field(default=None, description="Search what you sent or got")
    importance: Importance | None = Field(default=None, description="At least")
    thread_id: ThreadId | None = Field(default=None, description="All of it")
    sent: bool = Field(default=False, description="What you sent; who read it")
    unacknowledged: bool = Field(default=False, description="Not acknowledged yet, by others or you")
    acknowledge: tuple[MessageId, ...] = Field(default=(), max_length=LIMIT_MAX, description="Message ids")
    unread_only: bool | None = Field(default=None, description="Default true, but for a thread")
    after: str | None = Field(default=None, description="Cursor; not for unread_only")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)

    @model_validator(mode="after")
    def _is_one_list(self) -> Self:
        # What is found may be of any of these lists, and read or not.
        if self.text and any((self.unacknowledged, self.unread_only)):
            raise not_together(
                "`text` searches all that was sent or got, read or not, and tells who has read what you sent: a list "
                "of its own, which sent=true narrows to what you sent.",
                **dict.fromkeys(("unacknowledged", "unread_only")),
            )
        return self

    @property
    def only_unread(self) -> bool:
        """Whether what was read already is left out: unsaid, it is in an inbox and not in a thread."""
        return self.thread_id is None if self.unread_only is None else self.unread_only

    @property
    def importances(self) -> str:
        """The names of what is as important as asked, or more."""
        return _AS_IMPORTANT[_AS_IMPORTANT.index(self.importance or "low") :]


_AS_IMPORTANT = "low normal high urgent"


def is_person(party: str) -> bool:
    """Whether a party is a person, `user:NAME`, rather than an agent."""
    return party.startswith(PERSON)


class Place(NamedTuple):
    """Where a message stands: its thread, and the how-manieth it is there."""

    thread_id: str
    place: int


class Addressed(NamedTuple):
    """Who gets a message, as people call them, and its place in each one's inbox. No name holds a space."""

    names: list[str]
    places: dict[str, int]


class Sender(NamedTuple):
    """Who sends, by name and as a party, and when."""

    label: str
    party: str
    at: Micros


NO_KEY = Key().columns()


class Message(Record):
    """The aggregate: one message, the same for all who get it. A message without a thread begins one."""

    id: str
    thread_id: str
    place: int
    sender: str
    sender_party: str
    recipients: str
    subject: str | None
    body: str
    importance: str
    ack_due_at: Micros | None
    created_at: Micros
    version: int
    idempotency_key: str | None
    key_owner: str | None
    content_hash: str | None

    @staticmethod
    def sent(
        spec: SendMessage, message_id: str, thread: Place, to: Addressed, sender: Sender, key: Key
    ) -> tuple["Message", Event]:
        """A new message, with its place in its thread and in each recipient's inbox."""
        now = sender.at
        fields: dict[str, Any] = {
            "thread_id": thread.thread_id,
            "place": thread.place,
            "sender": sender.label,
            "sender_party": sender.party,
            "recipients": " ".join(sorted(to.names)),
            "subject": spec.subject,
            "body": spec.body,
            "importance": spec.importance,
            "ack_due_at": None if spec.ack_within_seconds is None else now + duration(spec.ack_within_seconds),
            "created_at": now,
        }
        if key.idempotency_key is not None:
            fields |= key.columns()
        message = Message.adopt({"id": message_id, "version": 1, **NO_KEY, **fields})
        return message, Event("message.sent", "message", message_id, 1, fields | {"places": to.places})


class Delivery(Record):
    """One message in one inbox: an agent's, by its id, or a person's, `user:NAME`."""

    message_id: str
    party: str
    place: int
    read_at: Micros | None
    acknowledged_at: Micros | None
    ack_due_at: Micros | None
    ack_missed_at: Micros | None

    def read(self, now: Micros) -> Event:
        """Seen by its recipient for the first time."""
        return self._event("message.read", {"read_at": now})

    def acknowledged(self, now: Micros) -> Event:
        """Acknowledged, late or in time."""
        return self._event("message.acknowledged", {"acknowledged_at": now})

    def missed(self, now: Micros) -> Event:
        """Not acknowledged in time."""
        return self._event("message.ack_missed", {"ack_missed_at": now})

    def righted(self, ack_due_at: Micros) -> Event:
        """To be acknowledged by another time than a clock that was ahead had said."""
        return self._event("message.righted", {"ack_due_at": ack_due_at})

    def handed_over(self, heir: str, place: int | None) -> Event:
        """Another's from now on, in a place of its own; or gone, where the other has the message already."""
        return self._event("message.handed_over", {"to": heir, "place": place})

    def _event(self, kind: str, data: dict[str, Any]) -> Event:
        return Event(kind, "message", self.message_id, 1, {"party": self.party} | data)
