"""What the areas leave to be done from time to time: what time alone makes due, and the server's chores."""

from typing import Any, NamedTuple

from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.system import SystemTasks
from mcp_server.kernel.area import Areas, Sweep
from mcp_server.kernel.call import SYSTEM_CALL, Clock
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.services import Services
from mcp_server.kernel.sweeping import HalfDone, Stuck, due_keys, settle_alone, settle_rows
from mcp_server.kernel.times import Micros, duration, iso

REST_SECONDS_MAX = 300.0
"""How long a row that could not be settled rests at most."""


class Housekeeping:
    """Called by the timer of every process; several may do the same at the same time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = services.context
        self._areas = services.get(Areas)
        self._system = services.get(SystemTasks)
        self._resting = RestingRows(self._context.database.loops)
        self._parameters: dict[str, Any] = {
            name: value for sweep in self._areas.sweeps for name, value in sweep.parameters.items()
        }

    async def settle(self) -> bool:
        """Do what is due now; whether some of it could not be done. That rests, longer each time, and is told in the
        server's health by what it is called; everything else goes on.

        Raises:
            OpsError: the store is busy or unavailable.
        """
        for sweep in self._areas.sweeps:
            resting = self._resting.passed_over(sweep.due, self._context.clock())
            for one in await self._settled(sweep, resting):
                self._resting.failed(sweep.due, one, self._context.clock())
            self._resting.forget(sweep.due, self._context.clock())
        return bool(self._resting)

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
        row = await self._context.database.fetch_one("next_due", **self._parameters)
        return None if row is None else row["at"]

    async def begin_chores(self) -> None:
        """Queue the chores for which there is something to do, each once in its period, whoever asks first."""
        now = iso(self._context.clock())
        for chore in self._areas.chores:
            if await chore.wanted(self._services):
                key = f"{chore.kind}:{now[: chore.times]}"
                await self._system.create(TaskSpec(title=chore.title, kind=chore.kind, idempotency_key=key))

    @property
    def clock(self) -> Clock:
        """The clock that `next_due` goes by."""
        return self._context.clock


class RestingRows:
    """Rows that could not be settled, until they are tried again."""

    def __init__(self, loops: Loops) -> None:
        self._loops = loops
        self._rows: dict[tuple[str, str], _Rest] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def passed_over(self, due: str, now: Micros) -> frozenset[str]:
        """The keys of those that rest still."""
        return frozenset(key for (of, key), rest in self._rows.items() if of == due and rest.until > now)

    def failed(self, due: str, stuck: Stuck, now: Micros) -> None:
        """One could not be settled."""
        before = self._rows.get((due, stuck.key))
        tries = 0 if before is None else before.tries
        seconds = min(REST_SECONDS_MAX, 2.0**tries)
        self._rows[due, stuck.key] = _Rest(tries + 1, now + duration(seconds))
        self._loops.hold(_called(due, stuck.key), stuck.error)

    def forget(self, due: str, now: Micros) -> None:
        """Those that were tried just now and do not rest again are settled, or are gone."""
        for place in [place for place, rest in self._rows.items() if place[0] == due and rest.until <= now]:
            del self._rows[place]
            self._loops.release(_called(*place))


class _Rest(NamedTuple):
    tries: int
    until: Micros


def _called(due: str, key: str) -> str:
    return f"{due} {key}"
