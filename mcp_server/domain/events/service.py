"""Use cases of the event log."""

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.views import EventView, event_view
from mcp_server.kernel.area import Areas
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import CursorExpired, NotFound
from mcp_server.kernel.paging import Query, like
from mcp_server.kernel.positions import END, START, Position, parse_cursor
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.waiting import wait_until


class EventService:
    """Read the log after a cursor, waiting for more if asked to."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._areas = services.get(Areas)

    async def read(self, call: Call, command: ReadEvents) -> tuple[list[EventView], str]:
        """Events in order, and the cursor from which to go on.

        The type may end in `*`: `task.*`. With `newest_first`, `after` is where an earlier page of that kind ended.

        Raises:
            CursorExpired: what came after the cursor is no longer kept.
        """
        call.actor.require(Permission.EVENTS_READ)
        newest_first = command.newest_first
        place = (END if newest_first else START) if command.after is None else parse_cursor(command.after)
        query = _query(command, place)

        async def attempt() -> list[Row]:
            return await self._database.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))

        wait_seconds = 0 if newest_first else command.wait_seconds
        rows = await wait_until(self._context, call, attempt, bool, wait_seconds, ())
        if command.after is not None and not newest_first:
            await self._require_kept(place)
        cursor = Position.of(rows[-1]).cursor() if rows else place.cursor()
        return [self._seen(row) for row in rows], cursor

    async def led_to(self, call: Call, seq: int, limit: int) -> list[EventView]:
        """What led to an event, oldest first, the event itself last: the cause of each, or else what happened to the
        same thing before. At most `limit`, those nearest to the event.

        Raises:
            NotFound: no such event, or it is no longer kept.
        """
        call.actor.require(Permission.EVENTS_READ)
        rows = await self._database.fetch_all("events_led_to", seq=seq, limit=limit)
        if not rows:
            raise NotFound(f"There is no event {seq}, or it is no longer kept.", next="Find it with events_read.")
        return [self._seen(row) for row in reversed(rows)]

    def _seen(self, row: Row) -> EventView:
        kind = self._areas.aggregates.get(row["aggregate_type"])
        return event_view(row, frozenset() if kind is None else kind.hidden)

    async def _require_kept(self, place: Position) -> None:
        """Asked after reading: what was dropped meanwhile may be missing from what was read."""
        row = await self._database.fetch_one("event_horizon")
        if row is None or not place < (horizon := Position.of(row)):
            return
        oldest = horizon.cursor()
        raise CursorExpired(
            f"Events up to {oldest} were replaced by snapshots at {iso(row['at'])}, so some after {place.cursor()} are "
            "no longer kept.",
            next=f"Read what is true now, then go on with after='{oldest}'.",
            details={"cursor": place.cursor(), "oldest_cursor": oldest},
        )


def _query(command: ReadEvents, place: Position) -> Query:
    type_ = command.type or ""
    pattern = like(type_[:-1], "{}%") if type_.endswith("*") else None
    return (
        Query(
            "events_before" if command.newest_first else "events_after",
            parameters=(("xid", place.xid), ("seq", place.seq), ("limit", command.limit)),
        )
        .where("type", type=type_ or None if pattern is None else None)
        .where("type_prefix", type_prefix=pattern)
        .where("aggregate", aggregate=command.aggregate_id)
        .where("actor", actor=command.actor)
        .where("correlation", correlation=command.correlation_id)
    )
