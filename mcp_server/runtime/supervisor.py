"""The supervisor: keeps the processes alive that are wanted, on this host.

Of several servers one supervises; the others look once a second whether it still does. What it does it writes down
under its fence before it does it, so that one which was overtaken changes nothing any more. What it finds written down
it looks for before it acts, so that the next one goes on where it stopped. See `domain/processes`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from mcp_server.domain.desk import Desk
from mcp_server.domain.processes.model import Fence, Process, Started, Step
from mcp_server.domain.processes.running import Command, Identity, Limits, NotStarted, Prepared, Runner
from mcp_server.domain.processes.service import LEASE_SECONDS, Supervision, log_name
from mcp_server.domain.processes.transactions import Supervisor as Who
from mcp_server.kernel.errors import LeaseLost, NotFound, OpsError
from mcp_server.kernel.times import SECOND
from mcp_server.runtime.hands import AGAIN_AFTER_SECONDS, Hands, cancelled

HOLD_EVERY_SECONDS = LEASE_SECONDS / 2.5
FREE_EVERY_SECONDS = LEASE_SECONDS / 5
"""How often one that does not supervise looks whether another still does: by reading alone."""

LOOK_EVERY_SECONDS = 10.0
"""How often it looks at everything without having been told of a change."""

WATCH_EVERY_SECONDS = 2.0
WATCH_AGAIN_SECONDS = 0.2
"""How soon after a log was full."""

SEEN_EVERY_SECONDS = 15.0
STARTS_AT_ONCE = 8
log = structlog.stdlib.get_logger("datamcp.supervisor")

Resolve = Callable[[Process], Awaitable[Command]]
"""What is to run in a place. Raises `NotStarted` where that cannot be said."""


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """What one supervises, and where logs lie.

    Attributes:
        holder: what tells this server from all others.
        folder: for logs.
        resolvers: what finds out what is to run, by the scope of processes.
        log_bytes_max: how large a log gets before it is cut.
        seen: told of all that this server supervises whenever it looks at that.
    """

    holder: str
    folder: Path
    resolvers: Mapping[str, Resolve]
    log_bytes_max: int = 1024 * 1024
    seen: Callable[[Sequence[Process]], None] | None = None


class Supervisor:
    """Supervises until it is cancelled; what runs goes on then, and another may supervise at once."""

    def __init__(self, desk: Desk, runner: Runner, options: SupervisorOptions) -> None:
        self._desk = desk
        self._runner = runner
        self._options = options
        self._store = desk.get(Supervision)
        self._who = Who(runner.host, options.holder)
        self._fences: dict[str, Fence] = {}
        self._poked = asyncio.Event()
        self._hands = Hands(self._store, runner, options.log_bytes_max, self._poked.set)
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._seen_at = 0.0

    @property
    def is_in_charge(self) -> bool:
        """Whether this server supervises anything."""
        return bool(self._fences)

    async def run(self) -> None:
        """Supervise until cancelled."""
        loops = self._desk.loops
        bodies = {"hold": self._hold_always, "look": self._look_always, "watch": self._watch_always}
        running = [asyncio.create_task(loops.keep(f"supervisor-{name}", body)) for name, body in bodies.items()]
        try:
            await asyncio.gather(*running)
        finally:
            await cancelled([*running, *self._steps.values()])
            await self._hands.put_down_others({})
            with contextlib.suppress(OpsError):
                await self._store.let_go(self._who)

    async def _hold_always(self) -> NoReturn:
        scopes = list(self._options.resolvers)
        while True:
            if self._fences or await self._store.free(self._who, scopes):
                await self._take(await self._store.hold(self._who, scopes))
            await asyncio.sleep(HOLD_EVERY_SECONDS if self._fences else FREE_EVERY_SECONDS)

    async def _take(self, fences: dict[str, Fence]) -> None:
        """Go by the fences that are held now. What was in hand under others is another's, or is looked for anew."""
        if fences == self._fences:
            return
        for scope, fence in fences.items():
            if self._fences.get(scope) != fence:
                log.info("supervising", scope=scope, host=fence.host, fence=fence.number)
                await self._store.take_left_behind(fence, self._runner.boot)
        self._fences = fences
        await self._hands.put_down_others(fences)
        self._poked.set()

    async def _look_always(self) -> NoReturn:
        async with self._desk.changes.listen("process") as listener:
            while True:
                self._poked.clear()
                seconds = await self._look() if self._fences else LOOK_EVERY_SECONDS
                await _first_of(listener.wait(seconds), self._poked.wait())

    async def _look(self) -> float:
        """Begin what is to be done; seconds until time alone makes more of it due."""
        now, next_at = self._store.now, list[int]()
        places = await self._store.to_supervise(self._who.host)
        self._end_strays({process.identity for process in places})
        self._tell_seen_places(places)
        for process in places:
            fence = self._fences.get(process.scope)
            if fence is None or process.id in self._steps:
                continue
            step = process.step(now, is_held=process.id in self._hands)
            if step is not None:
                self._begin(step, fence, process)
            elif process.next_at is not None:
                next_at.append(process.next_at)
        return min([LOOK_EVERY_SECONDS, *((at - now) / SECOND for at in next_at)])

    def _tell_seen_places(self, places: Sequence[Process]) -> None:
        if self._options.seen is not None:
            self._options.seen([process for process in places if process.scope in self._fences])

    def _end_strays(self, known: Set[Identity | None]) -> None:
        """What was in hand and stands in no place here any more is run elsewhere: this host was given up meanwhile."""
        for process_id, hand in self._hands.strays(known).items():
            if process_id not in self._steps:
                log.warning("stray_ended", process_id=process_id, pid=hand.held.identity.pid)
                hand.held.kill()

    def _begin(self, step: Step, fence: Fence, process: Process) -> None:
        does = {"start": self._start, "find": self._find, "end": self._end, "kill": self._kill}[step]
        task = asyncio.create_task(self._done(does, fence, process), name=f"{step} {process.id}")
        self._steps[process.id] = task

        def after(_: "asyncio.Task[None]") -> None:
            del self._steps[process.id]
            self._poked.set()

        task.add_done_callback(after)

    async def _done(self, does: Callable[[Fence, Process], Awaitable[None]], fence: Fence, process: Process) -> None:
        """Do one step. Where the store refuses it, another supervises, or it is seen anew what is to be done."""
        try:
            await does(fence, process)
        except (LeaseLost, NotFound) as error:
            log.info("overtaken", process_id=process.id, message=error.message)
        except Exception as error:  # one process must not end the supervision of all others
            log.warning("step_failed", process_id=process.id, exc_info=error)
            await asyncio.sleep(AGAIN_AFTER_SECONDS)

    async def _start(self, fence: Fence, process: Process) -> None:
        async with self._starting:
            try:
                command = await self._options.resolvers[process.scope](process)
                prepared = await self._runner.prepare(command, self._log(process))
            except NotStarted as why:
                await self._store.not_started(fence, process.id, str(why))
                return
            await self._go(fence, process, command, prepared)

    async def _go(self, fence: Fence, process: Process, command: Command, prepared: Prepared) -> None:
        """Write down what is about to run, then let it."""
        place = Started(self._who.host, prepared.identity, command.stop, str(self._log(process)))
        try:
            await self._store.begun(fence, process.id, place)
        except BaseException:
            prepared.drop()
            raise
        try:
            held = await prepared.go()
        except NotStarted as why:
            await self._store.never_ran(fence, process.id, prepared.identity, str(why))
            return
        self._hands.take_up(fence, process.id, held, command.limits, self._log(process))

    async def _find(self, fence: Fence, process: Process) -> None:
        """Take over a process that another supervisor left, or tell that it has ended."""
        identity = process.identity
        assert identity is not None, "a step is found for what has a process"
        held = self._runner.adopt(identity)
        if held is None:
            await self._store.ended(fence, process.id, identity)
            return
        try:
            await self._store.adopted(fence, process.id, identity)
            limits = (await self._options.resolvers[process.scope](process)).limits
        except NotStarted:
            limits = Limits()  # it was started all the same
        except BaseException:
            held.close()
            raise
        self._hands.take_up(fence, process.id, held, limits, self._log(process))
        if process.status == "stopping":  # whoever wrote that down may have died before it did it
            held.ask_to_end(process.stop.signal)

    async def _end(self, fence: Fence, process: Process) -> None:
        hand = self._hands.get(process.id)
        if hand is None:  # it has just ended by itself
            return
        reason = process.reason or "it is not wanted any more"
        asked = await self._store.asked_to_end(fence, process.id, hand.held.identity, reason)
        hand.held.ask_to_end(asked.stop.signal)

    async def _kill(self, fence: Fence, process: Process) -> None:
        del fence
        hand = self._hands.get(process.id)
        if hand is not None:
            hand.held.kill()
            await asyncio.wait({hand.waiting}, timeout=AGAIN_AFTER_SECONDS)

    async def _watch_always(self) -> NoReturn:
        while True:
            was_full = await self._hands.watch()
            await self._tell_seen()
            await asyncio.sleep(WATCH_AGAIN_SECONDS if was_full else WATCH_EVERY_SECONDS)

    async def _tell_seen(self) -> None:
        """Give a sign of life for what runs here, and look for what runs where nobody gives any: now and then."""
        now = asyncio.get_running_loop().time()
        if now - self._seen_at < SEEN_EVERY_SECONDS:
            return
        self._seen_at = now
        if hands := self._hands.all():
            self._store.seen(sorted(hands))
        for fence in self._fences.values():
            with contextlib.suppress(LeaseLost):
                await self._store.take_left_behind(fence, self._runner.boot)

    def _log(self, process: Process) -> Path:
        return self._options.folder / log_name(process.id)


async def _first_of(*waits: Awaitable[object]) -> None:
    """Wait until one of several things happens; the others are given up."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancelled(tasks)
