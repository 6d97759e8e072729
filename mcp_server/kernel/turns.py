"""Turns: while several callers are about, what one calls at once is done one after the other, with a rest in between as
long as the call took. So a flood takes at most half of the server's time, and a call of another's comes between.

A caller that is alone has the server to itself, and who calls again only when it was answered never rests: another's
call comes between of itself. Nobody waits for a call that takes long, or that itself only waits.
"""

import asyncio
from collections import deque

from mcp_server.kernel.limits import Caller

TURN_SECONDS_MAX = 0.25
"""How long a call keeps the next one of its caller waiting."""
ABOUT_SECONDS = 60.0
"""How long after its last call somebody is still about."""


class Line:
    """Who of one caller has the turn, and who stand behind."""

    def __init__(self) -> None:
        self.is_taken = False
        """Whether who comes now has to wait: somebody has the turn, or rests after it."""
        self.holder: Turn | None = None
        self.seen_at = 0.0
        """When its caller last came."""
        self._behind: deque[asyncio.Future[None]] = deque()

    @property
    def behind(self) -> int:
        """How many stand behind."""
        return len(self._behind)

    async def wait(self) -> None:
        """Wait for the turn, for which somebody else has it no longer than it may be had."""
        if self.holder is not None:
            self.holder.end_in_time()
        coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._behind.append(coming)
        try:
            await coming
        except asyncio.CancelledError:
            if not coming.cancelled():  # it came meanwhile
                self.leave()
            elif coming in self._behind:
                self._behind.remove(coming)
            raise

    def leave(self) -> None:
        """Let the next one come."""
        while self._behind:
            next_one = self._behind.popleft()
            if not next_one.done():
                next_one.set_result(None)
                return
        self.is_taken = False


class Turn:
    """The turn of one call."""

    def __init__(self, line: Line | None = None) -> None:
        """Begin it.

        Args:
            line: whose turn this is; None where nobody can stand behind this call.
        """
        self._line = line
        self._latest: asyncio.TimerHandle | None = None
        if line is not None:
            self._loop = asyncio.get_running_loop()
            self._began = self._loop.time()
            line.is_taken, line.holder = True, self
            if line.behind:
                self.end_in_time()

    def end_in_time(self) -> None:
        """See that it ends, whatever its call does, now that somebody stands behind it."""
        if self._latest is None:
            self._latest = self._loop.call_later(max(self._began + TURN_SECONDS_MAX - self._loop.time(), 0), self.done)

    def answered(self) -> None:
        """It is about to be answered: who calls again only then finds the turn free. Where one stands there by now,
        the rest is as long as all of the call, so that is for `done` to say."""
        if self._line is not None and not self._line.behind:
            self.done()

    def done(self) -> None:
        """Let the next one come, after a rest where one stands there; to say so twice is no mistake."""
        line, self._line = self._line, None
        if line is None:
            return
        line.holder = None
        if self._latest is not None:
            self._latest.cancel()
        if line.behind:
            took = min(self._loop.time() - self._began, TURN_SECONDS_MAX)
            self._loop.call_later(took, line.leave)
        else:
            line.leave()


_NOBODYS = Turn()
"""Nobody stands behind it."""


class Turns:
    """The lines of all callers that are about."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        """By the callers' labels."""
        self._looked_at = 0.0
        """When those who have gone were last forgotten."""

    def at_once(self, caller: Caller) -> Turn | None:
        """A call's turn, where nobody has to wait; None where `take` has to be asked."""
        if caller.is_local:
            return _NOBODYS
        now = asyncio.get_running_loop().time()
        line = self._lines.get(caller.label)
        if line is None:
            line = self._lines[caller.label] = Line()
        line.seen_at = now
        if now - self._looked_at > ABOUT_SECONDS:
            self._forget(now)
        if len(self._lines) == 1:
            return _NOBODYS
        return None if line.is_taken else Turn(line)

    def is_taken(self, caller: Caller) -> bool:
        """Whether `take` may have to be waited for."""
        line = self._lines.get(caller.label)
        return line is not None and line.is_taken

    async def take(self, caller: Caller) -> Turn:
        """Wait until it is a call's turn; it is `done` when the call is, or waits itself."""
        turn = self.at_once(caller)
        if turn is not None:
            return turn
        line = self._lines[caller.label]
        await line.wait()
        return Turn(line)

    def _forget(self, now: float) -> None:
        """Forget the lines of those who have not come for a while, and have no call under way."""
        self._looked_at = now
        gone = [
            label for label, line in self._lines.items() if now - line.seen_at > ABOUT_SECONDS and not line.is_taken
        ]
        for label in gone:
            del self._lines[label]
