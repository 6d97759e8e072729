"""What the media process tells of a call, written down: who came and went, what was written and recorded, and how the
offers fared that it was given."""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp_server.domain.calls import owning
from mcp_server.domain.calls.held import Held, log
from mcp_server.domain.calls.media import MediaDied
from mcp_server.domain.calls.model import Line, Participant
from mcp_server.domain.calls.orders import (
    Answered,
    Away,
    Back,
    Closed,
    Connected,
    Drop,
    Gone,
    Join,
    MediaCall,
    Messaged,
    Recorded,
    Refused,
    Send,
    Told,
)
from mcp_server.domain.calls.putting import Putting
from mcp_server.domain.calls.telling import Telling
from mcp_server.kernel.errors import LeaseLost, OpsError
from mcp_server.kernel.json_text import storable


class Hearing:
    """Takes in what is told of one call; `look` is called after what others in it are to be told of."""

    def __init__(self, held: Held, telling: Telling, putting: Putting, look: Callable[[], Awaitable[Any]]) -> None:
        self._held = held
        self._telling = telling
        self._putting = putting
        self._look = look
        self._joining: dict[str, str] = {}
        """By the peers whose offers wait for an answer, the requests."""

    async def join(self, line: MediaCall, peer: str, request_id: str, data: dict[str, Any]) -> None:
        """Have an offer answered; what comes of it is told."""
        self._joining[peer] = request_id
        first = await self._telling.greeting(peer)
        call = self._held.call
        audio = bool(data.get("audio")) and call.media == "audio"
        await line.tell(Join(peer, call.participant(int(peer)).name, data["offer"], audio, tuple(first)))

    async def hear(self, line: MediaCall) -> None:
        """Write what is told, until the call is closed, another server holds it, or the media process is gone.

        What cannot be written is logged, and the call goes on.
        """
        try:
            while not isinstance(told := await line.heard(), Closed):
                try:
                    await self._take_in(line, told)
                except LeaseLost:
                    return
                except OpsError as error:
                    call_id = self._held.fence.call_id
                    log.warning("call_not_written", call_id=call_id, code=error.code, message=error.wrong)
        except MediaDied as error:
            await self._held.failed(error)

    async def _take_in(self, line: MediaCall, told: Told) -> None:
        match told:
            case Recorded():
                await self._held.write(owning.record, told)
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
            await self._held.write(owning.gone, int(told.peer), storable(told.reason, 200))
            return
        await self._held.write(owning.moved, int(told.peer), type(told).__name__.lower())
        if isinstance(told, Connected):
            await self._telling.catch_up(line, told.peer)

    async def _answer(self, line: MediaCall, told: Answered) -> None:
        request_id = self._joining.pop(told.peer, None)
        kept = request_id and await self._held.write(owning.answer, request_id, int(told.peer), told.answer)
        if not kept:  # who asked waits no more
            await line.tell(Drop(told.peer, "nobody waited for the answer"))

    async def _refuse(self, told: Refused) -> None:
        request_id = self._joining.pop(told.about, None)
        if request_id is not None:
            await self._held.write(owning.refuse, request_id, int(told.about), storable(told.why, 500))
        else:
            note = f"could not be heard: {storable(told.why, 500)}"
            await self._held.write(owning.heard, Line("desk", "note", note))

    async def _message(self, line: MediaCall, told: Messaged) -> None:
        """Do what a peer's message says; it is told why that cannot be."""
        one, message = self._held.call.participant(int(told.peer)), told.message
        try:
            match message["type"]:
                case "hangup":
                    await self._held.write(owning.gone, one.n, "hung up")
                case "text":
                    await self._text(one, told)
                case "answer":
                    await self._putting.answer(one, message)
                case _:
                    pass
        except LeaseLost:
            raise
        except OpsError as error:
            about = message.get("id") or message.get("ref")
            await line.tell(Send({"type": "error", "text": error.message, "about": about}, told.peer))

    async def _text(self, one: Participant, told: Messaged) -> None:
        async with self._held.looking:  # the line is sent with its `ref` before anybody else sends it without
            said = Line(one.name, "text", storable(str(told.message["text"]), 4000), one.n)
            call = await self._held.write(owning.heard, said)
            if call is not None and told.message.get("ref") is not None:
                self._telling.refs[call.lines] = (told.peer, told.message["ref"])
