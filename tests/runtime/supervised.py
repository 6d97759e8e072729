"""A supervisor in the test's own process, with real processes below it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mcp_server.app import desk_on
from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.processes import transactions
from mcp_server.domain.processes.model import Process, Want
from mcp_server.domain.processes.running import Command, Limits, Stop
from mcp_server.integrations.processes import gate
from mcp_server.integrations.processes.looking import identify
from mcp_server.integrations.processes.runner import LocalRunner
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.times import system_clock
from mcp_server.runtime.supervisor import Supervisor, SupervisorOptions
from tests.world import World, caller

SCOPE = "test"
SLEEPS = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")


def sh(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


class Yard:
    """Processes wanted on the desk of a test, under the system's own clock."""

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.desk: Desk = desk_on(world.database, clock=system_clock)
        self.limits = Limits()
        self.stop = Stop(grace_seconds=5)

    async def resolve(self, process: Process) -> Command:
        env = {"PATH": os.environ["PATH"], "MARK": process.id}
        return Command(tuple(json.loads(process.spec)["argv"]), env, None, self.limits, self.stop)

    @asynccontextmanager
    async def supervisor(self, holder: str = "one", **options: Any) -> AsyncGenerator[Supervisor]:
        made = SupervisorOptions(holder, self.folder, {SCOPE: self.resolve}, **options)
        supervisor = Supervisor(self.desk, LocalRunner(), made)
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def write(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self.desk.database.write(function, self.desk.context.origin(SYSTEM_CALL), *args)

    async def want(self, argv: Sequence[str], id: str = "process_a", slot: int = 0) -> None:
        spec = RawJson(dump_json({"argv": list(argv)}))
        await self.write(transactions.want, Want(id, "test", "owner", slot, SCOPE, spec))

    async def unwant(self, id: str = "process_a", reason: str = "enough") -> None:
        await self.write(transactions.unwant, id, reason)

    async def process(self, id: str = "process_a") -> Process:
        row = await self.desk.database.fetch_one("process_by_id", id=id)
        assert row is not None
        return Process.adopt(dict(row))

    async def until(self, when: Callable[[Process], bool], id: str = "process_a", seconds: float = 60) -> Process:
        """The process once it is so; at the latest after some seconds, whatever it is then."""
        async with self.desk.changes.listen("process") as listener:
            ends = asyncio.get_running_loop().time() + seconds
            while not when(process := await self.process(id)):
                left = ends - asyncio.get_running_loop().time()
                assert left > 0, process
                await listener.wait(min(left, 0.5))
        return process

    async def running(self, id: str = "process_a", starts: int = 1) -> Process:
        """The process once it runs its command: it is written down before, while it waits behind its gate."""
        process = await self.until(lambda one: one.status == "running" and one.starts == starts, id)
        while process.pid is not None and _is_at_its_gate(process.pid):
            await asyncio.sleep(0.005)
        return process

    async def stopped(self, id: str = "process_a") -> Process:
        return await self.until(lambda one: one.status == "stopped", id)

    async def events(self, id: str = "process_a") -> list[str]:
        events, _ = await self.desk.events.read(caller(), ReadEvents(aggregate_id=id, limit=100))
        return [event.type for event in events]

    async def written(self, id: str = "process_a") -> str:
        """What a process has written, once it has written a line."""
        log = self.folder / f"{id}.log"
        while not log.exists() or not log.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
        return log.read_text()


@asynccontextmanager
async def yard_of(world: World, folder: Path) -> AsyncGenerator[Yard]:
    """A yard that leaves no process behind."""
    yard = Yard(world, folder)
    try:
        yield yard
    finally:
        for row in await yard.desk.database.fetch_all("processes_to_supervise", host=LocalRunner().host):
            if row["pid"] is not None:
                with suppress(ProcessLookupError):
                    os.killpg(row["pid"], 9)
                with suppress(ChildProcessError):
                    os.waitpid(row["pid"], 0)


def _is_at_its_gate(pid: int) -> bool:
    try:
        return gate.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended, or nobody tells
        return False


def is_gone(pid: int) -> bool:
    """Whether no living process has the number."""
    return identify(pid) is None
