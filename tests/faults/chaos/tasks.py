"""Tasks: created with dependencies, claimed, reported on, failed and tried again, finished once."""

from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Refused, Unanswered

LEASE_SECONDS = 2
RETRY = {"max_attempts": 100, "delay_seconds": 0}
OPEN = ("pending", "queued", "running", "paused")
ENDED = ("completed", "failed", "cancelled")
PLAN: list[tuple[dict[str, Any], str]] = [
    ({"title": "first"}, "completed"),
    ({"title": "left", "depends_on": ["#0"]}, "completed"),
    ({"title": "right", "depends_on": ["#0"]}, "completed"),
    ({"title": "last", "depends_on": ["#1", "#2"]}, "completed"),
    ({"title": "doomed"}, "failed"),
    ({"title": "dropped", "depends_on": ["#4"], "on_parent_failure": "cancel"}, "cancelled"),
    ({"title": "stubborn", "depends_on": ["#4"], "on_parent_failure": "run_anyway"}, "completed"),
]
"""A diamond, and a task that fails for good with two that hang on it; and how each ends."""


class Tasks(Part):
    """What was answered about tasks."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.to_end: dict[str, str] = {}
        self.attempts: dict[str, dict[int, str]] = defaultdict(dict)
        """By task and attempt, the agent to whom it was given."""
        self.ended: dict[str, list[tuple[int, str, Any]]] = defaultdict(list)
        """By task, the finishes that were acknowledged: attempt, outcome, result."""

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Two who create."""
        return [self._create(n) for n in range(2)]

    def consumers(self) -> list[Coroutine[Any, Any, None]]:
        """A worker for each seat."""
        return [self._work(f"worker-{n}") for n in range(5)]

    def has_enough(self) -> bool:
        """A plan, and a task that was given out again."""
        return bool(self.to_end) and any(max(given) > 1 for given in self.attempts.values())

    async def _create(self, number: int) -> None:
        made = 0
        while self.fleet.producing:
            made += 1
            key = f"plan-{number}-{made}"
            tasks = [
                task | {"retry": RETRY, "idempotency_key": f"{key}-{place}"} for place, (task, _) in enumerate(PLAN)
            ]
            answer = await self.fleet.surely("tasks_create", tasks=tasks)
            ids = [task["id"] for task in answer["tasks"]]
            assert len(set(ids)) == len(PLAN) and not self.to_end.keys() & set(ids), "a key names one task"
            self.to_end |= dict(zip(ids, (end for _, end in PLAN), strict=True))
            await self.fleet.pause(0.1, 0.6)

    async def _work(self, name: str) -> None:
        await self.fleet.surely("agents_register", name=name, max_concurrent_tasks=20)
        was_cut_off = False
        while not self.fleet.settled.is_set():
            # Whoever lost an answer asks for what it was given, or leaves that to the lease.
            asked = {"resume": True} if was_cut_off and self.fleet.chance.random() < 0.5 else {"wait_seconds": 0.5}
            try:
                answer = await self.fleet.any_seat().call(
                    "tasks_claim", agent_id=name, as_agent=name, max_tasks=3, lease_seconds=LEASE_SECONDS, **asked
                )
            except Unanswered:
                was_cut_off = True
                continue
            was_cut_off = False
            for claim in answer["claims"]:
                self._given(name, claim)
            for claim in answer["claims"]:
                await self._do(name, claim)

    def _given(self, name: str, claim: dict[str, Any]) -> None:
        holder = self.attempts[claim["task"]["id"]].setdefault(claim["attempt"], name)
        assert holder == name, f"{claim['task']['id']}, attempt {claim['attempt']}: given to {holder} and to {name}"

    async def _do(self, name: str, claim: dict[str, Any]) -> None:
        task, attempt = claim["task"], claim["attempt"]
        await self._require_parents_ended(task)
        lease = {"task_id": task["id"], "lease_token": claim["lease_token"]}
        chance = self.fleet.chance.random()
        try:
            if chance < 0.3:
                await self.fleet.surely("tasks_report", **lease, progress={"percent": 50})
            if task["title"] == "doomed":
                await self._finish(attempt, lease, "failed", error={"message": "no", "retryable": False})
            elif chance > 0.8 and attempt < 4:
                await self._finish(attempt, lease, "failed", error={"message": "again", "retryable": True})
            else:
                await self._finish(attempt, lease, "completed", result={"by": name, "attempt": attempt})
        except Refused as refused:  # killed or frozen servers took longer than the lease
            if refused.code != "lease_lost":
                raise
            self.fleet.happened["lease lost"] += 1

    async def _finish(self, attempt: int, lease: dict[str, Any], outcome: str, **how: Any) -> None:
        answer = await self.fleet.surely("tasks_finish", **lease, outcome=outcome, **how)
        if answer["task"]["status"] in ENDED or answer["repeated"]:
            self.ended[lease["task_id"]].append((attempt, outcome, how))

    async def _require_parents_ended(self, task: dict[str, Any]) -> None:
        for parent in task.get("depends_on", ()):
            found = await self.fleet.surely("tasks_find", task_id=parent)
            assert found["task"]["status"] in ENDED, f"{task['id']} was given out before {parent} had ended"

    async def unsettled(self) -> int:
        """Tasks of all kinds, but for the server's own."""
        counts = (await self.fleet.surely("tasks_find", limit=1))["counts"]
        return sum(counts.get(status, 0) for status in OPEN)

    async def check(self) -> None:
        """Each task ended once, as it was to, with the result that was acknowledged, and ran no more after that."""
        for task_id, wanted in self.to_end.items():
            task = (await self.fleet.surely("tasks_find", task_id=task_id))["task"]
            facts = (task, self.attempts[task_id], self.ended[task_id])
            assert task["status"] == wanted, facts
            if wanted == "cancelled":
                assert not self.attempts[task_id], facts
                continue
            assert max(self.attempts[task_id], default=0) <= task["attempt"], facts
            ends = [end for end in self.ended[task_id] if end[1] == wanted]
            assert [attempt for attempt, _, _ in ends] == [task["attempt"]], facts
            if wanted == "completed":
                assert task["result"] == ends[0][2]["result"], facts
        self.fleet.happened["tasks"] = len(self.to_end)
        self.fleet.happened["attempts"] = sum(map(len, self.attempts.values()))
