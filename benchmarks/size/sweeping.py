"""What the server does by itself, a step of each: what time makes due, what leaves the hot tables. Each is undone."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from mcp_server.app import App
from mcp_server.domain.events.thinning import begin_thinning, thin_out
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.tasks.archive import ARCHIVE_AT_ONCE
from mcp_server.domain.tasks.queues import drop_some
from mcp_server.domain.tasks.timers import archive
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.positions import Position
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.sweeping import due_keys, settle_rows
from mcp_server.kernel.times import SECOND, Micros

Ask = Callable[[], Awaitable[Any]]
_AGES: Micros = 3650 * 86_400 * SECOND
"""By then all that is due some day is."""
_AT_ONCE = 100


class _Undone(Exception):
    pass


def steps(app: App) -> dict[str, Ask]:
    """Each step, by what it is called."""
    database, context = app.desk.context.database, app.desk.context

    def undone(step: Callable[[Transaction], object]) -> Ask:
        def run(tx: Transaction) -> None:
            step(tx)
            raise _Undone

        async def ask() -> None:
            with contextlib.suppress(_Undone):
                await database.write(run)

        return ask

    now = context.origin(SYSTEM_CALL)
    later = now._replace(at=now.at + _AGES)

    def thinned(tx: Transaction) -> None:
        horizon = begin_thinning(tx, now, app.desk.areas, now.at)
        if horizon is not None:
            thin_out(tx, now, app.desk.areas, Position(0, 0), horizon, _AT_ONCE)

    found = {
        "archive: 500 tasks": undone(lambda tx: archive(tx, now, later.at, ARCHIVE_AT_ONCE)),
        "queues: drop 100": undone(lambda tx: drop_some(tx, now, _AT_ONCE)),
        "log: thin out 100": undone(thinned),
        "search: index": undone(index_some),
    }
    for sweep in app.desk.areas.sweeps:
        name = sweep.due.removeprefix("due.")
        found |= {
            f"sweep {name}: nothing due": undone(lambda tx, sweep=sweep: due_keys(tx, now, sweep, ())),
            f"sweep {name}: all due": undone(lambda tx, sweep=sweep: due_keys(tx, later, sweep, ())),
            f"sweep {name}: settle": undone(lambda tx, sweep=sweep: settle_rows(tx, later, sweep)),
        }
    return found | {f"chore {one.kind}: wanted": lambda one=one: one.wanted(app.desk) for one in app.desk.areas.chores}
