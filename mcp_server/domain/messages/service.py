"""Use cases of messages between agents and people."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from mcp_server.domain.agents.holding import HOLDING_COUNTED_MAX, Holding
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.messages import transactions
from mcp_server.domain.messages.handed import handed_over
from mcp_server.domain.messages.model import ReadMessages, SendMessage, is_person
from mcp_server.domain.messages.recipients import agent_of, no_thread, require_control, unknown_people
from mcp_server.domain.messages.views import (
    STAY_UNREAD,
    AwayView,
    InboxView,
    SentMessage,
    inbox_view,
    owed_views,
    sent_view,
    sent_views,
    thread_views,
)
from mcp_server.domain.people.service import Standing
from mcp_server.domain.search.finding import NO_CURSOR, Sought, fetch_page_holding
from mcp_server.kernel.authority import Permission, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import json_list
from mcp_server.kernel.paging import Query, decode_cursor, encode_cursor
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.waiting import wait_until
from mcp_server.kernel.writes import Write

_OTHERS = "These are another's: nothing counts as read by this, and who got them acknowledges them."
_NOTHING_HELD = "Nothing that was sent from here or got here holds it. It is looked for as typed, but for case."
_NOTHING_OWED = "No acknowledgement is outstanding, of yours or of others."
_ALL_CONFIRMED = "Nothing that was sent from here waits for an acknowledgement."


class _Reader(NamedTuple):
    """The call, as whom it reads, and whether what it is shown counts as read."""

    call: Call
    party: str
    takes: bool


class MessageService:
    """Send, read and acknowledge. `send` writes in the caller's own name."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._speaking = services.get(Speaking)
        self._standing = services.get(Standing)
        self.send = Write(context, Permission.MESSAGES_SEND, _to_somebody, transactions.send, self._sent)

    async def _sent(self, call: Call, sent: transactions.Sent) -> SentMessage:
        """What its sender is told: who was here and is no more does not read it before it comes. Of who never had an
        instance nobody knows whether it is here."""
        agents = [party for party in sent.recipients if not is_person(party)]
        away = await self._speaking.away(agents) if agents and not sent.replayed else ()
        message = sent_view(sent.message, replayed=sent.replayed)
        return SentMessage(
            message=message.evolved({"unknown": await unknown_people(self._standing, call, sent.recipients) or None}),
            recipients=sent.recipients,
            away=[_gone(one) for one in away if one["last_seen_at"] is not None] or None,
            skipped=sent.skipped or None,
        )

    async def read(self, call: Call, command: ReadMessages) -> InboxView:
        """A party's messages: those in its inbox, oldest first; or a thread in which it takes part; or what it sent; or
        what waits for an acknowledgement of its own or of others; or what holds a text. With how many are unread after
        this, and the cursor from which to go on.

        Those that are unread are taken: they count as read from then on. With `unread_only=False`, read ones are shown
        as well, after a cursor, and nothing is taken from an inbox. Who has control may look at what is another's;
        nothing is taken then either.

        Raises:
            NotFound: no such agent or thread, or no such message to acknowledge.
            PermissionDenied: another's inbox or thread, and no control over messages.
        """
        return await self._read(await self._reader(call, command.agent_id), command)

    async def held_by(self, call: Call, agent_id: str) -> Holding | None:
        """What an agent has not read, for who may speak as it."""
        call.actor.require(Permission.MESSAGES_RECEIVE)
        if not await self._speaking.may_speak_as(call.actor, agent_id):
            return None
        rows = await self._database.fetch_all("inbox_unread_known", party=agent_id, counted=HOLDING_COUNTED_MAX)
        return Holding.of("unread_messages", [row["message_id"] for row in rows], HOLDING_COUNTED_MAX)

    async def look(self, call: Call, command: ReadMessages) -> InboxView:
        """`read`, but nothing counts as read by it.

        Raises:
            OpsError: as `read` does.
        """
        return await self._read((await self._reader(call, command.agent_id))._replace(takes=False), command)

    async def _read(self, reader: _Reader, command: ReadMessages) -> InboxView:
        if not command.acknowledge:
            return _as_seen(reader, await self._listed(reader, command))
        await self._acknowledge(reader, command.acknowledge)
        found = await self._listed(reader, command)
        return replace(found, acknowledged=len(set(command.acknowledge)))

    async def _listed(self, reader: _Reader, command: ReadMessages) -> InboxView:
        if command.thread_id is not None:  # or a message of it
            row = await self._database.fetch_one("thread_of", id=command.thread_id)
            command = command if row is None else command.model_copy(update={"thread_id": row["thread_id"]})
        if command.text:
            return await self._holding(reader.party, command)
        if command.unacknowledged:
            return await self._owed(reader, command)
        if command.sent:
            return await self._what_was_sent(reader, command)
        if command.thread_id is not None and not command.only_unread:
            return await self._thread(reader, command.thread_id, command)
        return await self._inbox(reader, command)

    async def _reader(self, call: Call, named: str | None) -> _Reader:
        call.actor.require(Permission.MESSAGES_RECEIVE)
        if named is None:
            return _Reader(call, call.party, takes=True)
        if is_person(named):
            own = named == call.party
            return _Reader(call, named, own) if own else _looking_on(call, named)
        agent = await self._speaking.by_id(agent_of(named))
        if agent is None:
            raise await self._speaking.missing(call.actor, agent_of(named))
        if call.party == agent["id"]:
            return _Reader(call, agent["id"], takes=True)
        speaker = _allowed(self._speaking, call, agent)
        if speaker is None or call.speaker is not None:
            return _looking_on(call, agent["id"], allowed=speaker is not None)
        return _Reader(call.spoken_by(speaker, call.lease_token), agent["id"], takes=True)

    async def _acknowledge(self, reader: _Reader, message_ids: Sequence[str]) -> None:
        if reader.party != reader.call.party:
            raise PermissionDenied(
                f"Only {reader.party} acknowledges what it has got, and {reader.call.label} speaks here.",
                next=f"Speak as it: as_agent='{reader.party}'.",
                details={"party": reader.party},
            )
        await self._context.write(reader.call, transactions.acknowledge, reader.party, message_ids)

    async def _inbox(self, reader: _Reader, command: ReadMessages) -> InboxView:
        _place(reader.party, command)  # also where it narrows nothing: it is given back as where to go on
        attempt = self._taken if reader.takes and command.only_unread else self._shown
        rows, unread = await attempt(reader, command)
        if not rows and command.wait_seconds > 0:
            rows, unread = await wait_until(
                self._context,
                reader.call,
                lambda: attempt(reader, command),
                lambda found: bool(found[0]),
                command.wait_seconds,
                ("message",),
            )
        rows, more = _page(rows, command)
        cursor = encode_cursor(reader.party, [rows[-1]["place"]]) if rows else command.after
        handed = await handed_over(self._database, self._speaking, rows)
        messages = [inbox_view(row, handed.get(row["message_id"])) for row in rows]
        hint = STAY_UNREAD if _is_looked_at(reader, command) and _unread_ids(rows) else None
        return InboxView(messages=messages, unread=unread, cursor=cursor, more=more, hint=hint)

    async def _taken(self, reader: _Reader, command: ReadMessages) -> tuple[Sequence[Row], int]:
        party, thread_id = reader.party, command.thread_id
        if command.wait_seconds > 0:
            found = await self._database.fetch_one(
                "inbox_any_unread", party=party, thread_id=thread_id, importances=command.importances
            )
            if found is None:  # whoever waits looks often, and must not take a writer's turn each time
                return [], await self._unread(party)
        change = self._context.written(
            reader.call, transactions.read, party, thread_id, command.limit, command.importances
        )
        return await self._database.write(*change)

    async def _shown(self, reader: _Reader, command: ReadMessages) -> tuple[Sequence[Row], int]:
        party, only_unread = reader.party, command.only_unread
        place = 0 if only_unread else _place(party, command)
        query = Query("inbox", parameters=(("party", party), ("place", place), ("limit", command.limit + 1)))
        query = _as_important(query.where("inbox_thread", thread_id=command.thread_id), command)
        query = query.where("inbox_unread") if only_unread else query
        return await self._fetched(query), await self._unread(party)

    async def _thread(self, reader: _Reader, thread_id: str, command: ReadMessages) -> InboxView:
        party, after = reader.party, command.after
        await self._require_part(reader, thread_id)
        place = _place(thread_id, command)
        asked = (("party", party), ("thread_id", thread_id), ("place", place), ("limit", command.limit + 1))
        query = _as_important(Query("thread", parameters=asked), command)

        async def attempt() -> list[Row]:
            return await self._fetched(query)

        def is_news(rows: list[Row]) -> bool:
            """After a cursor whatever comes; else what its reader has not read, where that is who looks."""
            return bool(_unread_ids(rows)) if after is None and reader.takes else bool(rows)

        found = await wait_until(self._context, reader.call, attempt, is_news, command.wait_seconds, ("message",))
        rows, more = _page(found, command)
        if reader.takes and (unread_ids := _unread_ids(rows)):
            await self._context.write(reader.call, transactions.take, party, unread_ids)
        cursor = encode_cursor(thread_id, [rows[-1]["place"]]) if rows else after
        handed = await handed_over(self._database, self._speaking, rows)
        messages = thread_views(rows, await self._states_of(party, thread_id, rows), party, handed)
        return InboxView(messages=messages, unread=await self._unread(party), cursor=cursor, more=more)

    async def _states_of(self, party: str, thread_id: str, rows: Sequence[Row]) -> Sequence[Row]:
        """What became of those messages of a thread that the party sent itself."""
        own = [row["place"] for row in rows if row["sender_party"] == party]
        if not own:
            return ()
        places = {"first": own[0], "last": own[-1]}
        return await self._database.fetch_all("thread_states", thread_id=thread_id, party=party, **places)

    async def _require_part(self, reader: _Reader, thread_id: str) -> None:
        if await self._database.fetch_one("thread_end", thread_id=thread_id) is None:
            raise no_thread(thread_id)
        if await self._database.fetch_one("thread_part", thread_id=thread_id, party=reader.party) is None:
            require_control(reader.call.actor.may(Permission.MESSAGES_CONTROL), reader.party, thread_id)

    async def _what_was_sent(self, reader: _Reader, command: ReadMessages) -> InboxView:
        party, thread_id = reader.party, command.thread_id
        if thread_id is not None:
            await self._require_part(reader, thread_id)
        query = _as_important(Query("sent", parameters=(("party", party), ("limit", command.limit + 1))), command)
        query = query.where("inbox_thread", thread_id=thread_id)
        if command.after is not None:
            at, message_id = decode_cursor("sent", command.after, (int, str))
            query = query.where("sent_before", before_at=at, before_id=message_id)
        rows, more = _page(await self._fetched(query), command)
        cursor = encode_cursor("sent", [rows[-1]["created_at"], rows[-1]["message_id"]]) if rows else command.after
        messages = sent_views(rows, await self._became_of(row["message_id"] for row in rows))
        return InboxView(messages=messages, unread=await self._unread(party), cursor=cursor, more=more)

    async def _became_of(self, message_ids: Iterable[str]) -> Sequence[Row]:
        """What became of messages at their recipients."""
        ids = list(message_ids)
        return await self._database.fetch_all("states_of", ids=json_list(ids)) if ids else ()

    async def _holding(self, party: str, command: ReadMessages) -> InboxView:
        """What a party sent or got, or sent alone, that holds a text, newest first; nothing counts as read by this."""
        query = Query("messages_found", parameters=(("party", party),))
        query = query.where("found_sent", sent_by=party if command.sent else None)
        query = _as_important(query.where("inbox_thread", thread_id=command.thread_id), command)
        sought = Sought("message", command.text, NO_CURSOR)
        if command.after is not None:
            at, message_id = decode_cursor(query.listed, command.after, (int, str))
            query, sought = query.where("sent_before", before_at=at, before_id=message_id), sought._replace(before=at)
        page = await fetch_page_holding(self._database, sought, query, command.limit, ("created_at", "message_id"))
        handed = await handed_over(self._database, self._speaking, page.rows)
        # Who has found what it sent itself is not the one to acknowledge it.
        states = await self._became_of(row["message_id"] for row in page.rows if row["sender_party"] == party)
        messages = thread_views(page.rows, states, party, handed)
        unread, more = await self._unread(party), page.next_cursor is not None or None
        hint = None if messages or command.after is not None else _NOTHING_HELD
        return InboxView(messages=messages, unread=unread, cursor=page.next_cursor, more=more, hint=hint)

    async def _owed(self, reader: _Reader, command: ReadMessages) -> InboxView:
        """What waits for an acknowledgement, of the party's own or of others; narrowed to what it sent, to a thread."""
        party, thread_id = reader.party, command.thread_id
        if thread_id is not None:
            await self._require_part(reader, thread_id)
        query = _as_important(Query("owed", parameters=(("party", party), ("limit", command.limit + 1))), command)
        query = query.where("inbox_thread", thread_id=thread_id)
        query = query.where("owed_to_sender") if command.sent else query
        if command.after is not None:
            at, message_id, whose = decode_cursor("owed", command.after, (int, str, str))
            query = query.where("owed_after", after_at=at, after_id=message_id, after_party=whose)
        rows, more = _page(await self._fetched(query), command)
        end = [rows[-1][name] for name in ("ack_due_at", "message_id", "party")] if rows else None
        cursor = command.after if end is None else encode_cursor("owed", end)
        nothing = _ALL_CONFIRMED if command.sent else _NOTHING_OWED
        hint = None if rows or command.after is not None else nothing
        unread = await self._unread(party)
        return InboxView(messages=owed_views(rows), unread=unread, cursor=cursor, more=more, hint=hint)

    async def _fetched(self, query: Query) -> list[Row]:
        return await self._database.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))

    async def _unread(self, party: str) -> int:
        row = await self._database.fetch_one("inbox_count", party=party)
        return 0 if row is None else row["n"]


def _gone(agent: Row) -> AwayView:
    return AwayView(agent=agent["name"], last_seen_at=iso(agent["last_seen_at"]))


def _as_seen(reader: _Reader, found: InboxView) -> InboxView:
    """What is looked at is another's to acknowledge, which is said where there is any."""
    is_others = reader.party != reader.call.party and bool(found.messages)
    return replace(found, hint=_OTHERS) if is_others else found


def _page(rows: Sequence[Row], command: ReadMessages) -> tuple[Sequence[Row], bool | None]:
    """As many as were asked for, of one more that was looked for; and whether that is there."""
    return rows[: command.limit], len(rows) > command.limit or None


def _place(listed: str, command: ReadMessages) -> int:
    """Behind which place of an inbox or thread to begin.

    Raises:
        ValidationFailed: the cursor is another list's.
    """
    return 0 if command.after is None else decode_cursor(listed, command.after, (int,))[0]


def _as_important(query: Query, command: ReadMessages) -> Query:
    """Narrowed to what is as important as asked; unsaid, not at all."""
    return query if command.importance is None else query.where("of_importance", importances=command.importances)


def _allowed(speaking: Speaking, call: Call, agent: Row) -> Speaker | None:
    """The agent as speaker; None where the caller may not speak as it, but may look at all messages."""
    try:
        return speaking.allowed(call.actor, agent)
    except PermissionDenied:
        if call.actor.may(Permission.MESSAGES_CONTROL):
            return None
        raise


def _looking_on(call: Call, party: str, *, allowed: bool = False) -> _Reader:
    """Another's messages are looked at, and stay as they are."""
    if not allowed:
        call.actor.require(Permission.MESSAGES_CONTROL)
    return _Reader(call, party, takes=False)


def _is_looked_at(reader: _Reader, command: ReadMessages) -> bool:
    """Whether a reader looks at its own inbox, and takes nothing of it."""
    return reader.takes and not command.only_unread


def _unread_ids(rows: Sequence[Row]) -> list[str]:
    return [row["message_id"] for row in rows if row["party"] is not None and row["read_at"] is None]


async def _to_somebody(call: Call, command: SendMessage) -> SendMessage:
    del call
    if not command.to and command.thread_id is None:
        raise ValidationFailed(
            "The message has no recipient.",
            next="Name agents in `to`, user:NAME or capability:NAME, or all for every other agent; or a thread_id, to "
            "reach all in the thread.",
        )
    return command
