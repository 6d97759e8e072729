"""Server processes that are killed, frozen and started again while workers call them.

What a call was answered is the only thing that a worker knows: a call that was cut off may have counted or not.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.processes import INITIALIZE, RawClient, start

SEATS = 5
FROZEN_SECONDS = 3.5
LONG_SECONDS = 35
"""Longer than the lease on a task of the server's own, such as a mail."""
ANSWER_SECONDS = 45
PERSON = {"elicitation": {}}


class Unanswered(Exception):
    """The server was killed before it answered: what became of the call is not known."""


class Refused(Exception):
    """The server said no: the call has changed nothing."""

    def __init__(self, tool: str, error: dict[str, Any]) -> None:
        super().__init__(f"{tool}: {error['code']}: {error['message']}")
        self.code: str = error["code"]


class Seat:
    """A place in the fleet: one server after the other, and many calls at once.

    The person at its client says yes to every question at an even seat, and no at an odd one.
    """

    def __init__(self, number: int, url: str, settings: dict[str, str]) -> None:
        self.number = number
        self._url, self._settings = url, settings
        self._client: RawClient | None = None
        self._ids = itertools.count(1000)
        self._waiting: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._ready = asyncio.Event()
        self.is_frozen = False
        self._is_over = False

    async def keep(self) -> None:
        """Have a server here, whatever becomes of it, until the end."""
        while not self._is_over:
            self._client = client = await start(self._url, **self._settings)
            try:
                if self._is_over:
                    self.kill()
                await client.request("initialize", INITIALIZE | {"capabilities": PERSON})
                await client.send(method="notifications/initialized")
                self._ready.set()
                while True:
                    await self._take(client, await client.receive())
            except (EOFError, ConnectionError, ValueError):
                pass  # killed, perhaps in the middle of a line
            finally:
                self._ready.clear()
                self._give_up()
                await client.process.wait()
                client.process._transport.close()  # type: ignore[attr-defined]

    async def _take(self, client: RawClient, message: dict[str, Any]) -> None:
        if message.get("method") == "elicitation/create":
            answer = {"action": "accept", "content": {"approve": self.says_yes}}
            await client.send(id=message["id"], result=answer)
        elif (waiting := self._waiting.pop(message.get("id", 0), None)) is not None and not waiting.done():
            waiting.set_result(message)

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_result(None)

    @property
    def is_ready(self) -> bool:
        """Whether a server is there, perhaps frozen, or dead and not yet known to be."""
        return self._ready.is_set()

    @property
    def says_yes(self) -> bool:
        """What the person here answers to every question."""
        return self.number % 2 == 0

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool; its structured result.

        Raises:
            Unanswered: killed in between.
            Refused: an error.
            TimeoutError: the server lives and does not answer.
        """
        while not self._ready.is_set():
            await self._ready.wait()
        assert self._client is not None
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        with contextlib.suppress(ConnectionError):  # then the answer is None, too
            await self._client.send(id=number, method="tools/call", params={"name": tool, "arguments": arguments})
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await future
        if answer is None:
            raise Unanswered
        assert "result" in answer, f"{tool}: {answer}"
        result = answer["result"]["structuredContent"]
        if "error" in result:
            raise Refused(tool, result["error"])
        return result

    def kill(self) -> bool:
        """kill -9, also while it starts or is frozen; whether there was something to kill."""
        if self._client is None or self._client.process.returncode is not None:
            return False
        self._client.process.kill()
        return True

    def end(self) -> None:
        """Start no server again."""
        self._is_over = True
        self.kill()

    async def freeze(self, seconds: float) -> bool:
        """SIGSTOP, and SIGCONT later; whether it was there to be frozen."""
        client = self._client
        if client is None or not self._ready.is_set() or client.process.returncode is not None:
            return False
        self.is_frozen = True
        client.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            client.process.send_signal(signal.SIGCONT)
        self.is_frozen = False
        return True


class Fleet:
    """Five servers on one database; `producing` until no new work is to be made, and then until all is settled."""

    def __init__(self, url: str, seed: int, settings: dict[str, str]) -> None:
        self.chance = random.Random(seed)
        self.seats = [Seat(number, url, settings) for number in range(SEATS)]
        self.producing = True
        self.settled = asyncio.Event()
        self.happened: Counter[str] = Counter()
        self._left_alone: Seat | None = None

    def any_seat(self, says_yes: bool | None = None) -> Seat:
        """Some server, if possible one that has started; not one that is frozen for long."""
        seats = [seat for seat in self.seats if seat is not self._left_alone and says_yes in (None, seat.says_yes)]
        return self.chance.choice([seat for seat in seats if seat.is_ready] or seats)

    async def surely(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call until there is an answer, each time at some server: for calls that may be repeated without harm."""
        while True:
            with contextlib.suppress(Unanswered):
                return await self.any_seat().call(tool, **arguments)
            self.happened["repeated"] += 1

    async def pause(self, low: float, high: float) -> None:
        """What a worker does beside calling."""
        await asyncio.sleep(self.chance.uniform(low, high))

    async def trouble(self, seconds: float, *, long: bool) -> None:
        """A kill each second, and now and then a freeze that outlasts a lease; with `long`, one that outlasts all."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with asyncio.TaskGroup() as freezing:
            if long:
                freezing.create_task(self._freeze_long(self.any_seat()))
            while loop.time() < until:
                await asyncio.sleep(self.chance.uniform(0.5, 1.5))
                if sum(seat.is_ready for seat in self.seats) > 1 or self.chance.random() < 0.2:
                    self.happened["killed"] += self.any_seat().kill()  # a busy machine starts them slower than that
                if self.chance.random() < 0.25:
                    freezing.create_task(self._freeze(self.any_seat()))

    async def _freeze(self, seat: Seat) -> None:
        if not any(one.is_frozen for one in self.seats if one is not self._left_alone):
            self.happened["frozen"] += await seat.freeze(FROZEN_SECONDS)

    async def _freeze_long(self, seat: Seat) -> None:
        await self.pause(5, 10)
        while True:
            self._left_alone = seat  # neither called nor killed until it goes on
            self.happened["frozen long"] += (was_there := await seat.freeze(LONG_SECONDS))
            self._left_alone = None
            if was_there:
                return
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """All servers, started and at the end killed."""
        keeping = [asyncio.create_task(seat.keep()) for seat in self.seats]
        try:
            yield
        finally:
            for seat in self.seats:
                seat.end()
            await asyncio.gather(*keeping)


def seed() -> int:
    """Which chaos: another one with CHAOS_SEED."""
    return int(os.environ.get("CHAOS_SEED", "7"))
