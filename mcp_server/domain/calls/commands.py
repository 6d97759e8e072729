"""What is asked of calls."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from mcp_server.domain.calls.media import OFFER_BYTES_MAX, TEXT_CHARACTERS_MAX
from mcp_server.domain.calls.model import PARTICIPANTS_MAX, Medium
from mcp_server.kernel.elsewhere import done_elsewhere
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, check_text
from mcp_server.kernel.keys import Key
from mcp_server.kernel.meaning import ApprovalId, CallId, Meant, TaskId, bare_id
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.relative import UNTIL, as_said
from mcp_server.kernel.together import LIKE, not_together
from mcp_server.kernel.values import Frozen, Line
from mcp_server.kernel.waiting import WAIT_SECONDS_MAX

EXPIRES_IN_SECONDS_DEFAULT = 3600.0
EXPIRES_IN_SECONDS_MIN = 10.0
EXPIRES_IN_SECONDS_MAX = 86_400.0
WAV_BASE64_MAX = 6 * 1024 * 1024
_ELSEWHERE = {
    **dict.fromkeys(
        ("kick", "remove", "ban"), "nobody is sent out of a call; end it, and open another with who is to be in"
    ),
    **dict.fromkeys(("transfer", "forward", "handover"), "invite asks somebody else in, and who is in may leave"),
}
Action = Annotated[
    Literal[
        "say", "listen", "play", "ask", "invite", "mute", "unmute", "hold", "resume", "accept_offer", "add_candidate",
        "end",
    ],
    Meant(
        also={
            "speak": "say",
            "read": "listen",
            "receive": "listen",
            "add_participant": "invite",
            "unhold": "resume",
            **dict.fromkeys(("hangup", "hang_up", "close", "leave", "stop", "finish"), "end"),
        }
    ),
    BeforeValidator(done_elsewhere(_ELSEWHERE)),
]  # fmt: skip


def _printable(text: str) -> str:
    check_text(text)
    return text


_TELEPHONE = re.compile(r"(?:tel:)?\s*\+?[\d\s()./-]{6,30}", re.IGNORECASE)


def _reached(text: str) -> str:
    if _TELEPHONE.fullmatch(text):
        raise ValidationFailed(
            f"{quoted(text, 40)} is a telephone, and none is reached: people join in a browser, by a link. Name an "
            "email address or user:NAME, or nobody for a link to hand on"
        )
    return text


Party = Annotated[
    str,
    BeforeValidator(bare_id),
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_reached),
    Meant("user:NAME, an email address or an agent's name", "user:local", parts=r"^[^,;]+$"),
]
Said = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS_MAX), AfterValidator(_printable)]
Wav = Annotated[
    str,
    StringConstraints(min_length=1, max_length=WAV_BASE64_MAX),
    Meant("a WAV file as base64, or namespace/key of a document that holds one", "sounds/chime"),
]
Sdp = Annotated[str, StringConstraints(min_length=1, max_length=OFFER_BYTES_MAX), Meant("an SDP offer", "v=0 ...")]


class OpenCall(Frozen):
    """A call is opened."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "phone": "no telephone is reached: people join in a browser, by a link",
        "number": "no telephone is reached: people join in a browser, by a link",
        **dict.fromkeys(("message", "text"), "calls_control(action='say') says the first words once it is open"),
    }

    purpose: Line = Field(examples=["Which backup to restore"])
    participants: tuple[Party, ...] = Field(
        default=(),
        max_length=PARTICIPANTS_MAX - 1,
        description="user:NAME, address, agent; else a link to hand on",
    )
    media: Annotated[Medium, Meant(also={"voice": "audio", "speech": "audio", "chat": "text"})] = "text"
    record: bool = False
    task_id: TaskId | None = None
    offer: Sdp | None = Field(default=None, description="SDP, to join yourself")
    expires_in_seconds: Annotated[float, UNTIL] = Field(
        default=EXPIRES_IN_SECONDS_DEFAULT, le=EXPIRES_IN_SECONDS_MAX, allow_inf_nan=False
    )
    idempotency_key: Line | None = None

    @model_validator(mode="after")
    def _can_be_joined(self) -> Self:
        if self.expires_in_seconds < EXPIRES_IN_SECONDS_MIN:
            raise ValidationFailed(
                f"`expires_in_seconds` is {EXPIRES_IN_SECONDS_MIN:g} at least: people have to get there."
            )
        return self

    def key(self) -> Key:
        """The idempotency key, bound to everything else that was said; whose it is, the transaction knows.

        Of an offer only that there is one counts: who repeats a call after giving up its connection has another offer.
        """
        if self.idempotency_key is None:
            return Key()
        said = self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
        said |= {"participants": sorted(set(self.participants)), "offer": self.offer is not None} | as_said(self)
        return Key(self.idempotency_key, content_hash=canonical_hash(said))


_CANDIDATE = Meant("an ICE candidate", {"candidate": "candidate:1 ...", "sdpMid": "0"})
_NEEDS: dict[str, str] = {
    "say": "text",
    "play": "wav",
    "invite": "participants",
    "accept_offer": "offer",
    "add_candidate": "candidate",
}

_TAKEN_BY: dict[str, frozenset[str]] = {
    "text": frozenset(("say", "ask", "end")),
    "wav": frozenset(("play",)),
    "participants": frozenset(("invite",)),
    "offer": frozenset(("accept_offer",)),
    "candidate": frozenset(("add_candidate",)),
    "choices": frozenset(("ask",)),
    "approval_id": frozenset(("ask",)),
}
"""Which actions take what stands beside them."""

_ONCE = frozenset(("say", "play", "ask", "invite"))
_BOUND = {"action", "text", "approval_id", "choices", "wav"}


def _not_taken(action: str, name: str) -> ValidationFailed:
    change: dict[str, Any] = {name: None}
    takes = ", ".join(sorted(_TAKEN_BY[name]))
    return not_together(f"`{action}` takes no `{name}`, which goes with {takes}.", **change)


class ControlCall(Frozen):
    """Something is done in a call."""

    call_id: CallId
    action: Action
    text: Said | None = Field(default=None, examples=["Good morning"])
    after: int = Field(default=0, ge=0)
    wait_seconds: float = Field(default=0, ge=0, le=WAIT_SECONDS_MAX, allow_inf_nan=False)
    approval_id: ApprovalId | None = None
    choices: tuple[Line, ...] = Field(default=(), max_length=20)
    wav: Wav | None = Field(default=None, description="base64, or namespace/key of a document")
    participants: tuple[Party, ...] = Field(default=(), max_length=PARTICIPANTS_MAX)
    offer: Sdp | None = None
    candidate: Annotated[dict[str, Any], _CANDIDATE] | None = None
    idempotency_key: Line | None = None

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        strange = next((name for name, by in _TAKEN_BY.items() if getattr(self, name) and self.action not in by), None)
        if strange is not None:
            raise _not_taken(self.action, strange)
        needed = _NEEDS.get(self.action)
        if needed is not None and not getattr(self, needed):
            raise not_together(f"`{self.action}` needs `{needed}`.", **{needed: LIKE})
        if self.action == "ask" and self.text is None and self.approval_id is None:
            raise not_together("`ask` needs `text`, or the `approval_id` of what is asked already.", text=LIKE)
        return self

    def key(self) -> Key:
        """The idempotency key, bound to what is said, played, asked, or who is asked in. What else is done may be
        repeated without."""
        if self.idempotency_key is None or self.action not in _ONCE:
            return Key()
        said = self.model_dump(mode="json", include=_BOUND, exclude_defaults=True)
        said |= {"participants": sorted(set(self.participants))}
        return Key(self.idempotency_key, content_hash=canonical_hash(said))
