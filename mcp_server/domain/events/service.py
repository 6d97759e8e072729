"""Use cases of the event log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from typing import NamedTuple

from mcp_server.domain.events.commands import ReadEvents, types_of
from mcp_server.domain.events.things import LIKE_AN_ID, require_few
from mcp_server.domain.events.views import EventView, event_view
from mcp_server.domain.events.words import THINGS, say_taken, told_as, types_near
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.authority import VIA, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import CursorExpired, LimitExceeded, NotFound, ValidationFailed
from mcp_server.kernel.fewest import fewest
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.near import did_you_mean, folded, near, singular
from mcp_server.kernel.paging import Query, after_all
from mcp_server.kernel.positions import END, START, Position, parse_cursor
from mcp_server.kernel.privacy import seen_by
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, micros
from mcp_server.kernel.waiting import wait_until

ACTORS_MAX = 1000
HELD_BACK_SECONDS = 0.1
"""Who reads the end of the log is told of an older transaction that has been open for so long: a write of ours rarely
takes longer, and who lags behind it hardly notices."""
_FEW = frozenset(("aggregate", "correlation"))


class ByActor(NamedTuple):
    """How events are narrowed to an actor: the filter, and what it is given."""

    way: str
    words: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Whether it is one whole label."""
        return self.way == "actor"


class Page(NamedTuple):
    """Events in order, the cursor from which to go on (None where nothing more can come), and whether more of what was
    asked for is there already."""

    events: list[EventView]
    cursor: str | None
    more: bool


def _goes_on(command: ReadEvents, rows: Sequence[Row], looked_at: Position) -> str | None:
    """The cursor from which to go on, of one row more than a page holds; None where nothing more can come."""
    if command.newest_first and len(rows) <= command.limit:
        return None
    return (Position.of(rows[: command.limit][-1]) if rows else looked_at).cursor()


def _in_order(command: ReadEvents, found: Sequence[list[Row]]) -> list[Row]:
    """The rows of several readings as those of one."""
    if len(found) == 1:
        return found[0]
    each = {Position.of(row): row for row in chain(*found)}  # one may be found in two ways
    return [each[place] for place in sorted(each, reverse=command.newest_first)][: command.limit + 1]


def _read_by(first: str, query: Query, asked: Mapping[str, str]) -> Query:
    """The log as it is read by some types, or by some actors, each looked up by itself; it is asked of these what else
    narrows them."""
    for name, those in asked.items():
        if name == first:
            query = replace(query, statement=f"{query.statement}_{name}")
            query = replace(query, parameters=(*query.parameters, (name, those)))
        else:
            query = query.where(f"{name}_beside", **{name: those})
    return query


def _together(labels: Iterable[Iterable[str] | None]) -> str:
    return dump_json(list(dict.fromkeys(chain.from_iterable(one or () for one in labels))))


class EventService:
    """Read the log after a cursor, waiting for more if asked to."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._areas = services.get(Areas)
        self._by_folded = {folded(one): one for one in self._areas.tells}

    async def read(self, call: Call, command: ReadEvents) -> tuple[list[EventView], str | None]:
        """`page`, but for whether there is more.

        Raises:
            OpsError: as `page` does.
        """
        page = await self.page(call, command)
        return page.events, page.cursor

    async def page(self, call: Call, command: ReadEvents) -> Page:
        """Events in order. Of what is private, only those see any who take part in it or have control. Long values are
        cut, unless it is one thing's events that are read.

        The type may be a glob: `task.*`, `*.failed`. With `newest_first`, `after` is where an earlier page of that kind
        ended. An actor (several stand between commas) is an agent by name or id, whichever principal it spoke
        through; `user:NAME` for what that user did itself or through agents; or one whole label.

        Raises:
            CursorExpired: what came after the cursor is no longer kept.
            LimitExceeded: it is about too many things.
            NotFound: the actor is no agent.
            ValidationFailed: nothing is of that type.
        """
        call.actor.require(Permission.EVENTS_READ)
        strange = self.no_such_type(call, command.type or "")
        if strange is not None:
            raise strange
        place = _place(command)
        types = self._meant([glob for asked in command.types() for glob in self._globs(call, asked)])
        queries = await self._of_things(self._visible(call, _query(command, place)), command)
        by_actors = await self._by_actors(command.actors())

        async def attempt() -> list[Row]:
            found = [await self._fetched(await self._looked_up(query, types, by_actors)) for query in queries]
            return _in_order(command, found)

        await self._require_there(command, place)
        looked_at = await self._looked_at(call, command, place)
        wait_seconds = 0 if command.is_over(self._context.clock()) else command.wait_seconds
        rows = await wait_until(self._context, call, attempt, bool, wait_seconds, ())
        if command.after is not None and not command.newest_first:
            await self._require_kept(place)
        whole = len(command.things()) == 1 and command.question() is None
        events = [self._seen(row, whole=whole) for row in rows[: command.limit]]
        return Page(events, _goes_on(command, rows, looked_at), len(rows) > command.limit)

    async def _of_things(self, query: Query, command: ReadEvents) -> list[Query]:
        """The events of each of several things are few, and read by themselves. An agent goes by its name, too; what
        the calls of a question wrote, by the question's id.

        Raises:
            LimitExceeded: there are too many.
        """
        things, asked = command.things(), command.question()
        require_few(things)
        ids = [*things, *[one for thing in things for one in await self._by_name(thing)]]
        called = [] if asked is None else [query.where("correlation", correlation=asked)]
        return [*[query.where("aggregate", aggregate=one) for one in dict.fromkeys(ids)], *called] or [query]

    async def _by_name(self, thing: str) -> list[str]:
        """The id of the agent of that name, where it can be one."""
        if "/" in thing or LIKE_AN_ID.fullmatch(thing):
            return []
        agent = await self._database.fetch_one("event_speaker", reference=thing)
        return [] if agent is None else [agent["id"]]

    async def _looked_at(self, call: Call, command: ReadEvents, place: Position) -> Position:
        """Where to go on where nothing is found; read before the rest. Of what came before `since` nobody asked, and
        who goes on without saying it again is not told of it."""
        if command.since is None or command.newest_first:
            return place
        last = Query("events_before", parameters=(("xid", END.xid), ("seq", END.seq), ("limit", 1)))
        until = None if command.until is None else micros(command.until)
        rows = await self._fetched(self._visible(call, last.where("until", until=until)))
        return max([place, *map(Position.of, rows)])

    async def led_to(self, call: Call, seq: int, limit: int) -> list[EventView]:
        """What led to an event, oldest first, the event itself last: the cause of each, or else what happened to the
        same thing before. At most `limit`, those nearest to the event.

        Raises:
            NotFound: no such event for the caller, or it is no longer kept.
        """
        call.actor.require(Permission.EVENTS_READ)
        rows = await self._fetched(
            self._visible(call, Query("events_led_to", parameters=(("seq", seq), ("limit", limit))))
        )
        if not rows or rows[0]["seq"] != seq:
            raise NotFound(f"There is no event {seq}, or it is no longer kept.", next="Find it with events_read.")
        return [self._seen(row) for row in reversed(rows)]

    async def _looked_up(self, query: Query, types: list[str], by_actors: Sequence["ByActor"]) -> Query:
        """Only events of some types, by some actors: looked up by those of which there are fewer, unless they are few
        anyway."""
        asked = {"types": dump_json(types)} if types else {}
        if _FEW & {*query.filters}:
            return await self._by_some(query.where("types", types=asked.get("types")), by_actors)
        labels = [await self._labels(one) for one in by_actors]
        if None in labels:
            return await self._by_some(_read_by("types", query, asked), by_actors)
        asked |= {"actors": _together(labels)} if labels else {}
        return await self._by_fewest(query, asked)

    async def _by_fewest(self, query: Query, asked: Mapping[str, str]) -> Query:
        """The log read by the types or by the actors, whichever there are fewer of."""
        counts = [partial(self._count, name, those) for name, those in asked.items()]
        return _read_by([*asked][await fewest(counts)], query, asked) if asked else query

    async def _count(self, name: str, those: str, most: int) -> int:
        """How many events there are of these types, or by these actors, counted so far."""
        (row,) = await self._database.fetch_all(f"events_count_{name}", **{name: those}, counted=most)
        return row["n"]

    async def _by_some(self, query: Query, by_actors: Sequence["ByActor"]) -> Query:
        """Only events by some actors.

        Raises:
            LimitExceeded: one of several stands in the log under too many labels to look at each.
        """
        if len(by_actors) < 2:
            return query.where(by_actors[0].way, **by_actors[0].words) if by_actors else query
        found = [await self._labels(one) for one in by_actors]
        if None in found:
            raise LimitExceeded(
                f"One of these actors spoke through more than {ACTORS_MAX} principals.",
                next="Name one actor a call.",
                details={"actors_max": ACTORS_MAX},
            )
        return query.where("actors", actors=_together(found))

    async def _labels(self, by_actor: "ByActor") -> list[str] | None:
        """The whole labels that stand in the log for an actor; None where too many do to look each up."""
        if by_actor.is_whole:
            return [by_actor.words["actor"]]
        low = by_actor.words.get("actor_as", "")
        found = await self._database.fetch_all("event_actors", low=low, high=after_all(low), limit=ACTORS_MAX)
        if len(found) == ACTORS_MAX:
            return None
        exact = [by_actor.words[name] for name in ("actor", "actor_id") if name in by_actor.words]
        ending = by_actor.words.get("actor_via", "")
        return [*dict.fromkeys([*exact, *(row["actor"] for row in found if row["actor"].endswith(ending))])]

    def _known(self, asked: str) -> str:
        """A type by its own spelling, also where its thing is called as the tools' area is: `TaskCompleted` and
        `tasks.completed` are `task.completed`."""
        if asked in self._areas.tells:
            return asked
        area, dot, what = asked.partition(".")
        thing = THINGS.get(folded(area), singular(folded(area)))
        asked = f"{thing}{dot}{what}" if thing in self._areas.aggregates else asked
        return self._by_folded.get(folded(asked), asked)

    def _globs(self, call: Call, asked: str) -> list[str]:
        """A type by its own spelling; or those that are called otherwise elsewhere."""
        known = self._known(asked)
        return [known] if self._meant([known]) else told_as(known, self._seen_types(call))

    def taken_otherwise(self, call: Call, command: ReadEvents) -> list[str]:
        """What is said of types that were asked for by other words."""
        known = (self._known(one) for one in command.types())
        return [say_taken(one, self._seen_types(call)) for one in known if not self._meant([one])]

    def _seen_types(self, call: Call) -> list[str]:
        """The types of what the caller may see."""
        kinds = self._areas.seen(call.actor.permissions, call.toolsets)
        return [one for one in self._areas.tells if one.partition(".")[0] in kinds]

    def _meant(self, globs: list[str]) -> list[str]:
        return [one for one in self._areas.tells if any(fnmatchcase(one, glob) for glob in globs)]

    def no_such_type(self, call: Call, asked: str) -> ValidationFailed | None:
        """The refusal of types of which no event is one; of what the caller may not see it names none."""
        strange = next((one for one in types_of(asked) if not self._globs(call, one)), None)
        return None if strange is None else self._no_type(call, strange)

    def _no_type(self, call: Call, asked: str) -> ValidationFailed:
        kinds = sorted(self._areas.seen(call.actor.permissions, call.toolsets))
        names = types_near(asked, self._seen_types(call), kinds)
        return ValidationFailed(
            f"There are no events of type {named(asked)}.",
            next=f"{did_you_mean(names)}A type says what happened to a thing, such as task.completed; task.* is all. "
            f"Things: {', '.join(kinds)}.",
            details={"type": asked, "near": names},
        )

    def _seen(self, row: Row, *, whole: bool = True) -> EventView:
        return event_view(row, self._areas.aggregates[row["aggregate_type"]], whole=whole)

    async def _fetched(self, query: Query) -> list[Row]:
        return await self._database.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))

    def _visible(self, call: Call, query: Query) -> Query:
        """Only what the caller may see: a thing's events need the right to see it, and its toolset; of what is private,
        a part in it."""
        seen = self._areas.seen(call.actor.permissions, call.toolsets)
        if len(seen) < len(self._areas.aggregates):
            query = query.where("seen", seen=dump_json(sorted(seen)))
        prefix, is_open = call.actor.scope.namespaces()
        query = query.where("documents_within", within=prefix, is_open=is_open)
        return seen_by(call, query, self._areas.private)

    async def _by_actors(self, actors: Iterable[str]) -> list["ByActor"]:
        return [await self._by_actor(one) for one in actors]

    async def _by_actor(self, actor: str) -> "ByActor":
        kind, _, name = actor.rpartition(":")
        if VIA in actor or kind not in ("", "agent", "user"):
            return ByActor("actor", {"actor": actor})
        if kind == "user":
            return ByActor("actor_principal", {"actor": actor, "actor_via": f"{VIA}{actor}"})
        agent = await self._database.fetch_one("event_speaker", reference=name)
        if agent is None and not kind:  # `agent:NAME` may have been deleted since
            raise await self._no_actor(name)
        label = actor if agent is None else f"agent:{agent['name']}"
        id_label = actor if agent is None else f"agent:{agent['id']}"
        return ByActor("actor_agent", {"actor": label, "actor_id": id_label, "actor_as": f"{label}{VIA}"})

    async def _no_actor(self, name: str) -> NotFound:
        names = near(name, [row["name"] for row in await self._database.fetch_all("event_speakers")])
        return NotFound(
            f"There is no agent {named(name)}.",
            next=f"{did_you_mean(names)}An actor is an agent's name or id, user:NAME, or agent:NAME of one that was "
            "deleted.",
            details={"actor": name, "near": names},
        )

    async def users_near(self, command: ReadEvents) -> list[str]:
        """What is said of users who are asked for and did nothing that is kept."""
        asked = [one for one in command.actors() if one.startswith(_USER)]
        if not asked:
            return []
        known = await self._principals()
        return [_nothing_by(one, known) for one in asked if one not in known]

    async def _principals(self) -> set[str]:
        """Who did something that is kept, itself or through agents."""
        span = {"low": "agent:", "high": after_all(_USER)}
        rows = await self._database.fetch_all("event_actors", **span, limit=ACTORS_MAX)
        return {row["actor"].rpartition(VIA)[2] for row in rows}

    async def _require_there(self, command: ReadEvents, place: Position) -> None:
        """A cursor is where an event stands, or stood. Another database's may lie beyond the end, where nobody would
        hear of anything, or before the beginning, on an engine that counts otherwise."""
        if command.after is None or place == START:
            return
        there = await self._database.fetch_one("event_at", xid=place.xid, seq=place.seq)
        there = there or await self._database.fetch_one("event_horizon")
        if there is None or place > Position.of(there):
            raise await self._not_of_this_log(place)

    async def _not_of_this_log(self, place: Position) -> ValidationFailed:
        last = Query("events_before", parameters=(("xid", END.xid), ("seq", END.seq), ("limit", 1)))
        newest = max(map(Position.of, await self._fetched(last)), default=START).cursor()
        return ValidationFailed(
            f"{quoted(place.cursor())} is no cursor of this log: no event stands there, and the newest is at {newest}.",
            next=f"events_read() begins anew, events_read(after='{newest}') hears what comes from now on.",
            details={"cursor": place.cursor(), "newest_cursor": newest},
        )

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


_USER = "user:"


def _nothing_by(principal: str, known: Iterable[str]) -> str:
    return f"Nothing was done by {named(principal)}. {did_you_mean(near(principal, known))}".rstrip()


def _query(command: ReadEvents, place: Position) -> Query:
    return (
        Query(
            "events_before" if command.newest_first else "events_after",
            parameters=(("xid", place.xid), ("seq", place.seq), ("limit", command.limit + 1)),
        )
        .where("since", since=None if command.since is None else micros(command.since))
        .where("until", until=None if command.until is None else micros(command.until))
        .where("correlation", correlation=command.correlation_id)
    )


def _place(command: ReadEvents) -> Position:
    if command.after is not None:
        return parse_cursor(command.after)
    return END if command.newest_first else START
