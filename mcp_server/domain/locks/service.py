"""Use cases of named locks."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NoReturn, TypeVar

from mcp_server.domain.agents.holding import HOLDING_COUNTED_MAX, Holding
from mcp_server.domain.agents.signs import Sign, signs_of
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.locks import transactions
from mcp_server.domain.locks.alike import warnings_of
from mcp_server.domain.locks.model import TOLD_MAX, AcquireLock, FindLocks, Hold, Holder
from mcp_server.domain.locks.paths import is_glob, may_meet
from mcp_server.domain.locks.transactions import Acquired, Released
from mcp_server.domain.locks.views import (
    AcquiredLock,
    FoundLocks,
    LineView,
    LockView,
    ReleasedLock,
    line_view,
    lock_view,
    wanted_view,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.paging import LIMIT_MAX, Query, decode_cursor, fetch_page, floors, like
from mcp_server.kernel.quoting import named
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import Micros, iso
from mcp_server.kernel.waiting import told_or, wait_until
from mcp_server.kernel.writes import Write, as_said

T = TypeVar("T")

STAY_EVERY_SECONDS = 0.5
"""How often a waiter says that it is still there."""


class LockService:
    """Acquire, renew, release, hand over and find named locks.

    `acquire_now` takes a lock, or says who holds it, without waiting. `release` ends a hold, renews it or hands
    it over.
    """

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._speaking = services.get(Speaking)
        may = Permission.STATE_WRITE
        self.acquire_now = Write(context, may, as_said, transactions.acquire, self._acquired)
        self.release = Write(context, may, as_said, transactions.release, self._released)

    async def acquire(self, call: Call, command: AcquireLock) -> AcquiredLock:
        """Take a lock, waiting in line for it if asked to.

        Whoever is cancelled while it waits leaves the line at once, and what it was granted just then is given back.
        """
        wait_seconds = command.wait_seconds
        if wait_seconds <= 0:
            return await self.acquire_now(call, command)
        call.actor.require(Permission.STATE_WRITE)
        await self._context.guard(call, self.acquire_now, command)
        context, since = self._context, self._context.clock()

        def give_back(found: Acquired) -> None:
            if found.hold is not None and found.is_new:
                self._post(transactions.give_back, self._context.origin(call), found.hold)

        async def attempt() -> Acquired:
            written = context.written(call, transactions.acquire, command, since)
            return await self._database.write_or(give_back, *written)

        async with self._place_in_line(call, command):
            done = await wait_until(
                context, call, attempt, lambda found: found.hold is not None, wait_seconds, ("lock",)
            )
        with told_or(give_back, done):
            return await self._acquired(call, done)

    async def find(self, call: Call, command: FindLocks) -> FoundLocks:
        """Locks that somebody holds or waits for, by name; with one name, also the globs that keep others out of it.

        Raises:
            NotFound: there is no such agent.
        """
        return await self._found(call, command, with_tokens=True)

    async def _found(self, call: Call, command: FindLocks, *, with_tokens: bool) -> FoundLocks:
        call.actor.require(Permission.STATE_READ)
        agent_id = await self._agent_id(command.agent_id)
        page = await fetch_page(self._database, self._sought(command, agent_id), command.limit, ("name",))
        names = [row["name"] for row in page.rows if command.name is None or may_meet(row["name"], command.name)]
        locks = await self._lines(call, names, agent_id, with_tokens=with_tokens) if names else []
        for glob in await self._globs_over(command):
            locks += await self._lines(call, [glob], agent_id, with_tokens=with_tokens)
        return FoundLocks(
            free=_is_free(command, locks),
            locks=locks,
            next_cursor=page.next_cursor,
            omitted=page.omitted,
            at_least=floors(omitted=page.omitted),
        )

    async def _globs_over(self, command: FindLocks) -> list[str]:
        """The globs that are held and mean a name that is looked for, beside itself."""
        if not command.is_of_one():
            return []
        rows = await self._database.fetch_all("lock_globs_held", now=self._context.clock())
        return [row["name"] for row in rows if may_meet(row["name"], command.name or "")][: command.limit]

    def _sought(self, command: FindLocks, agent_id: str | None) -> Query:
        # Of a glob, whatever may mean the same is looked for among all names.
        name = None if command.name is not None and is_glob(command.name) else command.name
        known: dict[str, Any] = {"now": self._context.clock(), "lock_party": agent_id}
        query = (
            Query("locks_find" if agent_id is None else "locks_find_of", parameters=tuple(known.items()))
            .where("lock_name", lock_name=name)
            .where("lock_prefix", lock_prefix=like(command.prefix, "{}%"))
        )
        if command.cursor is None:
            return query
        (after,) = decode_cursor(query.listed, command.cursor, (str,))
        return query.where("lock_after", lock_after=after)

    async def held_by(self, call: Call, agent_id: str) -> Holding | None:
        """The locks that an agent holds, by name."""
        call.actor.require(Permission.STATE_READ)
        narrowed: dict[str, Any] = {"party": agent_id, "now": self._context.clock(), "counted": HOLDING_COUNTED_MAX}
        rows = await self._database.fetch_all("lock_names_of_party", **narrowed)
        held = Holding.ending("locks", ((row["name"], row["expires_at"]) for row in rows), HOLDING_COUNTED_MAX)
        owners = {row["name"]: row["owner"] for row in rows if row["owner"]}
        return held and await self._if_silent(held, owners)

    async def _if_silent(self, held: Holding, owners: Mapping[str, str]) -> Holding:
        """What is held, with when those are free whose instance is silent, which is before they would be else."""
        owners = {name: owners[name] for name in held.which if name in owners}
        signs = await signs_of(self._database, owners.values()) if owners else {}
        silent = {name: iso(at) for name, owner in owners.items() if (at := _lost_after(signs, owner)) is not None}
        return held._replace(free_if_silent_until=silent) if silent else held

    async def _agent_id(self, reference: str | None) -> str | None:
        return None if reference is None else (await self._speaking.required(reference))["id"]

    async def overview(self, call: Call) -> FoundLocks:
        """The first locks by name, without anybody's fencing tokens."""
        return await self._found(call, FindLocks(limit=LIMIT_MAX), with_tokens=False)

    async def _lines(self, call: Call, names: list[str], asked: str | None, *, with_tokens: bool) -> list[LineView]:
        between: dict[str, Any] = {"first": names[0], "last": names[-1], "now": self._context.clock()}
        rows = await self._database.fetch_all("locks_held", **between)
        holds = [Hold.adopt(dict(row)) for row in rows if row["name"] in names]
        seeing = await self._seeing(call, asked, holds) if with_tokens else frozenset[str]()
        held = _by_name(await self._held(call, holds, seeing), attrgetter("name"))
        awaited = _by_name(await self._database.fetch_all("locks_awaited", **between), itemgetter("name"))
        return [line_view(name, held[name], awaited[name]) for name in names]

    async def _seeing(self, call: Call, asked: str | None, holds: Sequence[Hold]) -> frozenset[str]:
        """Whose tokens a caller is shown: its own, and those of agents as which it may speak, where it asks for one's
        or nobody speaks."""
        parties = {hold.party for hold in holds if call.speaker is None or hold.party == asked}
        return frozenset([call.party, *[one for one in parties if await self._speaking.may_speak_as(call.actor, one)]])

    async def _held(self, call: Call, holds: Sequence[Hold], seeing: frozenset[str] = frozenset()) -> list[LockView]:
        """Holds as a caller sees them: of those of others, when their holders were last heard of."""
        signs = await signs_of(self._database, [one for hold in holds for one in (hold.owner, hold.party) if one])
        return [
            lock_view(
                hold,
                self._context.clock(),
                with_token=hold.party in seeing,
                sign=None if hold.party == call.party else signs.get(hold.owner) or signs.get(hold.party),
            )
            for hold in holds
        ]

    @contextlib.asynccontextmanager
    async def _place_in_line(self, call: Call, command: AcquireLock) -> AsyncGenerator[None]:
        """Keep a place in line while inside; leaving gives it up, however it comes about, and without waiting."""
        place = command.name, Holder.of(self._context.origin(call), command.owner)
        staying = asyncio.create_task(self._stay(call, *place), name="lock-line")
        try:
            yield
        finally:
            staying.cancel()
            # Also for one whose lease is lost: who goes away must not stand in anybody's way.
            self._post(transactions.leave_line, self._context.origin(call), *place)

    async def _stay(self, call: Call, name: str, holder: Holder) -> NoReturn:
        while True:
            await asyncio.sleep(STAY_EVERY_SECONDS)
            self._post(*self._context.written(call, transactions.stay, name, holder))

    def _post(self, *change: Any) -> None:
        """Queue what is not waited for; a store that is closed lets it lapse."""
        with contextlib.suppress(Unavailable):
            self._database.post(*change)

    async def _acquired(self, call: Call, done: Acquired) -> AcquiredLock:
        if done.hold is not None:
            alike = await warnings_of(self._database, done.hold, self._context.clock()) if done.is_new else []
            lock = await self._own(done.hold, is_new=done.is_new)
            told = {"instead_of": _instead_of(done), "unchanged": _is_kept(done.hold, done.was)}
            return AcquiredLock(lock=lock.evolved(told), warnings=alike or None)
        line = [wanted_view(claim) for claim in done.before]
        held_by = await self._held(call, done.others[:TOLD_MAX])
        return AcquiredLock(held_by=held_by, more=len(done.others) > TOLD_MAX or None, line=line or None)

    async def _released(self, call: Call, done: Released) -> ReleasedLock:
        if done.has_ended:
            return ReleasedLock(released=True, was=_held_as(done.hold), forced_from=done.forced_from)
        seeing = await self._seeing(call, done.hold.party, [done.hold])
        lock = await self._own(done.hold, with_token=done.hold.party in seeing)
        told = {"renewed_for": done.forced_from, "unchanged": _is_kept(done.hold, done.was)}
        return ReleasedLock(lock=lock.evolved(told), handed_to=done.heir, was=done.was_under)

    async def _own(self, hold: Hold, *, with_token: bool = True, is_new: bool = False) -> LockView:
        """A hold as its holder sees it; where it ends with an instance, until when that has to be heard of."""
        signs = await signs_of(self._database, [hold.owner]) if hold.owner else {}
        sign = signs.get(hold.owner)
        return lock_view(hold, self._context.clock(), with_token=with_token, is_new=is_new, sign=sign)


def _is_kept(hold: Hold, was: Hold | None) -> bool | None:
    """Whether a hold lasts no longer than before: it is never cut short."""
    return (was is not None and was.mode == hold.mode and hold.expires_at == was.expires_at) or None


def _instead_of(done: Acquired) -> str | None:
    """The hold in another mode that ended for the new one, and until when it would have lasted."""
    if done.was is None or done.hold is None or done.was.mode == done.hold.mode:
        return None
    return f"{_held_as(done.was)}, until {iso(done.was.expires_at)}"


def _is_free(command: FindLocks, found: Sequence[LineView]) -> bool | None:
    """Whether nothing was found of the one name that was looked for."""
    return (command.is_of_one() and not found) or None


def _lost_after(signs: Mapping[str, Sign], owner: str) -> Micros | None:
    return signs[owner].lost_after if owner in signs else None


def _held_as(hold: Hold) -> str:
    """Which hold has ended."""
    return f"the {hold.mode} lock {named(hold.name)} of {hold.claim.said()}"


def _by_name(things: Iterable[T], name_of: Callable[[T], str]) -> Mapping[str, list[T]]:
    lines = defaultdict[str, list[T]](list)
    for thing in things:
        lines[name_of(thing)].append(thing)
    return lines
