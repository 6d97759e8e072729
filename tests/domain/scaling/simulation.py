"""Loads, and instances that work on them: what the autoscaler makes of it, beside a fixed number of instances."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from mcp_server.domain.agents.commands import ScalingSpec
from mcp_server.domain.scaling.model import Seen, decide, kept
from mcp_server.kernel.times import duration

SECONDS_PER_TASK = 4
START_SECONDS = 2
"""How long an instance takes until it works."""

MINUTES = 20


class Result(NamedTuple):
    """What a simulation came to.

    Attributes:
        changes: the number of instances after each decision, by the second.
        waits: how long each task waited, in seconds.
        instance_seconds: what the instances cost.
    """

    changes: list[tuple[int, int]]
    waits: list[int]
    instance_seconds: int

    @property
    def mean_wait(self) -> float:
        return sum(self.waits) / len(self.waits) if self.waits else 0.0

    @property
    def p95_wait(self) -> int:
        return sorted(self.waits)[int(len(self.waits) * 0.95)] if self.waits else 0

    @property
    def turns(self) -> int:
        """How often the number went down after it had gone up, or up after it had gone down, beyond the first."""
        numbers = [0, *(number for _, number in self.changes)]
        ways = [after > before for before, after in itertools.pairwise(numbers) if after != before]
        return sum(one != other for one, other in itertools.pairwise(ways))


Load = Callable[[int], float]
"""Tasks per second that arrive at a second."""

LOADS: dict[str, Load] = {
    "ramp": lambda second: min(second, 600) / 600 * 2 if second < 900 else 0.0,
    "spike": lambda second: 3.0 if 300 <= second < 360 else 0.2,
    "sawtooth": lambda second: second % 45 / 45 * 2,
    "slow sawtooth": lambda second: second % 300 / 300 * 2,
    "idle": lambda second: 0.0,
}


@dataclass
class Pool:
    """Instances, the second from which each works, and what each works on until when."""

    ready_at: list[int] = field(default_factory=list[int])
    busy_until: list[int] = field(default_factory=list[int])

    def resize(self, number: int, now: int) -> None:
        while len(self.ready_at) < number:
            self.ready_at.append(now + START_SECONDS)
            self.busy_until.append(0)
        while len(self.ready_at) > number:  # the idle ones first; one that works finishes its task meanwhile
            least = min(range(len(self.ready_at)), key=lambda at: self.busy_until[at])
            del self.ready_at[least], self.busy_until[least]

    def running(self, now: int) -> int:
        return sum(until > now for until in self.busy_until)

    def work(self, queue: list[int], now: int) -> list[int]:
        """Take up what there is; how long each of it had waited."""
        waits: list[int] = []
        for at, ready_at in enumerate(self.ready_at):
            if queue and ready_at <= now and self.busy_until[at] <= now:
                waits.append(now - queue.pop(0))
                self.busy_until[at] = now + SECONDS_PER_TASK
        return waits


def simulate(load: Load, policy: ScalingSpec | None, fixed: int = 0) -> Result:
    """Twenty minutes under a load: by rules, or with a fixed number of instances."""
    pool, queue, seen, due = Pool(), list[int](), list[Seen](), 0.0
    desired = fixed if policy is None else policy.min
    pool.resize(desired, -START_SECONDS)
    result = Result([], [], 0)
    cost = 0
    for now in range(MINUTES * 60):
        due += load(now)
        queue += [now] * int(due)
        due -= int(due)
        result.waits.extend(pool.work(queue, now))
        if policy is not None:
            seen = kept(policy, [*seen, Seen(duration(now), len(queue), pool.running(now))])
            decision = decide(policy, seen, desired)
            if decision is not None:
                desired = decision.after
                result.changes.append((now, desired))
                pool.resize(desired, now)
        cost += len(pool.ready_at)
    return result._replace(instance_seconds=cost)
