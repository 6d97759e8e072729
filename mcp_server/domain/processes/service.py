"""Use cases of supervised processes: their logs for callers, and all that a supervisor does."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from mcp_server.domain.processes import transactions
from mcp_server.domain.processes.model import HOST_LOST_AFTER, Fence, Process, Started, no_process
from mcp_server.domain.processes.running import UNKNOWN, Exit, Identity, Logs, Tail
from mcp_server.domain.processes.transactions import LEASE, Supervisor
from mcp_server.domain.processes.views import LogView, log_view
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.events import Origin
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros

LEASE_SECONDS = LEASE / SECOND
Args = TypeVarTuple("Args")
T = TypeVar("T")


_READERS = {"deployment": Permission.DEPLOYMENTS_APPLY}
"""Who may read the logs of an owner's processes, where that is not who controls agents."""


class ProcessService:
    """Reads processes and their logs."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._logs = services.option(Logs)

    async def log(self, call: Call, process_id: str) -> LogView:
        """The end of what a process has written.

        Raises:
            NotFound: there is no such process.
        """
        row = await self._database.fetch_one("process_by_id", id=process_id)
        owner = "agent" if row is None else row["owner_kind"]
        call.actor.require(_READERS.get(owner, Permission.AGENTS_CONTROL))
        if row is None:
            raise no_process(process_id)
        return log_view(row, await asyncio.to_thread(self._tail, row))

    @property
    def host(self) -> str:
        """What this host is called."""
        return self._logs.host()

    async def of_owner(self, owner_kind: str, owner_id: str) -> list[Process]:
        """Every place of an owner, in the order of their numbers."""
        rows = await self._database.fetch_all("processes_of_owner_seen", owner_kind=owner_kind, owner_id=owner_id)
        return [Process.adopt(dict(row)) for row in rows]

    async def of_kind(self, owner_kind: str) -> list[Process]:
        """Every place of all owners of a kind."""
        return [
            Process.adopt(dict(row))
            for row in await self._database.fetch_all("processes_of_kind", owner_kind=owner_kind)
        ]

    def tail(self, process: Process) -> Tail | None:
        """The end of what a process has written; None where that does not lie here."""
        return self._tail(process.fields())

    def _tail(self, row: Row) -> Tail | None:
        """A log is read only where it was written, and only under the name that a supervisor gives it."""
        log = Path(row["log"] or "")
        if log.name != log_name(row["id"]) or row["host"] != self._logs.host():
            return None
        return self._logs.read(log)


class Supervision:
    """What a supervisor reads and writes. Each write counts only while its fence is held."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database

    @property
    def now(self) -> Micros:
        """The time by which processes are due."""
        return self._context.clock()

    async def free(self, who: Supervisor, scopes: Sequence[str]) -> bool:
        """Whether there is anything to supervise that nobody else does; found out without a write."""
        rows = await self._database.fetch_all("supervisors_on", host=who.host)
        taken = {row["scope"] for row in rows if row["holder"] != who.holder and row["expires_at"] > self.now}
        return not taken.issuperset(scopes)

    async def hold(self, who: Supervisor, scopes: Sequence[str]) -> dict[str, Fence]:
        """See `transactions.hold`."""
        return await self._write(transactions.hold, who, scopes)

    async def let_go(self, who: Supervisor) -> None:
        """See `transactions.let_go`."""
        await self._write(transactions.let_go, who)

    async def take_left_behind(self, fence: Fence, boot: str) -> None:
        """Take over what ran on hosts that nobody has supervised for long.

        Raises:
            LeaseLost: another supervises now.
        """
        before = self.now - HOST_LOST_AFTER
        if await self._database.fetch_one("processes_left_behind", scope=fence.scope, before=before):
            await self._write(transactions.abandon, fence, boot)

    def seen(self, process_ids: Sequence[str]) -> None:
        """These run still: written now and then, by itself."""
        self._database.post(transactions.seen, self._context.origin(SYSTEM_CALL), process_ids)

    async def to_supervise(self, host: str) -> list[Process]:
        """All that a host has to look after, whoever may."""
        rows = await self._database.fetch_all("processes_to_supervise", host=host)
        return [Process.adopt(dict(row)) for row in rows]

    async def begun(self, fence: Fence, process_id: str, place: Started) -> Process:
        """See `transactions.begun`."""
        return await self._write(transactions.begun, fence, process_id, place)

    async def adopted(self, fence: Fence, process_id: str, identity: Identity) -> Process:
        """See `transactions.adopted`."""
        return await self._write(transactions.adopted, fence, process_id, identity)

    async def asked_to_end(
        self, fence: Fence, process_id: str, identity: Identity, reason: str, *, at_once: bool = False
    ) -> Process:
        """See `transactions.asked_to_end`."""
        return await self._write(transactions.asked_to_end, fence, process_id, identity, reason, at_once)

    async def ended(self, fence: Fence, process_id: str, identity: Identity, how: Exit = UNKNOWN) -> Process:
        """See `transactions.ended`."""
        return await self._write(transactions.ended, fence, process_id, identity, how, None)

    async def never_ran(self, fence: Fence, process_id: str, identity: Identity, why: str) -> Process:
        """See `transactions.ended`: what had been written down as running could not be run."""
        never = Exit(text="never ran")
        return await self._write(transactions.ended, fence, process_id, identity, never, why)

    async def not_started(self, fence: Fence, process_id: str, why: str) -> Process:
        """See `transactions.not_started`."""
        return await self._write(transactions.not_started, fence, process_id, why)

    async def _write(self, function: Callable[[Any, Origin, *Args], T], *args: *Args) -> T:
        return await self._context.write(SYSTEM_CALL, function, *args)


def log_name(process_id: str) -> str:
    """What the log of a process is called."""
    return f"{process_id}.log"
