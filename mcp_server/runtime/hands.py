"""The processes that a supervisor has in hand: it knows when they end, and sees to their memory and their logs."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from mcp_server.domain.processes.model import Fence
from mcp_server.domain.processes.running import Exit, Held, Identity, Limits, Runner
from mcp_server.domain.processes.service import Supervision
from mcp_server.kernel.errors import LeaseLost, NotFound, OpsError

AGAIN_AFTER_SECONDS = 1.0
log = structlog.stdlib.get_logger("datamcp.supervisor")


class Hand(NamedTuple):
    """A process in hand: under which fence, what it may use, where it writes, and what waits for its end."""

    fence: Fence
    held: Held
    limits: Limits
    log: Path
    waiting: "asyncio.Task[None]"


class Hands:
    """All of them, by the ids of their places."""

    def __init__(self, store: Supervision, runner: Runner, log_bytes_max: int, changed: Callable[[], object]) -> None:
        """Begin with none.

        Args:
            store: where ends are told.
            runner: what bounds logs.
            log_bytes_max: how large a log gets before it is cut.
            changed: called when one has ended.
        """
        self._store = store
        self._runner = runner
        self._log_bytes_max = log_bytes_max
        self._changed = changed
        self._hands: dict[str, Hand] = {}
        self._ended: set[str] = set()

    def __contains__(self, process_id: str) -> bool:
        return process_id in self._hands

    def get(self, process_id: str) -> Hand | None:
        """One of them; None of what is not in hand, or has just ended."""
        return self._hands.get(process_id)

    def all(self) -> dict[str, Hand]:
        """Those of now."""
        return dict(self._hands)

    def strays(self, known: Set[Identity | None]) -> dict[str, Hand]:
        """Those that are none of these, and have not just ended."""
        strange = {name: hand for name, hand in self._hands.items() if hand.held.identity not in known}
        return {name: hand for name, hand in strange.items() if name not in self._ended}

    def take_up(self, fence: Fence, process_id: str, held: Held, limits: Limits, log: Path) -> None:
        """Have a process in hand from now on."""
        waiting = asyncio.create_task(self._wait(fence, process_id, held), name=f"wait {process_id}")
        self._hands[process_id] = Hand(fence, held, limits, log, waiting)

    async def put_down_others(self, fences: Mapping[str, Fence]) -> None:
        """Have those in hand no longer that are not under these fences. They go on."""
        for process_id, hand in self.all().items():
            if fences.get(hand.fence.scope) != hand.fence:
                self._hands.pop(process_id, None)
                hand.held.close()
                await cancelled([hand.waiting])

    async def _wait(self, fence: Fence, process_id: str, held: Held) -> None:
        """Tell how a process ended, once it has."""
        how = await held.wait()
        self._ended.add(process_id)
        try:
            await self._tell(fence, process_id, held, how)
        finally:
            self._ended.discard(process_id)
        hand = self._hands.get(process_id)
        if hand is not None and hand.held is held:
            del self._hands[process_id]
        self._changed()

    async def _tell(self, fence: Fence, process_id: str, held: Held, how: Exit) -> None:
        while True:
            try:
                await self._store.ended(fence, process_id, held.identity, how)
            except (LeaseLost, NotFound):
                pass
            except OpsError as error:
                log.warning("end_not_told", process_id=process_id, message=error.message)
                await asyncio.sleep(AGAIN_AFTER_SECONDS)
                continue
            break

    async def watch(self) -> bool:
        """Look at memory and logs; whether a log was full."""
        was_full = False
        for process_id, hand in list(self._hands.items()):
            try:
                was_full |= self._runner.bound_log(hand.log, self._log_bytes_max)
            except OSError as error:
                log.warning("log_not_bounded", process_id=process_id, error=str(error))
            await self._watch_memory(process_id, hand)
        return was_full

    async def _watch_memory(self, process_id: str, hand: Hand) -> None:
        most = hand.limits.memory_bytes
        if most is None or (used := hand.held.resident_bytes()) <= most:
            return
        reason = f"it held {used // 2**20} MiB of memory, and may hold {most // 2**20}"
        with contextlib.suppress(LeaseLost, NotFound):
            await self._store.asked_to_end(hand.fence, process_id, hand.held.identity, reason, at_once=True)
            hand.held.kill()


async def cancelled(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
