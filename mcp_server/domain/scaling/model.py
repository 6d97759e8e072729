"""How many instances there are to be: a pure function of what was seen of the work lately.

What is wanted at a moment is the work, ready and running, by what one instance is to have of it. The number rises to
the least that was wanted at all times of the delay for going up, and falls to the most that was wanted at all times of
the delay for going down: a spike shorter than the one and a pause shorter than the other change nothing.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from mcp_server.domain.agents.commands import INSTANCES_MAX, ScalingSpec
from mcp_server.kernel.meaning import AgentName
from mcp_server.kernel.times import Micros, duration, iso
from mcp_server.kernel.together import not_together
from mcp_server.kernel.values import Frozen

NOT_STARTED = (
    "The agent has no launcher, so its instances are sessions that people or clients start: they are asked for, not "
    "started."
)

TOO_MANY = "All instances together run at most {capacity} tasks at once: see max_concurrent_tasks of agents_register."


class ScaleAgent(Frozen):
    """A number of instances is asked for, or rules by which it changes."""

    agent_id: AgentName
    desired_instances: int | None = Field(default=None, ge=0, le=INSTANCES_MAX, examples=[2])
    scaling: ScalingSpec | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.desired_instances is None) == (self.scaling is None):
            raise not_together(
                'Give either `desired_instances`, such as 2, or `scaling`, such as {"min": 0, "max": 4}.',
                desired_instances=2 if self.scaling is None else None,
            )
        return self

    @property
    def most(self) -> int:
        """The most instances that it can come to."""
        return self.scaling.max if self.scaling is not None else self.desired_instances or 0

    def asked_for(self, before: int) -> tuple[int, str]:
        """How many instances that makes of so many, and why."""
        if self.scaling is not None:
            return self.scaling.within(before), f"from now on between {self.scaling.min} and {self.scaling.max}"
        return self.desired_instances or 0, "it was asked for"


class Seen(NamedTuple):
    """The work for one agent at one moment.

    Attributes:
        at: the moment.
        ready: tasks that it could claim.
        running: tasks that it holds.
    """

    at: Micros
    ready: int
    running: int

    def wanted(self, policy: ScalingSpec) -> int:
        """How many instances this asks for, within the bounds."""
        return policy.within(math.ceil((self.ready + self.running) / policy.target_ready_per_instance))


class Decision(NamedTuple):
    """Another number of instances, and why.

    Attributes:
        at: when.
        before: how many there were to be.
        after: how many there are to be now.
        reason: in words.
        ready: tasks that the agent could claim then; None where nobody looked.
        running: tasks that it held.
        by: who decided.
    """

    at: Micros
    before: int
    after: int
    reason: str
    ready: int | None
    running: int | None
    by: str

    def told(self, *, is_started: bool, capacity: int, most: int = 0) -> dict[str, Any]:
        """As it stands in the event, and as callers see it.

        Args:
            is_started: whether the instances are started for the agent.
            capacity: how many tasks the agent may run at once, by all its instances together.
            most: how many instances its rules let it come to.
        """
        notes = [] if is_started else [NOT_STARTED]
        if max(self.after, most) > capacity:
            notes.append(TOO_MANY.format(capacity=capacity))
        known = {"ready": self.ready, "running": self.running, "note": " ".join(notes) or None}
        return {
            "at": iso(self.at),
            "from": self.before,
            "to": self.after,
            "reason": self.reason,
            "by": self.by,
            "starts_instances": is_started,
            **{name: value for name, value in known.items() if value is not None},
        }


def decide(policy: ScalingSpec, seen: Sequence[Seen], desired: int) -> Decision | None:
    """Whether there are to be more or fewer instances now; None where there are as many as there should be.

    Args:
        policy: the rules.
        seen: what was seen lately, the oldest first and the present last; as far back as `kept` says.
        desired: how many there are to be so far.
    """
    now = seen[-1]
    least, most = _least_and_most(policy, seen)
    if least is not None and least > desired:
        return _decision(policy, now, desired, least, policy.up_delay_seconds)
    if most is not None and most < desired:
        return _decision(policy, now, desired, most, policy.down_delay_seconds)
    return None


def kept(policy: ScalingSpec, seen: Sequence[Seen]) -> list[Seen]:
    """What is still needed of what was seen: all within the longer delay, and the last before it."""
    since = seen[-1].at - duration(max(policy.up_delay_seconds, policy.down_delay_seconds))
    older = [one for one in seen if one.at <= since]
    return [*older[-1:], *(one for one in seen if one.at > since)]


def _least_and_most(policy: ScalingSpec, seen: Sequence[Seen]) -> tuple[int | None, int | None]:
    """The least wanted within the delay for going up, the most within that for going down; None where not all of it has
    been seen yet."""
    up = _within(seen, policy.up_delay_seconds)
    down = _within(seen, policy.down_delay_seconds)
    return (
        min((one.wanted(policy) for one in up), default=None),
        max((one.wanted(policy) for one in down), default=None),
    )


def _within(seen: Sequence[Seen], seconds: float) -> list[Seen]:
    since = seen[-1].at - duration(seconds)
    if seen[0].at > since:
        return []
    before = [one for one in seen if one.at <= since]
    return [before[-1], *(one for one in seen if one.at > since)]


def _decision(policy: ScalingSpec, now: Seen, desired: int, wanted: int, seconds: float) -> Decision:
    work = f"{now.ready} tasks ready and {now.running} running"
    lasting = f" for {seconds:g} s" if seconds else ""
    bound = {policy.min: ", the least allowed", policy.max: ", the most allowed"}.get(wanted, "")
    more = "at least" if wanted > desired else "at most"
    reason = f"{work}, {policy.target_ready_per_instance:g} per instance: {more} {wanted}{bound} wanted{lasting}"
    return Decision(now.at, desired, wanted, reason, now.ready, now.running, "autoscaler")
