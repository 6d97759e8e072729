"""Claude Code's channels: what hooks tell a session, sent by the session's own server as it comes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import from_thread, to_thread

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.hooks.glance import SHOWN_MAX, Glance, speaker_of, told
from mcp_server.hooks.settings import Settings
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError, PermissionDenied
from mcp_server.protocol.changes import LISTEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mcp_server.domain.desk import Desk
    from mcp_server.hooks.reading import Row
    from mcp_server.kernel.authority import Actor, Speaker
    from mcp_server.kernel.store import Database
    from mcp_server.protocol.stdio import Say

KINDS = {"message": "message", "approval": "answer", "task": "work"}
"""How what came is called, by what the events tell of."""
REST_SECONDS = 2.0
"""How long it rests after a notification, so that a burst becomes one."""
PAUSE_SECONDS = 0.2
"""How long it rests after a look at what was nothing to this session."""
log = logging.getLogger("datamcp.channel")


class News:
    """What came for whom one connection speaks, from when it began, each once; not what that agent did itself."""

    def __init__(self, desk: Desk, actor: Actor, toolsets: Collection[str] | None) -> None:
        """Nothing came yet.

        Args:
            desk: where it comes.
            actor: who is connected.
            toolsets: those that it is offered; None for all.
        """
        self._desk, self._actor = desk, actor
        self._speaking = desk.get(Speaking)
        self._types = desk.areas.seen(actor.permissions, toolsets) & KINDS.keys()
        self._known: set[str] | None = None
        """What was there when the connection began, or was told since."""
        self._heard: set[str] = set()
        """Ids of what others changed since the last look."""
        self._missed = False
        """Whether there may have been changes that nobody heard of."""

    async def begin(self) -> None:
        """Take what there is for known, before the client is served; where that fails, later."""
        with suppress(OpsError):
            self._known = set((await self._glance()).news())

    async def __call__(self, say: Say) -> None:
        """Send what comes, until the server ends."""
        if self._types:
            await self._desk.loops.keep("channel", partial(self._listen, say))

    async def _listen(self, say: Say) -> None:
        try:
            await self._pass_on(say)
        except PermissionDenied as error:
            log.warning("this channel stays silent: %s", error.message)

    async def _pass_on(self, say: Say) -> None:
        known = self._known = set((await self._glance()).news()) if self._known is None else self._known
        async with self._desk.changes.listen(*self._types) as listener:
            self._missed = True
            while not self._desk.changes.waits_are_over:
                if self._missed or self._heard:
                    await asyncio.sleep(REST_SECONDS if await self._tell(say, known) else PAUSE_SECONDS)
                await self._hear(await listener.wait(LISTEN_SECONDS))
                self._missed |= listener.take_overflow()

    async def _hear(self, events: Iterable[Mapping[str, Any]]) -> None:
        speaker = await self._speaker()
        own = None if speaker is None else Call(self._actor, "").spoken_by(speaker, None).label
        self._heard |= {event["aggregate_id"] for event in events if event["actor"] != own}

    async def _tell(self, say: Say, known: set[str]) -> bool:
        """Say what is new; whether there was anything."""
        glance = await self._glance()
        kinds = _kinds(glance, self._types)
        news = {item: sentence for item, sentence in glance.news().items() if item not in known and _id(item) in kinds}
        fresh = {item: sentence for item, sentence in news.items() if self._missed or _id(item) in self._heard}
        if fresh:
            await say(_safe(told(glance, list(fresh.values()))), _meta(list(fresh), kinds))
        known.update(fresh)
        self._heard, self._missed = set(), False
        return bool(fresh)

    async def _speaker(self) -> Speaker | None:
        return await self._speaking.unsaid(self._actor, local=True)

    async def _glance(self) -> Glance:
        return await to_thread.run_sync(self._looked, await self._speaker())

    def _looked(self, speaker: Speaker | None) -> Glance:
        """In a thread: a look asks one thing after the other and waits for each."""
        desk = _Rows(self._desk.context.database)
        whose = Settings({"user": self._actor.id} | ({} if speaker is None else {"agent": speaker.agent_id}))
        return Glance(desk, speaker_of(desk, whose, None), self._desk.context.clock())


class _Rows:
    """A server's own database, as a look reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, area: str, statement: str, **parameters: Any) -> list[Row]:
        """The rows of a statement, which no two areas call alike."""
        return [dict(row) for row in from_thread.run(partial(self._database.fetch_all, statement, **parameters))]

    def first(self, area: str, statement: str, **parameters: Any) -> Row | None:
        """The first row, if there is one."""
        return next(iter(self.rows(area, statement, **parameters)), None)


def _safe(content: str) -> str:
    """The client puts the text between tags of its own, which no word of others may end."""
    return content.replace("<", r"\x3c")


def _id(item: str) -> str:
    """Of what an item of news is: some are told again in another state."""
    return item.partition(" ")[0]


def _kinds(glance: Glance, types: Collection[str]) -> dict[str, str]:
    """What kind each thing is that may be told, by its id; nobody needs to be told of messages to oneself."""
    messages = [row for row in glance.messages if row["sender"] != glance.speaker.party]
    found = {"message": messages, "approval": glance.questions, "task": glance.work}
    return {row["id"]: KINDS[type_] for type_, rows in found.items() if type_ in types for row in rows}


def _meta(items: list[str], kinds: dict[str, str]) -> dict[str, str]:
    """What a notification is about, in words and ids of the desk's own."""
    ids = [_id(item) for item in items]
    of_kinds = dict.fromkeys(kinds[one] for one in ids)
    return {"kind": " ".join(of_kinds), "id": " ".join(ids[:SHOWN_MAX]), "count": str(len(ids))}
