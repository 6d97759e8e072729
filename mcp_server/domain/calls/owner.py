"""The server that holds a call: between the store, where everything is written first, and the media process.

It follows the call's row, lines and requests by the event feed, and gives orders; what is told by the media process it
writes. So whichever server a tool is called at reaches it, and what it has written stays when it dies.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import structlog

from mcp_server.domain.calls import owning
from mcp_server.domain.calls.asking import Questions, Shown, ask_message, asks, outcome, seen_in
from mcp_server.domain.calls.media import (
    Answered,
    Away,
    Back,
    Candidate,
    Close,
    Closed,
    Connected,
    Drop,
    Gone,
    Hold,
    Join,
    MediaCall,
    MediaDied,
    MediaProvider,
    Message,
    Messaged,
    Mute,
    Order,
    Play,
    Recorded,
    Refused,
    Say,
    Send,
    Told,
)
from mcp_server.domain.calls.model import LIVE, Line, LiveCall
from mcp_server.domain.calls.owning import Fence
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.calls.showing import line_message, state_message, welcome
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import LeaseLost, OpsError
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.json_text import storable
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row

RENEW_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 1.0
"""How often one in which somebody is is looked at without a hint: candidates come without one."""
IDLE_SECONDS = 60.0
CLOSING_SECONDS = 5.0
"""How long what is recorded may take to arrive once a call is over."""
LINES_AT_ONCE = 200
log = structlog.stdlib.get_logger("datamcp.calls")


class CallOwner:
    """Holds calls in this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = services.context
        self._server = new_id("server")

    async def hold(self, call_id: str) -> LiveCall:
        """Hold a call until it is over; how it ended.

        Raises:
            OpsError: the store cannot be reached, or another server holds it.
        """
        write, origin = self._context.database.write, self._context.origin(SYSTEM_CALL)
        call, fence = await write(owning.take, origin, call_id, self._server)
        if fence is None:
            return call
        holding = Holding(self._services, call, fence)
        try:
            return await holding.run()
        except asyncio.CancelledError:
            await asyncio.shield(holding.leave())
            raise


class Holding:
    """One call that is held here."""

    def __init__(self, services: Services, call: LiveCall, fence: Fence) -> None:
        self._context = services.context
        self._database = services.context.database
        self._provider = services.option(MediaProvider)
        self._speaks = services.option(CallPolicy).speaks
        self._questions = services.get(Questions)
        self._call = call
        self._fence = fence
        self._looking = asyncio.Lock()
        self._line: MediaCall | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._sent = 0
        """The number of the last line that was sent to all."""
        self._spoken = 0
        self._told: Message | None = None
        self._quiet = (False, False)
        self._joining: dict[str, str] = {}
        """By the peers whose offers wait for an answer, the requests."""
        self._requests: set[str] = set()
        self._welcomed: dict[str, int] = {}
        """By the peers that are to be connected, the last line that they are greeted with."""
        self._shown: dict[str, Shown] = {}
        self._outcomes: list[Message] = []
        self._refs: dict[int, tuple[str, Any]] = {}

    async def run(self) -> LiveCall:
        """Follow the call until it is over."""
        try:
            async with self._database.feed.listen("call", "approval") as listener:
                while not await self._look():
                    await listener.wait(IDLE_SECONDS if self._line is None else LOOK_EVERY_SECONDS)
            await self._close()
        finally:
            await self._let_go()
        with contextlib.suppress(OpsError):
            await self._write(owning.release)
        return self._call

    async def leave(self) -> None:
        """This server ends: say so."""
        with contextlib.suppress(OpsError):
            await self._write(owning.leave)

    async def _write(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._database.write(function, self._context.origin(SYSTEM_CALL), self._fence, *args)

    async def _look(self) -> bool:
        """Bring the media up to what is written; whether the call is over."""
        async with self._looking:
            row = await self._database.fetch_one("call_by_id", id=self._fence.call_id)
            assert row is not None, "calls stay"
            self._call = LiveCall.adopt(dict(row))
            if self._call.is_over:
                return True
            try:
                await self._do_requests()
                if self._line is not None:
                    await self._show(self._line)
            except MediaDied as error:
                await self._failed(error)
            return False

    async def _do_requests(self) -> None:
        for row in await self._database.fetch_all("call_requests_open", call_id=self._call.id):
            if row["id"] not in self._requests:
                self._requests.add(row["id"])
                await self._do_request(row)

    async def _do_request(self, row: Row) -> None:
        line, data, peer = await self._open(), json.loads(row["data"]), str(row["peer"])
        if row["kind"] == "join":
            await self._join(line, peer, row["id"], data)
            return
        order: Order = (
            Candidate(peer, data["candidate"])
            if row["kind"] == "candidate"
            else Play(row["id"], base64.b64decode(data["wav"]))
        )
        await line.tell(order)
        await self._write(owning.done, row["id"])

    async def _open(self) -> MediaCall:
        if self._line is None:
            audio = self._call.media == "audio"
            self._line = line = await self._provider.open().open(
                self._call.id, audio=audio, record=bool(self._call.record)
            )
            self._beside = [asyncio.create_task(self._hear(line)), asyncio.create_task(self._stay())]
            self._sent = self._call.lines
        return self._line

    async def _join(self, line: MediaCall, peer: str, request_id: str, data: dict[str, Any]) -> None:
        self._joining[peer] = request_id
        first = await self._greeting(peer)
        one = self._call.participant(int(peer))
        audio = bool(data.get("audio")) and self._call.media == "audio"
        await line.tell(Join(peer, one.name, data["offer"], audio, tuple(first)))

    async def _greeting(self, peer: str) -> list[Message]:
        """What a peer is told as soon as it is connected: where the call stands, what was said, what is asked."""
        after = max(self._call.lines - LINES_AT_ONCE, 0)
        lines = await self._lines(after, LINES_AT_ONCE)
        self._welcomed[peer] = lines[-1]["n"] if lines else 0
        greeting: list[Message] = [welcome(self._call, int(peer), lines)]
        for approval_id in self._call.questions():
            approval = await self._questions.approval(approval_id)
            if approval is not None and asks(approval, self._call.participant(int(peer))):
                self._note_shown(approval_id, Shown(frozenset((peer,)), seen_in(approval)))
                greeting.append(ask_message(approval))
        return [*greeting, *self._outcomes]  # who was away when it was decided has it on the screen still

    async def _lines(self, after: int, limit: int = LINES_AT_ONCE) -> list[Row]:
        return await self._database.fetch_all("call_lines_after", call_id=self._call.id, after=after, limit=limit)

    async def _show(self, line: MediaCall) -> None:
        """Tell the media process and everybody in the call what has changed."""
        quiet = (bool(self._call.muted), self._call.status == "on_hold")
        if quiet != self._quiet:
            await line.tell(Mute(quiet[0]))
            await line.tell(Hold(quiet[1]))
            self._quiet = quiet
        await self._ask(line)
        for row in await self._lines(self._sent):
            await self._send_line(line, row)
        message = state_message(self._call)
        if message != self._told:
            self._told = message
            await line.tell(Send(message))
        await self._speak(line)

    async def _send_line(self, line: MediaCall, row: Row) -> None:
        peer, ref = self._refs.pop(row["n"], (None, None))
        message = line_message(row)
        if peer is None:
            await line.tell(Send(message))
        else:
            for other in self._call.people():
                if other.state in ("joined", "away"):
                    own = str(other.n) == peer
                    await line.tell(
                        Send(message | {"line": message["line"] | {"ref": ref}} if own else message, str(other.n))
                    )
        self._sent = row["n"]

    async def _speak(self, line: MediaCall) -> None:
        """Have spoken what was said by who has no voice here, once somebody hears it."""
        if (
            not self._speaks
            or self._call.media != "audio"
            or self._call.status not in LIVE
            or not self._call.started_at
        ):
            return
        for row in await self._lines(self._spoken):
            self._spoken = row["n"]
            if row["peer"] == 0 and row["kind"] in ("said", "question"):
                await line.tell(Say(f"{self._call.id}-{row['n']}", row["text"]))

    async def _ask(self, line: MediaCall) -> None:
        """Show what is asked anew, and tell what has been decided, wherever that was."""
        for approval_id in self._call.questions():
            approval = await self._questions.approval(approval_id)
            if approval is None:
                continue
            if approval.status != "pending":
                await self._answered(line, approval_id, outcome(approval))
                continue
            shown, seen = self._shown.get(approval_id), seen_in(approval)
            known = shown.peers if shown is not None and shown.seen == seen else frozenset[str]()
            peers = frozenset(
                str(one.n) for one in self._call.people() if one.state == "joined" and asks(approval, one)
            )
            for peer in sorted(peers - known):
                await line.tell(Send(ask_message(approval), peer))
            self._note_shown(approval_id, Shown(peers, seen))

    async def _answered(self, line: MediaCall, approval_id: str, what: str) -> None:
        told = await self._write(owning.told, approval_id, Line("desk", "answer", storable(what, 4000)))
        if told is not None:
            self._shown.pop(approval_id, None)
            self._outcomes.append({"type": "asked", "id": approval_id, "outcome": what})
            await line.tell(Send(self._outcomes[-1]))

    def _note_shown(self, approval_id: str, shown: Shown) -> None:
        known = self._shown.get(approval_id)
        if known is not None and known.seen == shown.seen:
            shown = Shown(known.peers | shown.peers, shown.seen)
        self._shown[approval_id] = shown

    async def _stay(self) -> None:
        """Give signs of life; who is fenced off hears of it by the call's row."""
        while True:
            with contextlib.suppress(OpsError):
                await self._write(owning.stay)
            await asyncio.sleep(RENEW_EVERY_SECONDS)

    async def _hear(self, line: MediaCall) -> None:
        """Write what the media process tells."""
        try:
            while True:
                told = await line.heard()
                if isinstance(told, Closed):
                    return
                try:
                    await self._take_in(line, told)
                except LeaseLost:
                    return
                except OpsError as error:
                    log.warning("call_not_written", call_id=self._fence.call_id, code=error.code, message=error.wrong)
        except MediaDied as error:
            await self._failed(error)

    async def _failed(self, error: MediaDied) -> None:
        log.warning("call_media_died", call_id=self._fence.call_id)
        with contextlib.suppress(OpsError):
            await self._write(owning.fail, f"its media process ended: {storable(str(error), 300)}")

    async def _take_in(self, line: MediaCall, told: Told) -> None:
        match told:
            case Recorded():
                await self._write(owning.record, told)
                return
            case Answered():
                await self._answer(line, told)
            case Refused():
                await self._refuse(told)
            case Messaged():
                await self._message(line, told)
            case Connected() | Away() | Back() | Gone():
                await self._moved(line, told)
            case _:
                return
        await self._look()

    async def _moved(self, line: MediaCall, told: Connected | Away | Back | Gone) -> None:
        """A participant is there, or is not."""
        if isinstance(told, Gone):
            await self._write(owning.gone, int(told.peer), storable(told.reason, 200))
            return
        await self._write(owning.moved, int(told.peer), type(told).__name__.lower())
        if isinstance(told, Connected):
            await self._catch_up(line, told.peer)

    async def _answer(self, line: MediaCall, told: Answered) -> None:
        request_id = self._joining.pop(told.peer, None)
        kept = request_id and await self._write(owning.answer, request_id, int(told.peer), told.answer)
        if not kept:  # who asked waits no more
            await line.tell(Drop(told.peer, "nobody waited for the answer"))

    async def _refuse(self, told: Refused) -> None:
        request_id = self._joining.pop(told.about, None)
        if request_id is not None:
            await self._write(owning.refuse, request_id, int(told.about), storable(told.why, 500))
        else:
            await self._write(owning.heard, Line("desk", "note", f"could not be heard: {storable(told.why, 500)}"))

    async def _catch_up(self, line: MediaCall, peer: str) -> None:
        """What was said since a peer's greeting was written, before it could hear it."""
        for row in await self._lines(self._welcomed.pop(peer, self._sent)):
            if row["n"] <= self._sent:
                await line.tell(Send(line_message(row), peer))

    async def _message(self, line: MediaCall, told: Messaged) -> None:
        one, message = self._call.participant(int(told.peer)), told.message
        try:
            if message["type"] == "hangup":
                await self._write(owning.gone, one.n, "hung up")
            elif message["type"] == "text":
                async with self._looking:  # the line is sent with its `ref` before anybody else sends it without
                    said = Line(one.name, "text", storable(str(message["text"]), 4000), one.n)
                    call = await self._write(owning.heard, said)
                    if call is not None and message.get("ref") is not None:
                        self._refs[call.lines] = (told.peer, message["ref"])
            elif message["type"] == "answer":
                shown = self._shown.get(str(message.get("id")))
                await self._questions.answer(self._fence.call_id, one, shown, message)
        except LeaseLost:
            raise
        except OpsError as error:
            about = message.get("id") or message.get("ref")
            await line.tell(Send({"type": "error", "text": error.message, "about": about}, told.peer))

    async def _close(self) -> None:
        """Tell everybody that it is over, and take in what is recorded still."""
        line = self._line
        if line is None:
            return
        reason = self._call.reason or self._call.status
        with contextlib.suppress(MediaDied):
            for row in await self._lines(self._sent):
                await line.tell(Send(line_message(row)))
            await line.tell(Send(state_message(self._call)))
            await line.tell(Send({"type": "bye", "reason": reason}))
            await line.tell(Close(reason))
            await asyncio.wait(self._beside[:1], timeout=CLOSING_SECONDS)

    async def _let_go(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._line is not None:
            await self._line.leave()
