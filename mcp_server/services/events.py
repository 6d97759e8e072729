"""Use cases of the event log, and what completions offer."""

from typing import Any

from mcp_server.domain.errors import CursorExpired, NotFound
from mcp_server.domain.users import Permission
from mcp_server.domain.values import iso
from mcp_server.services.context import Call, Context, Query, like
from mcp_server.services.ports import EventLog, Place, Row
from mcp_server.services.views import EventView, event_view
from mcp_server.services.waiting import wait_until


class EventService:
    """Read the log after a cursor, waiting for more if asked to."""

    def __init__(self, context: Context, log: EventLog) -> None:
        self._context = context
        self._store = context.store
        self._log = log

    async def read(
        self,
        call: Call,
        *,
        after: str | None = None,
        type_: str | None = None,
        aggregate_id: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        limit: int,
        wait_seconds: float = 0,
        newest_first: bool = False,
    ) -> tuple[list[EventView], str]:
        """Events in order, and the cursor from which to go on.

        `type_` may end in `*`: `task.*`. With `newest_first`, `after` is where an earlier page of that kind ended.

        Raises:
            CursorExpired: what came after the cursor is no longer kept.
        """
        call.actor.require(Permission.EVENTS_READ)
        exact = None if type_ is None or type_.endswith("*") else type_
        prefix = like(type_[:-1], "{}%") if type_ is not None and exact is None else None
        start = self._log.END if newest_first else self._log.START
        place = start if after is None else self._log.parse_cursor(after)
        query = (
            Query(
                "events_before" if newest_first else "events_after",
                parameters=(("xid", place.xid), ("seq", place.seq), ("limit", limit)),
            )
            .where("type", type=exact)
            .where("type_prefix", type_prefix=prefix)
            .where("aggregate", aggregate=aggregate_id)
            .where("actor", actor=actor)
            .where("correlation", correlation=correlation_id)
        )

        async def attempt() -> list[Row]:
            return await self._store.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))

        rows = await wait_until(self._context, call, attempt, bool, 0 if newest_first else wait_seconds, ())
        if after is not None and not newest_first:
            await self._require_kept(place)
        cursor = self._log.place_of(rows[-1]).cursor() if rows else place.cursor()
        return [event_view(row) for row in rows], cursor

    async def led_to(self, call: Call, seq: int, limit: int) -> list[EventView]:
        """What led to an event, oldest first, the event itself last: the cause of each, or else what happened to the
        same thing before. At most `limit`, those nearest to the event.

        Raises:
            NotFound: no such event, or it is no longer kept.
        """
        call.actor.require(Permission.EVENTS_READ)
        rows = await self._store.fetch_all("events_led_to", seq=seq, limit=limit)
        if not rows:
            raise NotFound(f"There is no event {seq}, or it is no longer kept.", next="Find it with events_read.")
        return [event_view(row) for row in reversed(rows)]

    async def _require_kept(self, place: Place) -> None:
        """Asked after reading: what was dropped meanwhile may be missing from what was read."""
        row = await self._store.fetch_one("event_horizon")
        if row is None or not place < (horizon := self._log.place_of(row)):
            return
        oldest = horizon.cursor()
        raise CursorExpired(
            f"Events up to {oldest} were replaced by snapshots at {iso(row['at'])}, so some after {place.cursor()} are "
            "no longer kept.",
            next=f"Read what is true now, then go on with after='{oldest}'.",
            details={"cursor": place.cursor(), "oldest_cursor": oldest},
        )


class CompletionService:
    """Values that begin with what has been typed."""

    def __init__(self, context: Context) -> None:
        self._store = context.store

    async def complete(self, call: Call, argument: str, typed: str, namespace: str | None) -> list[str]:
        """Up to 100 values for an argument of a resource template; none for an argument it does not know."""
        if argument not in _COMPLETIONS or (argument == "key" and namespace is None):
            return []
        statement, permission = _COMPLETIONS[argument]
        call.actor.require(permission)
        parameters: dict[str, Any] = {"namespace": namespace} if argument == "key" else {}
        rows = await self._store.fetch_all(statement, prefix=like(typed, "{}%"), **parameters)
        return [row["value"] for row in rows]


_COMPLETIONS = {
    "agent_id": ("complete_agent_ids", Permission.AGENTS_READ),
    "task_id": ("complete_task_ids", Permission.TASKS_READ),
    "approval_id": ("complete_approval_ids", Permission.APPROVALS_READ),
    "email_id": ("complete_email_ids", Permission.EMAILS_READ),
    "namespace": ("complete_namespaces", Permission.STATE_READ),
    "key": ("complete_keys", Permission.STATE_READ),
}
