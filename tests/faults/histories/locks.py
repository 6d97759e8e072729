"""Whether the answers about one lock are those of a lock: holders that exclude each other never hold it at once,
fencing tokens rise, an older one releases nothing, and nobody loses a hold before its time."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Literal, NamedTuple

from tests.faults.histories.recorder import NEVER


class Op(NamedTuple):
    """A call about the lock, between two moments in seconds.

    Attributes:
        does: what was asked.
        holder: for whom. Who was not told what became of a call goes on as another holder.
        outcome: `unknown` may have counted at any time since it began.
        token: the one granted, or the one with which it is released.
        mode: how it is held, for acquiring.
        lasts_seconds: for how long it is held, for acquiring.
    """

    does: Literal["acquire", "release"]
    holder: str
    outcome: Literal["done", "refused", "unknown"]
    invoked: float
    returned: float = NEVER
    token: int = 0
    mode: Literal["exclusive", "shared"] = "exclusive"
    lasts_seconds: float = 0


class Hold(NamedTuple):
    """A time in which a holder is certain of the lock: from when it was told, until it next asked for anything or the
    hold may have run out, which it does that long after it was asked for at the earliest."""

    grant: Op
    until: float

    def meets(self, other: "Hold") -> bool:
        """Whether there was a moment of both."""
        return self.grant.returned < other.until and other.grant.returned < self.until


def faults(ops: Sequence[Op]) -> list[str]:
    """What no lock could have answered; empty where all is well."""
    holds = [Hold(op, _until(op, ops)) for op in ops if op.does == "acquire" and op.outcome == "done"]
    releases = [op for op in ops if op.does == "release"]
    return [*_meetings(holds), *_fallen(holds), *_old_tokens(holds, releases), *_lost(holds, releases)]


def _until(grant: Op, ops: Sequence[Op]) -> float:
    later = (op.invoked for op in ops if op.holder == grant.holder and op.invoked >= grant.returned)
    return min([*later, _runs_out(grant)])


def _runs_out(grant: Op) -> float:
    return grant.invoked + grant.lasts_seconds


def _exclude(one: Op, other: Op) -> bool:
    return one.holder != other.holder and "exclusive" in (one.mode, other.mode)


def _meetings(holds: Sequence[Hold]) -> list[str]:
    return [
        f"held by two at once: {one} and {other}"
        for one, other in combinations(holds, 2)
        if _exclude(one.grant, other.grant) and one.meets(other)
    ]


def _fallen(holds: Sequence[Hold]) -> list[str]:
    """A token is one holder's, and one granted later is higher, but for who is told again of what it holds beside."""
    grants = [hold.grant for hold in holds]
    shared = [(a, b) for a, b in combinations(grants, 2) if a.token == b.token and a.holder != b.holder]
    fallen = [
        (a, b)
        for a, b in permutations(grants, 2)
        if a.returned < b.invoked and a.token > b.token and not (_are_beside(a, b) and _is_renewed(b, grants))
    ]
    return [
        *(f"one token for two: {one} and {other}" for one, other in shared),
        *(f"the token fell: {before}, then {after}" for before, after in fallen),
    ]


def _are_beside(one: Op, other: Op) -> bool:
    return one.holder != other.holder and not _exclude(one, other)


def _is_renewed(grant: Op, grants: Sequence[Op]) -> bool:
    return any(
        (one.holder, one.token) == (grant.holder, grant.token) and one.returned <= grant.invoked for one in grants
    )


def _old_tokens(holds: Sequence[Hold], releases: Sequence[Op]) -> list[str]:
    """Once a higher token was granted that cannot be held beside it, the older one releases nothing."""
    grants = {hold.grant.token: hold.grant for hold in holds}
    return [
        f"released under an older token: {release}, after {grant}"
        for release in releases
        for grant in grants.values()
        if release.outcome == "done" and release.token < grant.token and grant.returned < release.invoked
        if not _are_beside(grants.get(release.token, release), grant)
    ]


def _lost(holds: Sequence[Hold], releases: Sequence[Op]) -> list[str]:
    """Who releases in time, with its own token, is not refused."""
    return [
        f"lost before its time: {hold}, {release}"
        for hold in holds
        for release in releases
        if release.outcome == "refused" and (release.holder, release.token) == (hold.grant.holder, hold.grant.token)
        if hold.until == release.invoked and release.returned < _runs_out(hold.grant)
    ]
