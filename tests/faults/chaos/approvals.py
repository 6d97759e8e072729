"""Approvals: asked, decided once by one of two people who contradict each other, or by nobody until they expire."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Refused, Seat, Unanswered
from tests.faults.chaos.tasks import RETRY, Tasks

LATE = ("invalid_transition", "conflict")
ENDS = {"approved": "completed", "rejected": "cancelled", "expired": "cancelled"}


class Approvals(Part):
    """What was answered about approvals. People at even seats say yes, those at odd ones no."""

    def __init__(self, fleet: Fleet, tasks: Tasks) -> None:
        super().__init__(fleet)
        self._tasks = tasks
        self.asked: dict[str, str] = {}
        """By approval, its task."""
        self.gated: set[str] = set()
        """Tasks that wait for a person before they may run."""
        self.unheard: set[str] = set()
        """Approvals that nobody is asked about."""
        self.decided: dict[str, str] = {}

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Two who ask and then have people answer."""
        return [self._ask(n) for n in range(2)]

    def has_enough(self) -> bool:
        """One decided each way, one that gates a task, and one that nobody answers."""
        return set(self.decided.values()) == {"approved", "rejected"} and bool(self.unheard and self.gated)

    async def _ask(self, number: int) -> None:
        asked = 0
        while self.fleet.producing:
            asked += 1
            key = f"question {number} {asked}"
            if asked % 4 == 0:
                self.unheard.add(await self._question(key, expires_in_seconds=1))
            elif asked % 2:
                await self._decide(await self._question(key))
            else:
                await self._decide(await self._gate(key))
            await self.fleet.pause(0.1, 0.5)

    async def _question(self, key: str, **how: Any) -> str:
        said = {"title": key, "action": "Do it.", "approvers": [], "idempotency_key": key} | how
        approval = (await self.fleet.surely("approvals_request", **said))["approval"]
        assert approval["id"] not in self.asked, "a key names one question"
        self.asked[approval["id"]] = approval["task_id"]
        return approval["id"]

    async def _gate(self, key: str) -> str:
        spec = {"title": key, "requires_approval": True, "retry": RETRY, "idempotency_key": key}
        (task,) = (await self.fleet.surely("tasks_create", tasks=[spec]))["tasks"]
        approval = (await self.fleet.surely("approvals_find", approval_id=task["id"]))["approval"]
        self.asked[approval["id"]] = task["id"]
        self.gated.add(task["id"])
        return approval["id"]

    async def _decide(self, approval_id: str) -> None:
        """Two people answer at the same time, until one of them has been heard for sure."""
        while True:
            yes, no = self.fleet.any_seat(says_yes=True), self.fleet.any_seat(says_yes=False)
            heard = await asyncio.gather(self._answer(yes, approval_id), self._answer(no, approval_id))
            statuses = [status for status in heard if status not in ("cut off", "too late")]
            assert len(statuses) <= 1, f"{approval_id} was decided twice: {statuses}"
            if statuses:
                assert statuses[0] == ("approved" if heard[0] == statuses[0] else "rejected")
                self.decided[approval_id] = statuses[0]
            if heard.count("cut off") == 0:
                return

    async def _answer(self, seat: Seat, approval_id: str) -> str:
        try:
            return (await seat.call("approvals_decide", approval_id=approval_id))["approval"]["status"]
        except Unanswered:
            return "cut off"
        except Refused as refused:
            if refused.code not in LATE:
                raise
            return "too late"

    async def unsettled(self) -> int:
        """Questions that are open, of which all are answered or expire."""
        return len((await self.fleet.surely("approvals_find", status="pending", limit=100))["approvals"])

    async def check(self) -> None:
        """Each question was decided once, as was acknowledged, and what hung on it went that way."""
        for approval_id, task_id in self.asked.items():
            approval = (await self.fleet.surely("approvals_find", approval_id=approval_id))["approval"]
            task = (await self.fleet.surely("tasks_find", task_id=task_id))["task"]
            facts = (approval, task)
            assert approval["status"] == self.decided.get(approval_id, approval["status"]), facts
            assert (approval["status"] == "expired") == (approval_id in self.unheard), facts
            assert len(approval.get("answers", [])) == (approval_id not in self.unheard), facts
            assert task["status"] == ENDS[approval["status"]], facts
            if approval["status"] != "approved":
                assert not self._tasks.attempts[task_id], facts
            elif task_id in self.gated:
                assert len([end for end in self._tasks.ended[task_id] if end[1] == "completed"]) == 1, facts
        self.fleet.happened["decided"] = len(self.decided)
