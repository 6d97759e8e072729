"""Schedules: many that fire at the same minute, each once for each minute."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet
from tests.faults.chaos.tasks import RETRY

SCHEDULES = 20
DUE_SECONDS = 120
"""Until nothing is due and a minute is neither young nor old, also on a busy machine."""
MINUTE = timedelta(minutes=1)


class Schedules(Part):
    """The schedules, and when each began and ended."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.began: dict[str, datetime] = {}
        self.ended: dict[str, datetime] = {}

    async def prepare(self) -> None:
        """All of them at once, each for every minute."""
        every = {"cron": "* * * * *", "overlap": "allow", "catch_up": "once"}
        specs = [{"title": f"tick {n}", "kind": "tick", "schedule": every, "retry": RETRY} for n in range(SCHEDULES)]
        keyed = [spec | {"idempotency_key": spec["title"]} for spec in specs]
        for task in (await self.fleet.surely("tasks_create", tasks=keyed))["tasks"]:
            found = (await self.fleet.surely("tasks_find", task_id=task["id"]))["task"]
            self.began[task["id"]] = datetime.fromisoformat(found["created_at"])

    def has_enough(self) -> bool:
        """A minute has begun since all were made."""
        return datetime.now(UTC) > max(self.began.values()) + MINUTE

    async def wind_down(self) -> None:
        """End them, once nothing is due and no minute is about to begin."""
        async with asyncio.timeout(DUE_SECONDS):
            while not 5 < datetime.now().second < 50 or await self._due():
                await asyncio.sleep(0.5)
        while True:  # what was cut off is found ended, and refused
            for_now = await self.fleet.surely("tasks_control", task_ids=list(self.began), action="cancel")
            if len(for_now["tasks"]) + len(for_now.get("refused", [])) == SCHEDULES:
                break
        for schedule_id in self.began:
            found = (await self.fleet.surely("tasks_find", task_id=schedule_id))["task"]
            self.ended[schedule_id] = datetime.fromisoformat(found["finished_at"])

    async def _due(self) -> bool:
        found = [await self.fleet.surely("tasks_find", task_id=schedule_id) for schedule_id in self.began]
        return any(datetime.fromisoformat(one["task"]["run_at"]) <= datetime.now(UTC) for one in found)

    async def check(self) -> None:
        """Each minute in which a schedule lived has one task of it, which was done."""
        for schedule_id, began in self.began.items():
            page = await self.fleet.surely("tasks_find", parent_id=schedule_id, limit=100)
            firings = [(await self.fleet.surely("tasks_find", task_id=one["id"]))["task"] for one in page["tasks"]]
            assert {task["status"] for task in firings} == {"completed"}, firings
            fired = Counter([await self._minute(task["id"]) for task in firings])
            first = began.replace(second=0, microsecond=0) + MINUTE
            minutes = {first + n * MINUTE for n in range(int((self.ended[schedule_id] - first) / MINUTE) + 1)}
            assert fired.keys() <= minutes and max(fired.values()) == 1, (began, firings)
            late = [datetime.fromisoformat(task["created_at"]) for task in firings]
            for minute in minutes - fired.keys():  # one firing stands for all that a busy machine was late for
                assert any(at - MINUTE > minute for at in late), (minute, firings)

    async def _minute(self, task_id: str) -> datetime:
        """The minute for which a task was made; a retry has moved it since."""
        page = await self.fleet.surely("events_read", aggregate_id=task_id, type="task.created")
        (created,) = page["events"]
        return datetime.fromisoformat(created["data"]["run_at"])
