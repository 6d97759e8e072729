"""Everything at once, on five servers that are killed and frozen: an oracle that knows what was answered, and no more,
finds nothing lost, doubled or stuck."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chaos.approvals import Approvals
from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, seed
from tests.faults.chaos.locks import Locks
from tests.faults.chaos.mails import Mails
from tests.faults.chaos.messages import Messages
from tests.faults.chaos.schedules import Schedules
from tests.faults.chaos.state import State
from tests.faults.chaos.tasks import Tasks
from tests.faults.test_mail_processes import smtp
from tests.integrations.smtp_servers import smtp_server
from tests.patience import Stopwatch
from tests.postgres_servers import PostgresProcess, Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CHAOS_SECONDS = 60
SMTP_SECONDS = 0.1
"""So that there is always a mail under way when a server is killed."""
STUCK_SECONDS = 75
"""Twice a mail's lease, and some: a sender may be killed, and its mail be taken up by one that is killed at once. A
busy machine may take longer in all, but not without something ending meanwhile."""


async def test_everything_at_once_under_kills_and_freezes_loses_doubles_and_leaves_nothing(sqlite_url: str):
    with smtp_server(seconds=SMTP_SECONDS) as (mailbox, port):
        fleet = Fleet(sqlite_url, seed(), smtp(port))
        tasks = Tasks(fleet)
        parts = [tasks, State(fleet), Locks(fleet), Messages(fleet), Approvals(fleet, tasks), Mails(fleet, mailbox)]
        async with fleet.running():
            # A server frozen in its turn to write holds up all others, who are told so after ten seconds.
            await live([*parts, Schedules(fleet)], fleet, long_freeze=False)
    assert fleet.faults == [], "\n".join(fleet.faults)
    print(dict(fleet.happened))
    await require_clean_replay(sqlite_url)


async def test_everything_at_once_with_postgres_restarted_and_its_answers_lost_loses_doubles_and_leaves_nothing(
    tmp_path: Path,
):
    server = PostgresProcess(tmp_path / "pg")
    server.make()
    server.start()
    try:
        with smtp_server(seconds=SMTP_SECONDS) as (mailbox, port):
            async with Proxy(server.port, seed()).running() as proxy:
                fleet = Fleet(proxy.url, seed(), smtp(port))
                tasks = Tasks(fleet)
                parts = [tasks, State(fleet), Locks(fleet), Messages(fleet), Approvals(fleet, tasks)]
                async with fleet.running():
                    parts += [Mails(fleet, mailbox), Schedules(fleet)]
                    beside = [restarts(server, proxy, fleet)]
                    await live(parts, fleet, long_freeze=True, kills_min=CHAOS_SECONDS / 12, beside=beside)
        assert fleet.faults == [], "\n".join(fleet.faults)
        print(dict(fleet.happened), {"lost": proxy.lost, "cut": proxy.cut})
        assert proxy.lost > CHAOS_SECONDS / 4 and proxy.cut > CHAOS_SECONDS / 12
        assert fleet.happened["database crashed"] > 2
        await require_clean_replay(server.url)
    finally:
        server.end()


async def restarts(server: PostgresProcess, proxy: Proxy, fleet: Fleet) -> None:
    """Answers are lost by chance, and the database crashes now and then, for as long as new work is made."""
    proxy.loses, proxy.cuts = 0.03, 0.01
    while fleet.producing:
        await fleet.pause(6, 12)
        await asyncio.to_thread(server.stop)
        await fleet.pause(0, 2)
        await asyncio.to_thread(server.start)
        fleet.happened["database crashed"] += 1
    proxy.loses = proxy.cuts = 0.0


async def live(
    parts: Sequence[Part],
    fleet: Fleet,
    *,
    long_freeze: bool,
    kills_min: float | None = None,
    beside: Sequence[Coroutine[Any, Any, None]] = (),
    seconds: float = CHAOS_SECONDS,
) -> None:
    """Work under faults, then without; and look at what came of it.

    Args:
        parts: who works.
        fleet: on what.
        long_freeze: whether one is frozen for longer than everything lasts.
        kills_min: how many kills it takes, one in four seconds unsaid; where servers also wait for a database, fewer
            are there to be killed.
        beside: more trouble, each of which ends with `fleet.producing`.
        seconds: how long new work is made at least.
    """

    def missing() -> list[str]:
        lacking = [type(part).__name__ for part in parts if not part.has_enough()]
        needed = seconds / 4 if kills_min is None else kills_min
        is_enough = fleet.happened["killed"] > needed and fleet.happened["frozen"] > seconds / 30
        return lacking if is_enough else [*lacking, "kills and freezes"]

    for part in parts:
        await part.prepare()
    async with asyncio.TaskGroup() as consuming:
        async with asyncio.TaskGroup() as producing:
            for consumer in chain.from_iterable(part.consumers() for part in parts):
                consuming.create_task(consumer)
            for producer in chain(beside, *(part.producers() for part in parts)):
                producing.create_task(producer)
            await fleet.trouble(seconds, lambda: not missing(), long=long_freeze)
            fleet.producing = False
        for part in parts:
            await part.wind_down()
        await settle(parts)
        fleet.settled.set()
    for part in parts:
        await part.check()
    assert not missing(), (missing(), fleet.happened)


async def settle(parts: Sequence[Part]) -> None:
    """Wait until nothing is left to be done, for as long as it gets less."""
    least, since = sys.maxsize, Stopwatch()
    while any((left := {type(part).__name__: await part.unsettled() for part in parts}).values()):
        if sum(left.values()) < least:
            least, since = sum(left.values()), Stopwatch()
        assert since.seconds < STUCK_SECONDS, f"stuck: {left}"
        await asyncio.sleep(0.5)


async def require_clean_replay(url: str) -> None:
    """`doctor` finds nothing wrong, and rows are what their events say."""
    doctor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "doctor", "--replay", "--json", "--database", url),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await doctor.communicate()
    assert doctor.returncode == 0, told.decode()
