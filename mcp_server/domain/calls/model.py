"""Calls: who is asked in, who is there, and what becomes of it.

A call is `pending` until somebody's offer is answered, `ringing` while a connection is made, `active` once there is
one, `on_hold` while nothing is to be heard, and at last `ended`, or `failed` where nobody came or the machinery gave
way.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

from mcp_server.kernel.errors import InvalidTransition, NotFound
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.keys import Key
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration

CallStatus = Literal["pending", "ringing", "active", "on_hold", "ended", "failed"]
Medium = Literal["text", "audio"]
LineKind = Literal["said", "played", "text", "question", "answer", "note"]
Kind = Literal["user", "address", "agent", "guest"]
State = Literal["invited", "joining", "joined", "away", "left"]

OVER: tuple[str, ...] = ("ended", "failed")
LIVE: tuple[str, ...] = ("ringing", "active", "on_hold")
PARTICIPANTS_MAX = 8
LINES_MAX = 10_000
ASKED_MAX = 10
CONNECTING_MAX: Micros = duration(60)
"""How long a call whose first connection is being made may stay so."""

_THERE = ("joining", "joined", "away")


class Participant(NamedTuple):
    """One who is asked in.

    Attributes:
        n: the number in the call, from 1; peers of the media process are called so.
        name: the user, address or agent; of a guest what it calls itself.
        kind: how it is known.
        person: whose decisions count here: the user or mailbox to whom alone the link was mailed; None where the link
            was shown, so that anybody may have it.
        agent_id: of an agent.
        state: whether it is there.
        joins: how often an offer of it was answered.
        is_shown: whether its link is shown to who opened the call.
    """

    n: int
    name: str
    kind: Kind
    person: str | None = None
    agent_id: str | None = None
    state: State = "invited"
    joins: int = 0
    is_shown: bool = False

    @property
    def was_never_there(self) -> bool:
        """Whether an offer of it was answered and no connection came of any yet: its link is good again then."""
        return self.state == "joining" and self.joins <= 1


class Line(NamedTuple):
    """One line of a transcript before it has a number; `peer` is 0 where no connection said it."""

    who: str
    kind: LineKind
    text: str
    peer: int = 0


class NewCall(NamedTuple):
    """A call to open: what for, what the operator set, and the key of who asks for it."""

    purpose: str
    media: Medium
    record: bool
    participants: Sequence[Participant]
    expires_at: Micros
    minutes_max: float
    key: Key = Key()


class LiveCall(Record):
    """The aggregate: one call. JSON columns stay text. `due_at` says when time alone ends it."""

    id: str
    purpose: str
    status: CallStatus
    media: Medium
    record: int
    task_id: str
    opened_by: str
    opener: str
    participants: str
    asked: str
    muted: int
    lines: int
    reason: str | None
    minutes_max: float
    expires_at: Micros
    due_at: Micros | None
    started_at: Micros | None
    ended_at: Micros | None
    forgotten_at: Micros | None
    created_at: Micros
    updated_at: Micros
    version: int
    idempotency_key: str | None
    key_owner: str | None
    content_hash: str | None

    @staticmethod
    def opened(call_id: str, new: NewCall, task_id: str, origin: Origin) -> tuple["LiveCall", Event]:
        """A new one, which waits for people."""
        data: dict[str, Any] = {
            "purpose": new.purpose,
            "status": "pending",
            "media": new.media,
            "record": int(new.record),
            "task_id": task_id,
            "opened_by": origin.actor,
            "opener": origin.party,
            "participants": _kept(new.participants),
            "asked": RawJson("[]"),
            "muted": 0,
            "lines": 0,
            "reason": None,
            "minutes_max": float(new.minutes_max),
            "expires_at": new.expires_at,
            "due_at": new.expires_at,
            "started_at": None,
            "ended_at": None,
            "forgotten_at": None,
            "created_at": origin.at,
            "updated_at": origin.at,
            **new.key.owned_by(origin.principal).columns(),
        }
        call = LiveCall.adopt({"id": call_id, "version": 1} | data)
        return call, Event("call.opened", "call", call_id, 1, data, creates=True)

    def people(self) -> list[Participant]:
        """Everybody who was asked in, in order."""
        return [Participant(**one) for one in json.loads(self.participants)]

    def participant(self, n: int) -> Participant:
        """One of them by the number."""
        return self.people()[n - 1]

    def questions(self) -> list[str]:
        """The approvals that are open in it."""
        return json.loads(self.asked)

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.status in OVER

    def require_open(self) -> None:
        """Refuse what a call that is over does not take.

        Raises:
            InvalidTransition: saying how it ended.
        """
        if self.is_over:
            raise InvalidTransition(
                f"The call {self.id} has {self.status}: {self.reason}.",
                next="Open another: calls_open.",
                details={"call_id": self.id, "status": self.status},
            )

    def invited(self, more: Sequence[Participant], now: Micros) -> tuple[Self, Event]:
        """More people are asked in."""
        return self._moved("invited", now, participants=_kept([*self.people(), *more]))

    def joining(self, n: int, name: str | None, now: Micros) -> tuple[Self, Event]:
        """An offer of a participant waits for its answer; a guest says what it is called."""
        one = self.participant(n)
        name = one.name if name is None or one.kind != "guest" else f"guest {name}"
        return self._moved("joining", now, participants=self._with(one._replace(state="joining", name=name)))

    def refused(self, n: int, now: Micros) -> tuple[Self, Event]:
        """The offer was none, or nobody answered it: as it was before."""
        one = self.participant(n)
        back: State = "invited" if one.joins == 0 else "away"
        return self._moved("refused", now, participants=self._with(one._replace(state=back)))

    def answered(self, n: int, now: Micros) -> tuple[Self, Event]:
        """The offer was answered, and a connection is being made."""
        one = self.participant(n)
        participants = self._with(one._replace(state="joining", joins=one.joins + 1))
        if self.status != "pending":
            return self._moved("answered", now, participants=participants)
        due_at = now + CONNECTING_MAX
        return self._moved("ringing", now, status="ringing", participants=participants, due_at=due_at)

    def connected(self, n: int, now: Micros) -> tuple[Self, Event]:
        """A participant is there."""
        participants = self._with(self.participant(n)._replace(state="joined"))
        if self.status in ("active", "on_hold"):
            return self._moved("joined", now, participants=participants)
        started_at = self.started_at or now
        due_at = started_at + duration(self.minutes_max * 60)
        changes = {"status": "active", "participants": participants, "started_at": started_at, "due_at": due_at}
        return self._moved("active", now, **changes)

    def away(self, n: int, now: Micros) -> tuple[Self, Event]:
        """A participant is not heard of."""
        return self._moved("away", now, participants=self._with(self.participant(n)._replace(state="away")))

    def back(self, n: int, now: Micros) -> tuple[Self, Event]:
        """It is heard of again."""
        return self._moved("back", now, participants=self._with(self.participant(n)._replace(state="joined")))

    def left(self, n: int, reason: str, now: Micros) -> tuple[Self, Event]:
        """A participant is gone. Nobody being left ends the call; one that never was connected may come again."""
        one = self.participant(n)
        if one.was_never_there:
            return self._unconnected(one, now)
        people = self._replaced(one._replace(state="left"))
        if any(other.state in _THERE for other in people):
            return self._moved("left", now, participants=_kept(people))
        why = f"{named(one.name)} was the last to leave ({reason})"
        return self.evolved({"participants": _kept(people)}).over("ended", why, now)

    def held(self, now: Micros) -> tuple[Self, Event]:
        """Nothing is to be heard on either side."""
        self._require_status("active", "on hold")
        return self._moved("held", now, status="on_hold")

    def resumed(self, now: Micros) -> tuple[Self, Event]:
        """Heard again."""
        self._require_status("on_hold", "resumed")
        return self._moved("resumed", now, status="active")

    def muted_(self, on: bool, now: Micros) -> tuple[Self, Event]:
        """Whether nothing of ours is heard."""
        return self._moved("muted" if on else "unmuted", now, muted=int(on))

    def said(self, now: Micros) -> tuple[Self, Event]:
        """One more line in its transcript; the line's number is `lines` of what comes of it."""
        return self._moved("said", now, lines=self.lines + 1)

    def asking(self, approval_id: str, now: Micros) -> tuple[Self, Event]:
        """A question is put to those in it."""
        questions = [*self.questions(), approval_id]
        return self._moved("asked", now, asked=RawJson(dump_json(questions)), lines=self.lines + 1)

    def told(self, approval_id: str, now: Micros) -> tuple[Self, Event]:
        """A question has its answer, or none is wanted any more."""
        left = [one for one in self.questions() if one != approval_id]
        return self._moved("told", now, asked=RawJson(dump_json(left)), lines=self.lines + 1)

    def over(self, status: Literal["ended", "failed"], reason: str, now: Micros) -> tuple[Self, Event]:
        """It has come to its end."""
        people = [one._replace(state="left") if one.state in _THERE else one for one in self.people()]
        changes = {"status": status, "reason": reason, "participants": _kept(people), "asked": RawJson("[]")}
        return self._moved(status, now, **changes, ended_at=now, due_at=None)

    def forgotten(self, now: Micros) -> tuple[Self, Event]:
        """What was said in it is kept no longer."""
        return self._moved("forgotten", now, forgotten_at=now)

    def righted(self, now: Micros) -> tuple[Self, Event]:
        """Due by a clock that was ahead: from now on, for as long as it was to be."""
        ahead = self.updated_at - now
        due_at = None if self.due_at is None else self.due_at - ahead
        return self._moved("righted", now, due_at=due_at, expires_at=self.expires_at - ahead)

    def _unconnected(self, one: Participant, now: Micros) -> tuple[Self, Event]:
        people = self._replaced(one._replace(state="invited", joins=0))
        if self.started_at is not None or any(other.state in _THERE for other in people):
            return self._moved("left", now, participants=_kept(people))
        changes = {"status": "pending", "participants": _kept(people), "due_at": max(self.expires_at, now)}
        return self._moved("unanswered", now, **changes)

    def _with(self, one: Participant) -> RawJson:
        return _kept(self._replaced(one))

    def _replaced(self, one: Participant) -> list[Participant]:
        return [one if other.n == one.n else other for other in self.people()]

    def _require_status(self, status: CallStatus, what: str) -> None:
        if self.status != status:
            raise InvalidTransition(
                f"The call {self.id} is {self.status}, so it is not {what} now.",
                details={"call_id": self.id, "status": self.status},
            )

    def _moved(self, what: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(f"call.{what}", "call", self.id, version, data)


def _kept(people: Sequence[Participant]) -> RawJson:
    return RawJson(dump_json([one._asdict() for one in people]))


def no_call(call_id: str) -> NotFound:
    """The refusal for an id of no call, or of another's."""
    return NotFound(
        f"There is no call {named(call_id)}.",
        next="calls_open gives the id of one.",
        details={"call_id": call_id},
    )
