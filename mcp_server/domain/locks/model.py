"""Named locks (reservations): requests, holds, and what they keep from each other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field

from mcp_server.domain.locks.expressions import meets
from mcp_server.domain.locks.paths import is_glob, may_meet, normalised, why_not_told, why_several
from mcp_server.kernel.arguments import Listing, Waiting
from mcp_server.kernel.authority import VIA, Speaker
from mcp_server.kernel.errors import InvalidTransition, ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.meaning import AgentName, Meant
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import SECOND, Micros, duration
from mcp_server.kernel.values import Frozen, Line

LOCK_TTL_SECONDS_DEFAULT = 60
TOLD_MAX = 20
"""So many holds are told to who does not get a lock."""
LockMode = Literal["exclusive", "shared"]
LockName = Annotated[Line, AfterValidator(normalised), Meant("a name, a path or a glob", "src/app.py")]


def _told(name: str) -> str:
    why = why_not_told(name) or why_several(name)
    if why is not None:
        raise ValidationFailed(
            f"{named(name)} is no name of a lock: {why}.",
            next="Name files from one folder on, such as src/app.py; several by a glob, such as src/*.py, or each by a "
            "call of commit(calls=[...]).",
        )
    return name


class AcquireLock(Waiting):
    """Which lock, under which label of the speaker's, how, for how long, and how long to wait in line for it."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "names": "One call acquires one; commit(calls=[...]) acquires several, all or none"
    }

    name: Annotated[LockName, AfterValidator(_told)]
    owner: Line | None = Field(
        default=None, description="A label of yours; your instance_id frees the lock once that instance is lost"
    )
    mode: LockMode = "exclusive"
    ttl_seconds: float = Field(default=LOCK_TTL_SECONDS_DEFAULT, gt=0, le=7 * 86_400, allow_inf_nan=False)


class ReleaseLock(Frozen):
    """A holder gives a lock back, keeps it for longer, or hands it over."""

    name: LockName
    owner: Line | None = None
    fencing_token: int | None = None
    renew_seconds: Annotated[float, Meant("a number", LOCK_TTL_SECONDS_DEFAULT)] | None = Field(
        default=None, gt=0, le=7 * 86_400, allow_inf_nan=False
    )
    to_agent: AgentName | None = None
    force: bool = False
    reason: Line | None = None


class FindLocks(Listing):
    """Which locks to list: those of a name, those that begin so, those that an agent holds or waits for."""

    name: LockName | None = None
    prefix: str | None = Field(default=None, max_length=200)
    agent_id: AgentName | None = None

    def is_of_one(self) -> bool:
        """Whether one name alone is looked for, which is no glob."""
        return self.name is not None and self.model_fields_set <= {"name", "limit"} and not is_glob(self.name)


class Holder(NamedTuple):
    """To whom holds and places in line belong: a party, and a label within it, which is empty for the speaker itself.
    Two labels of one party keep each other out."""

    party: str
    owner: str

    @staticmethod
    def of(origin: Origin, owner: str | None) -> "Holder":
        """Who speaks, under a label of its own or as itself."""
        own = (None, origin.actor, origin.actor.partition(VIA)[0])
        return Holder(origin.party, "" if owner in own else owner)


class Claim(NamedTuple):
    """A lock that somebody holds or wants."""

    holder: Holder
    speaker: str
    name: str
    mode: LockMode

    def keeps_out(self, other: "Claim") -> bool:
        """Whether the two cannot be granted side by side."""
        return self.bars(other) and may_meet(self.name, other.name)

    def bars(self, other: "Claim") -> bool:
        """Whether they cannot where their names meet."""
        return "exclusive" in (self.mode, other.mode) and self.holder != other.holder

    def said(self) -> str:
        """Who it is, for people and models."""
        return f"{named(self.holder.owner)} ({self.speaker})" if self.holder.owner else self.speaker

    @property
    def label(self) -> str:
        """The owner as callers see it: the label given, else the speaker."""
        return self.holder.owner or self.speaker


class Hold(Record):
    """One hold on a lock. The fencing token rises with each grant of the name."""

    name: str
    party: str
    owner: str
    speaker: str
    mode: LockMode
    fencing_token: int
    pattern: int
    expires_at: Micros
    acquired_at: Micros

    @staticmethod
    def granted(claim: Claim, seconds: float, token: int, now: Micros) -> tuple["Hold", Event]:
        """A new hold."""
        data: dict[str, Any] = {
            "owner": claim.holder.owner,
            "party": claim.holder.party,
            "speaker": claim.speaker,
            "mode": claim.mode,
            "expires_at": now + duration(seconds),
            "acquired_at": now,
        }
        return hold_of(claim.name, token, data), Event("lock.acquired", "lock", claim.name, token, data)

    @property
    def claim(self) -> Claim:
        """Whose it is, and what it keeps from others."""
        return Claim(Holder(self.party, self.owner), self.speaker, self.name, self.mode)

    def renewed(self, seconds: float, now: Micros, at_least: Micros = 0) -> tuple[Self, Event]:
        """The same hold, lasting so long from now, and at least until a moment."""
        expires_at = max(now + duration(seconds), at_least)
        data = {"owner": self.owner, "expires_at": expires_at}
        return self.evolved({"expires_at": expires_at}), Event(
            "lock.renewed", "lock", self.name, self.fencing_token, data
        )

    def righted(self, basis: Micros, now: Micros) -> tuple[Self, Event]:
        """The same hold, lasting from now as long as it was to last from the moment of a clock that was ahead."""
        left = max(self.expires_at - basis, 0)
        new = self.evolved({"expires_at": min(self.expires_at, now + left)})
        data = {"owner": self.owner, "expires_at": new.expires_at}
        return new, Event("lock.righted", "lock", self.name, self.fencing_token, data)

    def handed_over(
        self, heir: Speaker, registered_by: str | None, token: int, now: Micros, reason: str | None = None
    ) -> tuple["Hold", Event]:
        """The hold of an agent that takes over; this one has ended. Who has not spoken itself is named with the
        principal that registered it."""
        data: dict[str, Any] = {
            "owner": "",
            "party": heir.agent_id,
            "speaker": heir.label if registered_by in (None, heir.label) else f"{heir.label}{VIA}{registered_by}",
            "mode": self.mode,
            "expires_at": self.expires_at,
            "acquired_at": now,
            "of": {"owner": self.owner, "party": self.party},
        }
        data |= {} if reason is None else {"reason": reason}
        return hold_of(self.name, token, data), Event("lock.handed_over", "lock", self.name, token, data)

    def gone(self, why: Literal["released", "expired", "abandoned"], **more: str | None) -> Event:
        """The hold ended; what more is told of that, where it is."""
        told = {name: value for name, value in more.items() if value is not None}
        return Event(f"lock.{why}", "lock", self.name, self.fencing_token, {"owner": self.owner} | told)

    def is_named(self, owner: str | None) -> bool:
        """Whether an owner that a caller gives is this hold's; none given is anybody's."""
        return owner is None or owner == (self.owner or self.speaker)

    def said(self, now: Micros) -> str:
        """Who holds it, how, and for how long yet."""
        left = max(0, round((self.expires_at - now) / SECOND))
        return f"{self.claim.said()} holds {named(self.name)} ({self.mode}, {left} s left)"

    def require(self, token: int | None, *, is_own: bool) -> None:
        """Refuse a release or renewal with a token that is not this hold's.

        Args:
            token: the one given.
            is_own: whether the hold is the caller's, who may know its token.

        Raises:
            InvalidTransition: naming the token given.
        """
        if token is None or token == self.fencing_token:
            return
        never = token > self.fencing_token
        now = f"You hold it under fencing token {self.fencing_token}." if is_own else _ANOTHERS
        raise InvalidTransition(
            f"Fencing token {token} {'was never given for' if never else 'is not the current one of'} lock "
            f"{named(self.name)}.",
            next=now,
            details={"name": self.name, "owner": self.owner or self.speaker, "your_token": token},
        )


_ANOTHERS = "It is another's hold; locks_find shows whose. locks_acquire takes the lock anew once it is free."


def hold_of(name: str, token: int, data: Mapping[str, Any]) -> Hold:
    """A hold out of what an event says of it."""
    facts = {field: data[field] for field in ("party", "owner", "speaker", "mode", "expires_at", "acquired_at")}
    return Hold.adopt({"name": name, "fencing_token": token, "pattern": int(is_glob(name))} | facts)


class Waiter(NamedTuple):
    """A place in line."""

    claim: Claim
    since: Micros

    def is_before(self, other: "Waiter") -> bool:
        """Whether it came first; of those that came together, by name."""
        return (self.since, *self.claim.holder, self.claim.name) < (other.since, *other.claim.holder, other.claim.name)


def keeping_out(claim: Claim, holds: Iterable[Hold]) -> list[Hold]:
    """What keeps a claim out: of each holder one hold, then others, though hardly more than are told."""
    firsts: dict[Holder, Hold] = {}
    others: list[Hold] = []
    meets_it = meets(claim.name)
    for hold in holds:
        held = hold.claim
        is_first = held.holder not in firsts
        if (is_first or len(others) <= TOLD_MAX) and held.bars(claim) and meets_it(hold.name):
            firsts.setdefault(held.holder, hold)
            others += [] if is_first else [hold]
    return [*firsts.values(), *others]


def waiting_before(place: Waiter, line: Iterable[Waiter], own: Sequence[Claim]) -> list[Claim]:
    """What those wait for who came before a place in line and keep it out.

    One that waits for what the asker itself holds is passed: it cannot go first.

    Args:
        place: the asker's.
        line: everybody's who waits.
        own: what the asker holds.
    """
    return [
        waiter.claim
        for waiter in line
        if waiter.claim.keeps_out(place.claim)
        and waiter.is_before(place)
        and not any(hold.keeps_out(waiter.claim) for hold in own)
    ]
