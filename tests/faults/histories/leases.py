"""Whether the answers about one task are those of a task: each attempt is leased to one worker, a lease is nobody
else's before its time, nothing counts under an older one, and the task ends once."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Literal, NamedTuple

from tests.faults.histories.recorder import NEVER


class Op(NamedTuple):
    """A call about the task under its lease, between two moments in seconds.

    Attributes:
        does: `claim` is a lease that somebody was told of; `write` is of anything under the lease; `complete` ends the
            task, `fail` the attempt alone.
        worker: whose call.
        attempt: under which lease.
        outcome: `repeated` says that this very end was accepted before; `unknown` may have counted at any time since.
        lasts_seconds: for how long at least it is leased, for claims.
    """

    does: Literal["claim", "report", "write", "complete", "fail"]
    worker: str
    attempt: int
    outcome: Literal["done", "repeated", "refused", "unknown"]
    invoked: float
    returned: float = NEVER
    lasts_seconds: float = 0

    @property
    def ends(self) -> bool:
        """Whether it is to end the attempt."""
        return self.does in ("complete", "fail")


class End(NamedTuple):
    """What the task is when all is over."""

    status: str
    attempt: int


def faults(ops: Sequence[Op], end: End) -> list[str]:
    """What no task could have answered; empty where all is well."""
    claims = [op for op in ops if op.does == "claim"]
    uses = [op for op in ops if op.does != "claim"]
    return [
        *_claims(claims, uses),
        *_older(claims, uses),
        *_ends(claims, uses),
        *_lost(claims, uses),
        *_last(uses, end),
    ]


def _claims(claims: Sequence[Op], uses: Sequence[Op]) -> list[str]:
    """An attempt is one worker's, later ones are higher, and none begins before the one before it may have ended."""
    shared = [(a, b) for a, b in combinations(claims, 2) if a.attempt == b.attempt and a.worker != b.worker]
    fallen = [(a, b) for a, b in permutations(claims, 2) if a.returned < b.invoked and a.attempt > b.attempt]
    early = [
        (a, b)
        for a, b in permutations(claims, 2)
        if a.attempt < b.attempt and b.returned < a.invoked + a.lasts_seconds and not _may_have_ended(a, b, uses)
    ]
    return [
        *(f"one attempt for two: {one} and {other}" for one, other in shared),
        *(f"an older attempt was leased: {before}, then {after}" for before, after in fallen),
        *(f"leased twice at once: {before} and {after}" for before, after in early),
    ]


def _may_have_ended(claim: Op, other: Op, uses: Sequence[Op]) -> bool:
    return any(
        use.ends and use.attempt == claim.attempt and use.outcome != "refused" and use.invoked <= other.returned
        for use in uses
    )


def _older(claims: Sequence[Op], uses: Sequence[Op]) -> list[str]:
    """Once a later attempt was leased, nothing new counts under an older one."""
    return [
        f"counted under an older lease: {use}, after {claim}"
        for use in uses
        for claim in claims
        if use.outcome == "done" and use.attempt < claim.attempt and claim.returned < use.invoked
    ]


def _ends(claims: Sequence[Op], uses: Sequence[Op]) -> list[str]:
    """One end of an attempt is accepted, of all of them one that ends the task; what is repeated was said before; and
    after the end nothing is leased."""
    ends = [use for use in uses if use.ends and use.outcome in ("done", "repeated")]
    accepted = [use for use in ends if use.outcome == "done"]
    twice = [(a, b) for a, b in combinations(accepted, 2) if a.attempt == b.attempt]
    done = [use for use in ends if use.does == "complete"]
    over = [(a, b) for a, b in combinations(done, 2) if a.attempt != b.attempt]
    unsaid = [use for use in ends if use.outcome == "repeated" and not _was_said(use, uses)]
    after = [(end, claim) for end in done for claim in claims if end.returned < claim.invoked]
    return [
        *(f"ended twice: {one} and {other}" for one, other in [*twice, *over]),
        *(f"repeats what nobody said: {one}" for one in unsaid),
        *(f"leased after its end: {claim}, after {end}" for end, claim in after),
    ]


def _was_said(repeat: Op, uses: Sequence[Op]) -> bool:
    return any(
        (use.does, use.attempt) == (repeat.does, repeat.attempt)
        and use.outcome in ("done", "unknown")
        and use.invoked < repeat.returned
        for use in uses
    )


def _lost(claims: Sequence[Op], uses: Sequence[Op]) -> list[str]:
    """Who works in time is not refused."""
    return [
        f"lost before its time: {claim}, {use}"
        for claim in claims
        for use in uses
        if use.outcome == "refused" and (use.worker, use.attempt) == (claim.worker, claim.attempt)
        if use.returned < claim.invoked + claim.lasts_seconds and not _may_have_ended(claim, use, uses)
    ]


def _last(uses: Sequence[Op], end: End) -> list[str]:
    """The task is completed, by who was told so; where nobody was, by somebody who may have."""
    completed = [use for use in uses if use.does == "complete" and use.outcome != "refused"]
    sure = {use.attempt for use in completed if use.outcome != "unknown"}
    is_right = end.attempt in (sure or {use.attempt for use in completed})
    return [] if end.status == "completed" and is_right else [f"not as it was told: {end}, {completed}"]
