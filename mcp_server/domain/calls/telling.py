"""What those in a call are told: where it stands and what is said, each line once and in order, and what is spoken.

It goes by what is written, so that all see the same, whichever server a line came in at.
"""

from typing import Any

from mcp_server.domain.calls.held import LINES_AT_ONCE, Held
from mcp_server.domain.calls.media import Message
from mcp_server.domain.calls.model import LIVE, LiveCall
from mcp_server.domain.calls.orders import Close, Hold, MediaCall, Mute, Say, Send
from mcp_server.domain.calls.putting import Putting
from mcp_server.domain.calls.showing import line_message, state_message, welcome
from mcp_server.kernel.store import Row


class Telling:
    """Brings the media of one call up to what is written.

    Attributes:
        refs: by the numbers of lines, who wrote one and what it calls it, so that the writer knows its own line again.
    """

    def __init__(self, held: Held, putting: Putting, *, speaks: bool) -> None:
        self._held = held
        self._putting = putting
        self._speaks = speaks
        self._sent = 0
        """The number of the last line that was sent to all."""
        self._spoken = 0
        self._told: Message | None = None
        self._quiet = (False, False)
        self._welcomed: dict[str, int] = {}
        """By the peers that are to be connected, the last line that they are greeted with."""
        self.refs: dict[int, tuple[str, Any]] = {}

    def begin(self) -> None:
        """Nobody is connected yet: whoever comes is greeted with what was said so far."""
        self._sent = self._held.call.lines

    async def greeting(self, peer: str) -> list[Message]:
        """What a peer is told as soon as it is connected: where the call stands, what was said, what is asked."""
        call = self._held.call
        lines = await self._held.lines(max(call.lines - LINES_AT_ONCE, 0))
        self._welcomed[peer] = lines[-1]["n"] if lines else 0
        return [welcome(call, int(peer), lines), *await self._putting.greeting(peer)]

    async def catch_up(self, line: MediaCall, peer: str) -> None:
        """What was said since a peer's greeting was written, before it could hear it."""
        for row in await self._held.lines(self._welcomed.pop(peer, self._sent)):
            if row["n"] <= self._sent:
                await line.tell(Send(line_message(row), peer))

    async def show(self, line: MediaCall) -> None:
        """Tell the media process and everybody in the call what has changed."""
        call = self._held.call
        quiet = (bool(call.muted), call.status == "on_hold")
        if quiet != self._quiet:
            await line.tell(Mute(quiet[0]))
            await line.tell(Hold(quiet[1]))
            self._quiet = quiet
        await self._putting.show(line)
        for row in await self._held.lines(self._sent):
            await self._send_line(line, row)
        message = state_message(call)
        if message != self._told:
            self._told = message
            await line.tell(Send(message))
        if self._speaks and _is_heard(call):
            await self._speak(line)

    async def end(self, line: MediaCall) -> None:
        """Tell everybody that it is over.

        Raises:
            MediaDied: the media process is gone.
        """
        call = self._held.call
        reason = call.reason or call.status
        for row in await self._held.lines(self._sent):
            await line.tell(Send(line_message(row)))
        await line.tell(Send(state_message(call)))
        await line.tell(Send({"type": "bye", "reason": reason}))
        await line.tell(Close(reason))

    async def _send_line(self, line: MediaCall, row: Row) -> None:
        peer, ref = self.refs.pop(row["n"], (None, None))
        message = line_message(row)
        if peer is None:
            await line.tell(Send(message))
        else:
            own = message | {"line": message["line"] | {"ref": ref}}
            for other in self._held.call.people():
                if other.state in ("joined", "away"):
                    await line.tell(Send(own if str(other.n) == peer else message, str(other.n)))
        self._sent = row["n"]

    async def _speak(self, line: MediaCall) -> None:
        """Have spoken what was said by who has no voice here."""
        for row in await self._held.lines(self._spoken):
            self._spoken = row["n"]
            if row["peer"] == 0 and row["kind"] in ("said", "question"):
                await line.tell(Say(f"{self._held.call.id}-{row['n']}", row["text"]))


def _is_heard(call: LiveCall) -> bool:
    """Whether somebody hears what is spoken now."""
    return call.media == "audio" and call.status in LIVE and bool(call.started_at)
