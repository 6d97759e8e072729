"""Transaction functions that lease tasks: to agents, and to the server's own worker.

Claims that share a transaction share one look at the queue, as long as nobody else writes in between: many callers in
one batch, or one caller that takes many tasks, then read the agent once and the queue a few times.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mcp_server.domain.agents.model import Agent
from mcp_server.domain.agents.rows import at_work, load_agent
from mcp_server.domain.agents.speaking import require_voice
from mcp_server.domain.agents.transactions import require_budget, see_instance, see_instance_again
from mcp_server.domain.tasks.commands import ClaimSystemTasks, ClaimTasks, worker_of
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import LeasedTasks, load_task
from mcp_server.domain.tasks.spec import SYSTEM_WORKER
from mcp_server.domain.tasks.timers import DUE
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.sweeping import settle_sound_rows
from mcp_server.kernel.times import Micros

LEASE = "lease"
"""The kind of a lease's token."""

RESUMED_MAX = 100
_AT_ONCE = 32
_AT_ONCE_MAX = 256


class Leased(NamedTuple):
    """A task's columns, and the token of the lease on it, which is kept nowhere."""

    row: dict[str, Any]
    token: str


def claim(tx: Transaction, origin: Origin, command: ClaimTasks) -> list[Leased]:
    """Lease the best tasks that the agent can do, up to `max_tasks` and its capacity.

    Raises:
        NotFound: no such agent or instance.
        InvalidTransition: the agent is paused, draining or terminated.
        AtCapacity: the agent runs as many tasks as it said it can.
        LimitExceeded: the agent's budget for the month is used up.
    """
    look = _look(tx, origin, command)
    agent = look.agent
    agent.require_work_allowed(look.running)
    require_budget(tx, agent, origin.at)
    free = agent.max_concurrent_tasks - look.running
    look.line.expected = min(_still_wanted(tx, command), free, _AT_ONCE_MAX)
    lease = _Lease(worker_of(command), command.instance_id, command.lease_seconds)
    claimed = _take(tx, origin, lease, look.line, min(command.max_tasks, free))
    look.running += len(claimed)
    look.writes = tx.writes
    return claimed


def resume(tx: Transaction, origin: Origin, command: ClaimTasks) -> list[Leased]:
    """Fresh tokens for what an agent, or one of its instances, still holds: its attempts go on, the old tokens die.

    Raises:
        NotFound: no such agent or instance.
        PermissionDenied: the caller may not speak as the agent.
    """
    agent_id = load_agent(tx, worker_of(command)).id
    require_voice(tx, origin, agent_id)
    see_instance(tx, origin, agent_id, command.instance_id)
    resumed: list[Leased] = []
    for row in tx.all("leases_held", agent_id=agent_id, now=origin.at, limit=_AT_ONCE_MAX):
        if command.instance_id in (None, row["lease_instance_id"]) and len(resumed) < RESUMED_MAX:
            token, task = origin.new_secret(LEASE), load_task(tx, row["id"])
            resumed.append(_kept(tx, origin, token, *task.reclaimed(command.lease_seconds, token, origin.at)))
    return resumed


def claim_system(tx: Transaction, origin: Origin, command: ClaimSystemTasks) -> list[Leased]:
    """Lease system tasks to this server's own worker, of each kind as many as there is room for."""
    lease = _Lease(SYSTEM_WORKER, None, command.lease_seconds)
    claimed: list[Leased] = []
    for kind, room in command.room.items():
        claimed += _take(tx, origin, lease, _Line(SYSTEM_WORKER, "[]", dump_json([kind])), room)
    return claimed


def read_ahead(tx: Transaction, calls: Sequence[tuple[Any, ...]]) -> None:
    """Count what the claims of this transaction ask for together: the first look at the queue then fetches it all."""
    for _, command in calls:
        key = ("wanted", _asker(command))
        tx.notes[key] = tx.notes.get(key, 0) + command.max_tasks


def _still_wanted(tx: Transaction, command: ClaimTasks) -> int:
    """How many tasks this claim and those after it ask for; this one is counted off."""
    key = ("wanted", _asker(command))
    wanted = max(tx.notes.get(key, 0), command.max_tasks)
    tx.notes[key] = wanted - command.max_tasks
    return wanted


class _Lease(NamedTuple):
    """For whom tasks are leased, and for how long."""

    agent_id: str
    instance_id: str | None
    seconds: float


@dataclass(slots=True)
class _Line:
    """The head of what an agent can do, best first. It only ever gets shorter while nobody else writes."""

    agent_id: str
    skills: str
    kinds: str | None
    tasks: deque[dict[str, Any]] = field(default_factory=deque[dict[str, Any]])
    expected: int = 0
    """How many tasks the claims to come will take from it."""
    asked: int = 0
    ended: bool = False

    def next(self, tx: Transaction, needed: int) -> Task | None:
        """The best task that is left. The first look takes what is needed or expected, those after it many at once."""
        if not self.tasks and not self.ended:
            self._fetch(tx, max(min(needed, _AT_ONCE), self.expected) if self.asked == 0 else _AT_ONCE)
        return Task.adopt(self.tasks.popleft()) if self.tasks else None

    def _fetch(self, tx: Transaction, limit: int) -> None:
        asker = {"agent_id": self.agent_id, "skills": self.skills, "kinds": self.kinds}
        if limit == 1:
            row = tx.one("claim_candidate", **asker)
            self.tasks.extend([] if row is None else [row])
        else:
            self.tasks.extend(sorted(tx.all("claim_candidates", **asker, limit=limit), key=_best_first))
        self.asked = limit
        self.ended = len(self.tasks) < limit


def _best_first(row: dict[str, Any]) -> tuple[int, Micros, str]:
    return -row["priority"], row["ready_at"], row["id"]


@dataclass(slots=True)
class _Look:
    """What a claim saw of its agent and the queue, for the next claim of the same transaction."""

    asker: "_Asker"
    agent: Agent
    running: int
    line: _Line
    writes: int


_Asker = tuple[str | None, str | None, tuple[str, ...] | None]
"""Claims by the same see the same."""


def _asker(command: ClaimTasks) -> _Asker:
    return command.agent_id, command.instance_id, command.kinds


def _look(tx: Transaction, origin: Origin, command: ClaimTasks) -> _Look:
    asker = _asker(command)
    seen: _Look | None = tx.notes.get(_Look)
    if seen is not None and seen.asker == asker and seen.writes == tx.writes:
        return seen
    agent_id = worker_of(command)
    require_voice(tx, origin, agent_id)
    row = at_work(tx, origin, agent_id, command.instance_id)
    if row.pop("anything_due"):
        settle_sound_rows(tx, origin, DUE)
        row = at_work(tx, origin, agent_id, command.instance_id)
        row.pop("anything_due")
    seen_at, running = row.pop("instance_seen_at"), row.pop("running")
    if command.instance_id is not None:
        see_instance_again(tx, origin, agent_id, command.instance_id, seen_at)
    agent = Agent.adopt(row)
    kinds = None if command.kinds is None else dump_json(list(command.kinds))
    line = _Line(agent.id, agent.skills, kinds)
    tx.notes[_Look] = look = _Look(asker, agent, running, line, tx.writes)
    return look


def _take(tx: Transaction, origin: Origin, lease: _Lease, line: _Line, room: int) -> list[Leased]:
    claimed: list[Leased] = []
    while len(claimed) < room and (task := line.next(tx, room - len(claimed))) is not None:
        if task.concurrency_key is not None and not _may_run(tx, task):
            continue
        token = origin.new_secret(LEASE)
        claimed.append(_kept(tx, origin, token, *task.claimed(*lease, token, origin.at)))
    return claimed


def _kept(tx: Transaction, origin: Origin, token: str, leased: Task, event: Event) -> Leased:
    tx.record(origin, event)
    row = leased.fields()
    tx.memory(LeasedTasks).keep(row)
    return Leased(row, token)


def _may_run(tx: Transaction, task: Task) -> bool:
    """Whether the concurrency key still has room, now that nobody else can take it in this moment."""
    tx.one("concurrency_guard", key=task.concurrency_key)
    row = tx.one("concurrency_running", key=task.concurrency_key) or {}
    return row["running"] < task.concurrency_limit
