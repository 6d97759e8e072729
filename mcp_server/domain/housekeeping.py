"""What the areas leave to be done from time to time: what time alone makes due, and the server's chores."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.system import SystemTasks
from mcp_server.kernel.area import Righting, Sweep
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.call import SYSTEM_CALL, Clock
from mcp_server.kernel.clocks import JUMP_MIN, ClockWatch, Jump
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.resting import RestingRows
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.sweeping import (
    ROWS_AT_ONCE,
    HalfDone,
    Stuck,
    due_keys,
    settle_alone,
    settle_each,
    settle_rows,
)
from mcp_server.kernel.times import SECOND, Micros, iso

TRUSTED_AFTER: Micros = 3600 * SECOND
"""How long a clock that was set ahead has to stay so before what is old by it is cleared away."""

log = logging.getLogger("datamcp.time")


class Housekeeping:
    """Called by the timer of every process; several may do the same at the same time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = services.context
        self._areas = services.get(Areas)
        self._system = services.get(SystemTasks)
        self._resting = RestingRows(self._context.database.loops)
        self._watch = services.get(ClockWatch)
        self._held_up: frozenset[str] = frozenset()
        self._must_right = True
        self._trusts_from: Micros | None = None
        self.last_jump: Jump | None = None
        self.on_jump: Callable[[Jump], None] | None = None
        """Told when the clock was set."""
        self._parameters: dict[str, Any] = {
            name: value for sweep in self._areas.sweeps for name, value in sweep.parameters.items()
        }

    async def keep_time(self) -> None:
        """Notice when the clock is set, and tell of it. What was computed from a clock that was ahead is computed
        again: at the start, since an earlier process may have left it, and whenever the clock is set back.

        Raises:
            OpsError: the store is busy or unavailable.
        """
        await self._context.database.keep_time()
        jump = self._watch.look()
        if jump is not None:
            self._jumped(jump)
        if self._must_right:
            self._must_right = not await self._right()

    def _jumped(self, jump: Jump) -> None:
        self.last_jump = jump
        self._resting.try_all_again()
        self._must_right = self._must_right or jump.way == "back"
        if jump.way == "ahead":
            self._trusts_from = self._watch.steady() + TRUSTED_AFTER
        if self.on_jump is not None:
            self.on_jump(jump)
        log.warning("the clock was set %s by %g s; it says %s now", jump.way, abs(jump.seconds), iso(jump.noticed_at))

    async def _right(self) -> bool:
        """Compute again what was computed from a clock that was ahead; whether all of it could be."""
        for righting in self._areas.rightings:
            now = self._context.clock()
            for one in await self._righted(righting, self._resting.passed_over(righting.rows, now), now):
                self._resting.failed(righting.rows, one, now)
            self._resting.forget(righting.rows, now)
        return not any(self._resting.has(righting.rows) for righting in self._areas.rightings)

    async def _righted(self, righting: Righting, passed_over: frozenset[str], now: Micros) -> list[Stuck]:
        found = await self._context.database.fetch_all(righting.rows, now=now, ahead=now + JUMP_MIN)
        rows = [row for row in found if righting.key(row) not in passed_over]
        stuck: list[Stuck] = []
        for first in range(0, len(rows), ROWS_AT_ONCE):
            stuck += await self._righted_some(righting, rows[first : first + ROWS_AT_ONCE])
        return stuck

    async def _righted_some(self, righting: Righting, rows: Sequence[Row]) -> list[Stuck]:
        write, origin = self._context.database.write, self._context.origin(SYSTEM_CALL)
        await self._load(righting.rows)
        try:
            return await write(settle_each, origin, righting, rows)
        except HalfDone as error:
            if len(rows) == 1:
                return [Stuck(error.key, error.__cause__ or error)]
        return [one for row in rows for one in await self._righted_some(righting, [row])]

    async def settle(self) -> bool:
        """Do what is due now; whether some of it could not be done. That rests, longer each time, and is told in the
        server's health by what it is called; everything else goes on. What stood behind somebody who holds a lock
        comes last the next time.

        Raises:
            OpsError: the store is busy or unavailable, for one kind of what is due at least.
        """
        held_up: dict[str, OpsError] = {}
        dues, now = await self._dues(), self._context.clock()
        for sweep in sorted(self._areas.sweeps, key=lambda one: (one.due in self._held_up, dues.get(one.due, now))):
            try:
                if dues.get(sweep.due, now + 1) <= now:
                    await self._sweep(sweep)
            except OpsError as error:
                held_up[sweep.due] = error
            else:
                self._resting.forget(sweep.due, self._context.clock())
        self._held_up = frozenset(held_up)
        if held_up:
            raise next(iter(held_up.values()))
        return bool(self._resting)

    async def _load(self, statement: str) -> None:
        """Load the area whose rows these are before it has a transaction, for which everybody else waits."""
        area = self._areas.unloaded(statement)
        if area is not None:
            await asyncio.to_thread(self._areas.load_with_hearers, area)

    async def _sweep(self, sweep: Sweep) -> None:
        await self._load(sweep.due)
        resting = self._resting.passed_over(sweep.due, self._context.clock())
        for one in await self._settled(sweep, resting):
            self._resting.failed(sweep.due, one, self._context.clock())

    async def _settled(self, sweep: Sweep, passed_over: frozenset[str]) -> list[Stuck]:
        write, origin = self._context.database.write, self._context.origin(SYSTEM_CALL)
        try:
            return await write(settle_rows, origin, sweep, passed_over)
        except HalfDone:
            pass
        stuck: list[Stuck] = []
        for key in await write(due_keys, origin, sweep, passed_over):
            try:
                stuck += await write(settle_alone, origin, sweep, key, passed_over)
            except HalfDone as error:
                stuck.append(Stuck(key, error.__cause__ or error))
        return stuck

    async def next_due(self) -> int | None:
        """When something will next be due, in microseconds UTC; None when nothing is."""
        return min((await self._dues()).values(), default=None)

    async def _dues(self) -> dict[str, int]:
        """By kind, when the next of it is due."""
        rows = await self._context.database.fetch_all("dues", **self._parameters)
        return {row["due"]: row["at"] for row in rows if row["at"] is not None}

    async def begin_chores(self) -> None:
        """Queue the chores for which there is something to do, each once in its period, whoever asks first. What is
        old goes for good: not by a clock that was just set ahead."""
        if self._trusts_from is not None and self._watch.steady() < self._trusts_from:
            return
        now = iso(self._context.clock())
        for chore in self._areas.chores:
            if await chore.wanted(self._services):
                key = f"{chore.kind}:{now[: chore.times]}"
                await self._system.create(TaskSpec(title=chore.title, kind=chore.kind, idempotency_key=key))

    @property
    def clock(self) -> Clock:
        """The clock that `next_due` goes by."""
        return self._context.clock

    def clock_told(self) -> dict[str, Any]:
        """What there is to say of clocks: that the one was set, and that this machine's is not the store's."""
        told = {} if self.last_jump is None else self.last_jump.told()
        off = self._context.database.clock_is_off_by
        return told | ({"off_by_seconds": round(off / SECOND, 1)} if abs(off) > SECOND else {})
