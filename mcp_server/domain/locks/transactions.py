"""Transaction functions of named locks: holds, places in line, fencing numbers."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from mcp_server.domain.agents.rows import named_agent, require_staying
from mcp_server.domain.agents.speaking import agent_of
from mcp_server.domain.agents.transactions import see_agent
from mcp_server.domain.events.thinning import last_told
from mcp_server.domain.locks.deadlocks import Wait, deadlock, find_deadlock
from mcp_server.domain.locks.endings import how_it_ended
from mcp_server.domain.locks.meeting import every_hold, guard, holds_of, live_holds
from mcp_server.domain.locks.model import (
    AcquireLock,
    Claim,
    Hold,
    Holder,
    ReleaseLock,
    Waiter,
    keeping_out,
    waiting_before,
)
from mcp_server.domain.locks.paths import is_glob
from mcp_server.domain.locks.refusals import (
    GLOBS_MAX,
    no_force,
    nobody_holds,
    not_held,
    not_your_label,
    too_many_globs,
    which,
)
from mcp_server.kernel.authority import VIA, Permission, Speaker
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.near import near
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND, Micros, duration

TIMED = ("lock.acquired", "lock.renewed", "lock.handed_over", "lock.righted")
"""The events that say how long a hold lasts."""

PLACE_LASTS: Micros = 2 * SECOND
"""How long a place in line lasts beyond its waiter's last sign of life."""


class Acquired(NamedTuple):
    """The hold, and whether it is a new one; or None, who holds the lock, and what others want before. Of a hold that
    was there, it as it was before: in another mode, or for longer than it was asked for."""

    hold: Hold | None
    others: list[Hold]
    before: list[Claim]
    is_new: bool = False
    was: Hold | None = None


def acquire(tx: Transaction, origin: Origin, request: AcquireLock, since: Micros | None = None) -> Acquired:
    """Grant the lock, or stand in line for it.

    Who holds the lock in the same mode already gets its hold renewed. A waiter keeps its place only while it is heard
    of again and again: see `stay`.

    Args:
        tx: the transaction.
        origin: who asks.
        request: for what.
        since: the place in line, as when its waiter came, in microseconds UTC; None is not to wait.

    Raises:
        PermissionDenied: the label is another's.
        Conflict: waiting would close a circle of those who wait for each other.
    """
    _require_own(tx, origin, request.owner)
    claim = Claim(Holder.of(origin, request.owner), origin.actor, request.name, request.mode)
    guard(tx, claim.name)
    holds = live_holds(tx, origin, claim.name)
    mine = _already(holds, claim)
    if mine is not None and mine.mode == claim.mode:
        return Acquired(_renew(tx, origin, mine, request.ttl_seconds), [], [], was=mine)
    place = Waiter(claim, origin.at if since is None else since)
    refused = Acquired(None, keeping_out(claim, holds), _before(tx, origin, place))
    if not (refused.others or refused.before):
        return Acquired(_grant(tx, origin, claim, request.ttl_seconds, mine), [], [], is_new=True, was=mine)
    if since is not None:
        _refuse_deadlock(tx, origin, claim, [hold.claim for hold in refused.others], refused.before)
        _stand_in_line(tx, origin, place)
    return refused


def _already(holds: list[Hold], claim: Claim) -> Hold | None:
    """What the claimant itself holds under the name."""
    return next((hold for hold in holds if (hold.name, hold.claim.holder) == (claim.name, claim.holder)), None)


def stay(tx: Transaction, origin: Origin, name: str, holder: Holder) -> None:
    """A waiter is still there. It wakes nobody."""
    tx.run("lock_waiter_stay", name=name, **holder._asdict(), expires_at=origin.at + PLACE_LASTS)


def leave_line(tx: Transaction, origin: Origin, name: str, holder: Holder) -> None:
    """Give up the place in line, and wake those behind."""
    row = tx.one("lock_place", name=name, **holder._asdict())
    if row is not None:
        _withdraw(tx, origin, row)


def lapse(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Take a waiter out of the line that was not heard of for too long.

    It is always told: one that lives all the same, in a process that stood still, hears it and stands in line again.
    """
    _withdraw(tx, origin, row, always=True)


def give_back(tx: Transaction, origin: Origin, hold: Hold) -> None:
    """End a hold that nobody was told of."""
    guard(tx, hold.name)
    if tx.run("lock_hold_delete", name=hold.name, fencing_token=hold.fencing_token):
        tx.append(origin, hold.gone("released"))


class Released(NamedTuple):
    """A hold that has ended, and from whom it was taken by force; or that lasts longer, as it was before, and whose it
    is where it is another's; or another's, with the name of who has it now, and the label under which it was held."""

    hold: Hold
    heir: str | None = None
    has_ended: bool = False
    forced_from: str | None = None
    was: Hold | None = None
    was_under: str | None = None


def release(tx: Transaction, origin: Origin, command: ReleaseLock) -> Released:
    """End a hold; or let it expire later, or hand it over, where that is asked for.

    Raises:
        NotFound: nobody holds the lock (any more).
        PermissionDenied: it is another's.
        ValidationFailed: several holds could be meant.
        InvalidTransition: the token is an earlier hold's; or who is to take over has left.
    """
    guard(tx, command.name)
    hold = _meant(tx, origin, command)
    is_own = _is_own(tx, origin, hold)
    hold.require(command.fencing_token, is_own=is_own)
    if command.to_agent is not None:
        heir = named_agent(tx, command.to_agent)
        require_staying(heir)
        new = hand_over(tx, origin, hold, Speaker(heir.id, heir.name), command.renew_seconds, command.reason)
        was = None if command.renew_seconds is None else hold
        return Released(new, heir.name, was=was, was_under=hold.owner or None)
    if command.renew_seconds is not None:
        renewed = _renew(tx, origin, hold, command.renew_seconds, command.reason)
        return Released(renewed, forced_from=None if is_own else hold.speaker, was=hold)
    forced_from = None if is_own else hold.speaker
    _end(tx, origin, hold, forced_from=forced_from, reason=command.reason)
    return Released(hold, has_ended=True, forced_from=forced_from)


def hand_over(
    tx: Transaction, origin: Origin, hold: Hold, heir: Speaker, seconds: float | None = None, reason: str | None = None
) -> Hold:
    """Give a hold to another agent, under a new fencing token; a hold of the same lock that it has already ends."""
    if seconds is not None:
        hold, _ = _renewed(tx, origin, hold, seconds)
    registered_by = (agent_of(tx, heir.agent_id) or {}).get("registered_by")
    new, event = hold.handed_over(heir, registered_by, _next_token(tx, hold.name), origin.at, reason)
    for other in holds_of(tx, origin, hold.name):
        if other.claim.holder == new.claim.holder:
            _end(tx, origin, other)
            new, event = hold.evolved({"expires_at": max(hold.expires_at, other.expires_at)}).handed_over(
                heir, registered_by, new.fencing_token, origin.at, reason
            )
    tx.run("lock_hold_delete", name=hold.name, fencing_token=hold.fencing_token)
    _keep(tx, origin, new, event)
    return new


def abandon(tx: Transaction, origin: Origin, owner: str) -> None:
    """End every hold under the label of an instance that is no more, and give up its places in line."""
    for row in tx.all("lock_waiters_of_owner", owner=owner):
        _withdraw(tx, origin, row)
    for row in tx.all("lock_holds_of_owner", owner=owner):
        guard(tx, row["name"])
        tx.run("lock_hold_delete", name=row["name"], fencing_token=row["fencing_token"])
        tx.append(origin, Hold.adopt(row).gone("abandoned"))


def expire(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """End the holds of a lock whose time is over."""
    guard(tx, row["name"])
    live_holds(tx, origin, row["name"])


def _require_own(tx: Transaction, origin: Origin, owner: str | None) -> None:
    """Refuse a label that is another's, as a name or as the label of a speaker; one that is the speaker's own instance
    is its sign of life."""
    if owner is None or not Holder.of(origin, owner).owner:
        return
    kind, name = _speaker_in(owner)
    if kind == "user" and owner != origin.principal:
        raise not_your_label(owner, origin.actor, "how a user is shown")
    agent = agent_of(tx, name if kind == "agent" else owner)
    if agent is None:
        return
    if agent["id"] != origin.party:
        raise not_your_label(owner, origin.actor, f"the agent {agent['name']}")
    see_agent(tx, origin, agent["id"], (owner,))


def _speaker_in(label: str) -> tuple[str, str]:
    """The kind and the name of the speaker as whose label a text reads; an empty kind where as nobody's."""
    kind, _, name = label.partition(VIA)[0].partition(":")
    return kind.casefold() if name else "", name


def _line(tx: Transaction, origin: Origin, name: str) -> list[Waiter]:
    narrowed: dict[str, Any] = {} if is_glob(name) else {"name": name}
    rows = tx.all("lock_line" if narrowed else "lock_line_all", now=origin.at, **narrowed)
    return [_waiter(row) for row in rows]


def _before(tx: Transaction, origin: Origin, place: Waiter, line: list[Waiter] | None = None) -> list[Claim]:
    line = _line(tx, origin, place.claim.name) if line is None else line
    line = [one for one in line if one.claim.holder != place.claim.holder]
    if not line:
        return []
    return waiting_before(place, line, _own(tx, origin, place.claim.holder))


def _own(tx: Transaction, origin: Origin, holder: Holder) -> list[Claim]:
    rows = tx.all("lock_holds_of_party", party=holder.party)
    return [hold.claim for hold in map(Hold.adopt, rows) if hold.owner == holder.owner and hold.expires_at > origin.at]


def _refuse_deadlock(tx: Transaction, origin: Origin, claim: Claim, held: list[Claim], before: list[Claim]) -> None:
    tx.one("lock_line_guard")
    if tx.one("lock_circle_possible", **claim.holder._asdict(), name=claim.name, now=origin.at) is None:
        return

    @cache
    def line(name: str) -> list[Waiter]:
        return _line(tx, origin, name)

    @cache
    def live(name: str) -> list[Claim]:
        return [hold.claim for hold in every_hold(tx, name) if hold.expires_at > origin.at]

    def waits_of(holder: Holder) -> list[Wait]:
        waits: list[Wait] = []
        for place in map(_waiter, tx.all("lock_places_of", **holder._asdict(), now=origin.at)):
            wanted = place.claim
            keeping_out = [one for one in live(wanted.name) if one.keeps_out(wanted)]
            waits += _waits(wanted, keeping_out, _before(tx, origin, place, line(wanted.name)))
        return waits

    circle = find_deadlock(_waits(claim, held, before), waits_of)
    if circle is not None:
        raise deadlock(circle)


def _waits(claim: Claim, held: list[Claim], before: list[Claim]) -> list[Wait]:
    return [Wait(claim, one) for one in held] + [Wait(claim, one, held=False) for one in before]


def _stand_in_line(tx: Transaction, origin: Origin, place: Waiter) -> None:
    claim = place.claim
    tx.run(
        "lock_waiter_save",
        name=claim.name,
        **claim.holder._asdict(),
        speaker=claim.speaker,
        mode=claim.mode,
        pattern=int(is_glob(claim.name)),
        since=place.since,
        expires_at=origin.at + PLACE_LASTS,
    )


def _withdraw(tx: Transaction, origin: Origin, row: dict[str, Any], *, always: bool = False) -> None:
    """Take a waiter out of the line. Where it kept somebody out that is told, so that those behind look again."""
    gone = _waiter(row)
    if not tx.run("lock_waiter_delete", name=gone.claim.name, **gone.claim.holder._asdict()):
        return
    if always or any(gone.claim.keeps_out(other.claim) for other in _line(tx, origin, gone.claim.name)):
        data = gone.claim.holder._asdict()
        tx.append(origin, Event("lock.withdrawn", "lock", gone.claim.name, _last_token(tx, gone.claim.name), data))


def _waiter(row: dict[str, Any]) -> Waiter:
    claim = Claim(Holder(row["party"], row["owner"]), row["speaker"], row["name"], row["mode"])
    return Waiter(claim, row["since"])


def _grant(tx: Transaction, origin: Origin, claim: Claim, seconds: float, replaces: Hold | None) -> Hold:
    if replaces is not None:
        _end(tx, origin, replaces)
    elif is_glob(claim.name) and tx.all("lock_globs_of", party=claim.holder.party)[0]["n"] >= GLOBS_MAX:
        raise too_many_globs(origin.actor)
    hold, event = Hold.granted(claim, seconds, _next_token(tx, claim.name), origin.at)
    tx.run("lock_waiter_delete", name=claim.name, **claim.holder._asdict())
    _keep(tx, origin, hold, event)
    return hold


def _keep(tx: Transaction, origin: Origin, hold: Hold, event: Event) -> None:
    tx.run("lock_token_save", name=hold.name, token=hold.fencing_token)
    tx.run("lock_hold_insert", **hold.fields())
    tx.append(origin, event)


def _end(tx: Transaction, origin: Origin, hold: Hold, **told: str | None) -> None:
    """End a hold; where somebody else does, it is told whose it was."""
    tx.run("lock_hold_delete", name=hold.name, fencing_token=hold.fencing_token)
    tx.append(origin, hold.gone("released", **told))


def _last_token(tx: Transaction, name: str) -> int:
    return (tx.one("lock_token", name=name) or {}).get("last_token", 0)


def _next_token(tx: Transaction, name: str) -> int:
    return _last_token(tx, name) + 1


def _renew(tx: Transaction, origin: Origin, hold: Hold, seconds: float, reason: str | None = None) -> Hold:
    new, event = _renewed(tx, origin, hold, seconds)
    if hold.owner and hold.party == origin.party:
        see_agent(tx, origin, hold.party, (hold.owner,))
    tx.run("lock_hold_renew", name=new.name, fencing_token=new.fencing_token, expires_at=new.expires_at)
    tx.append(origin, event.because(reason))
    return new


def _renewed(tx: Transaction, origin: Origin, hold: Hold, seconds: float) -> tuple[Hold, Event]:
    """A hold that lasts longer, and is never cut short; but what a clock that was ahead has said does not stay."""
    if hold.expires_at <= origin.at + duration(seconds):
        return hold.renewed(seconds, origin.at)
    timed = last_told(tx, "lock", hold.name, TIMED, hold.fencing_token)
    is_right = timed is not None and not is_ahead(timed.at, origin.at)
    return hold.renewed(seconds, origin.at, hold.expires_at if is_right else 0)


def _meant(tx: Transaction, origin: Origin, command: ReleaseLock) -> Hold:
    """The hold that a caller means: one of its own, or with force and the right to control locks anybody's."""
    holds = holds_of(tx, origin, command.name)
    named = [hold for hold in holds if hold.is_named(command.owner)]
    found = _allowed(tx, origin, command, named)
    if not found and not holds:
        raise _nobody_holds(tx, origin, command)
    if not found:
        ending = how_it_ended(tx, command.name, origin.party, command.owner)
        raise not_held(command, holds, origin.actor, origin.at, ending)
    return _of_several(command, found, named)


def _nobody_holds(tx: Transaction, origin: Origin, command: ReleaseLock) -> OpsError:
    if _last_token(tx, command.name):
        ending = how_it_ended(tx, command.name, origin.party, command.owner)
        return nobody_holds(command, origin.actor, ended=True, ending=ending)
    held_names = [row["name"] for row in tx.all("lock_names_around", name=command.name, now=origin.at)]
    return nobody_holds(command, origin.actor, ended=False, alike=near(command.name, held_names))


def _allowed(tx: Transaction, origin: Origin, command: ReleaseLock, named: list[Hold]) -> list[Hold]:
    own = [hold for hold in named if _is_own(tx, origin, hold)]
    if own or not command.force:
        return own
    if named and not origin.may(Permission.LOCKS_CONTROL):
        raise no_force(origin.actor)
    return named


def _of_several(command: ReleaseLock, found: list[Hold], named: list[Hold]) -> Hold:
    """Several holds are told apart by their fencing tokens."""
    told = [hold for hold in found if hold.fencing_token == command.fencing_token] if len(found) > 1 else found
    if len(told) != 1:
        raise which(command, named)
    return told[0]


def _is_own(tx: Transaction, origin: Origin, hold: Hold) -> bool:
    """Whether a hold is the speaker's: by its party, or by its label, which its principal could give before agents
    spoke."""
    if hold.party == origin.party:
        return True
    if hold.party != origin.principal or not hold.owner:
        return False
    return (agent_of(tx, hold.owner) or {}).get("id") == origin.agent_id


def waiter_key(row: Mapping[str, Any]) -> str:
    """How a waiter is called."""
    return f"{row['name']} for {row['party']} {row['owner'] or ''}".rstrip()
