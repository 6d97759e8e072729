"""Server processes that are killed, frozen and started again while workers call them.

What a call was answered is the only thing that a worker knows: a call that was cut off may have counted or not.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import IO, Any

from tests.processes import INITIALIZE, RawClient, start

SEATS = 5
FROZEN_SECONDS = 3.5
LONG_SECONDS = 35
"""Longer than the lease on a task of the server's own, such as a mail."""
MOST_SECONDS = 300
BUSY_SECONDS = 450
"""Until a server has started, others no longer keep it from writing, and it has answered."""
ANSWER_SECONDS = 150
"""More than the longest freeze, then the longest waits of a server, on a machine that does much else."""
PERSON = {"elicitation": {}}
THINKING_SECONDS = 0.5
"""So that two people who are asked the same have both been asked before one of them answers."""


class Unanswered(Exception):
    """The server was killed before it answered, or says that it does not know: the call may have counted or not."""


class Refused(Exception):
    """The server said no: the call has changed nothing."""

    def __init__(self, tool: str, error: dict[str, Any]) -> None:
        super().__init__(f"{tool}: {error['code']}: {error['message']}")
        self.code: str = error["code"]
        self.details: dict[str, Any] = error["details"]


class Seat:
    """A place in the fleet: one server after the other, and many calls at once.

    A call that is told `busy` has changed nothing, and is made again, as the answer says; one told `unavailable` may
    have counted. Both are honest while others are frozen or killed. The person at its client says yes to every question
    at an even seat, and no at an odd one.
    """

    def __init__(self, number: int, url: str, settings: dict[str, str], happened: Counter[str]) -> None:
        self.number = number
        self._happened = happened
        self._url, self._settings = url, settings
        self._client: RawClient | None = None
        self._ids = itertools.count(1000)
        self._waiting: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._ready = asyncio.Event()
        self.is_frozen = False
        self._is_over = False
        self._person: asyncio.TaskGroup
        self.faults: list[str] = []
        """What its servers said of bugs, or where one ended for no good reason."""

    async def keep(self) -> None:
        """Have a server here, whatever becomes of it, until the end."""
        async with asyncio.TaskGroup() as self._person:
            await self._keep()

    async def _keep(self) -> None:
        while not self._is_over:
            log = tempfile.TemporaryFile()  # noqa: SIM115  closed below, when the server has ended
            self._client = client = await start(self._url, stderr=log.fileno(), **self._settings)
            try:
                if self._is_over:
                    self.kill()
                await client.request("initialize", INITIALIZE | {"capabilities": PERSON})
                await client.send(method="notifications/initialized")
                # The handshake is answered before all is loaded.
                await client.request("tools/call", {"name": "agents_find", "arguments": {"limit": 1}})
                self._ready.set()
                while True:
                    await self._take(client, await client.receive(None))  # a frozen one says nothing
            except (EOFError, ConnectionError, ValueError):
                pass  # killed, perhaps in the middle of a line
            except TimeoutError:
                self.kill()  # it took a minute to start: the machine does much else
            finally:
                self._ready.clear()
                self._give_up()
                await client.process.wait()
                client.process._transport.close()  # type: ignore[attr-defined]
                self._read_log(client, log)

    def _read_log(self, client: RawClient, log: IO[bytes]) -> None:
        """A server may end by itself where it cannot start in time, and says so; and it says what was a bug."""
        with log:
            log.seek(0)
            said = log.read().decode()
        ended_itself = client.process.returncode != -signal.SIGKILL
        self._happened["could not start"] += ended_itself
        if "Traceback" in said or "bug" in said or (ended_itself and "Nothing was written" not in said):
            self.faults.append(f"exit code {client.process.returncode}: {said}")

    async def _take(self, client: RawClient, message: dict[str, Any]) -> None:
        if message.get("method") == "elicitation/create":
            self._person.create_task(self._answer(client, message["id"]))
        elif (waiting := self._waiting.pop(message.get("id", 0), None)) is not None and not waiting.done():
            waiting.set_result(message)

    async def _answer(self, client: RawClient, number: int) -> None:
        await asyncio.sleep(THINKING_SECONDS)
        with contextlib.suppress(ConnectionError):
            await client.send(id=number, result={"action": "accept", "content": {"approve": self.says_yes}})

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
        """Call a tool until the store is not busy; its structured result.

        Raises:
            Unanswered: killed in between, or the store failed in the midst.
            Refused: an error.
            TimeoutError: the server lives and does not answer, or stays busy.
        """
        async with asyncio.timeout(BUSY_SECONDS):
            while True:
                result = await self._call_once(tool, arguments)
                if "error" not in result:
                    return result
                self._take_refusal(tool, result["error"])
                await asyncio.sleep(0.1)

    def _take_refusal(self, tool: str, error: dict[str, Any]) -> None:
        """Whoever is busy has written nothing, and is called again; what a store that failed did is not known."""
        if error["code"] == "busy":
            assert "Nothing was written" in error["message"], error
        elif error["code"] != "unavailable":
            raise Refused(tool, error)
        assert "correlation_id" not in error["details"], f"{tool} hit a bug: {error}"
        self._happened[error["code"]] += 1
        if error["code"] == "unavailable":
            raise Unanswered

    async def _call_once(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
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
        return answer["result"]["structuredContent"]

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
    """Five servers on one database, or as many as there are seats; `producing` until no new work is to be made."""

    def __init__(self, url: str, seed: int, settings: dict[str, str], seats: int = SEATS) -> None:
        self.chance = random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.seats = [Seat(number, url, settings, self.happened) for number in range(seats)]
        self.producing = True
        self.settled = asyncio.Event()
        self._left_alone: Seat | None = None

    def any_seat(self, says_yes: bool | None = None) -> Seat:
        """Some server, if possible one that has started; not one that is frozen for long."""
        seats = [seat for seat in self.seats if seat is not self._left_alone and says_yes in (None, seat.says_yes)]
        return self.chance.choice([seat for seat in seats if seat.is_ready] or seats)

    @property
    def faults(self) -> list[str]:
        """What the servers that have ended said of bugs."""
        return [fault for seat in self.seats for fault in seat.faults]

    def _starting(self) -> Seat:
        """A server that starts, where there is one."""
        return self.chance.choice([seat for seat in self.seats if not seat.is_ready] or [self.any_seat()])

    async def surely(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call until there is an answer, each time at some server: for calls that may be repeated without harm."""
        while True:
            with contextlib.suppress(Unanswered):
                return await self.any_seat().call(tool, **arguments)
            self.happened["repeated"] += 1

    async def pause(self, low: float, high: float) -> None:
        """What a worker does beside calling."""
        await asyncio.sleep(self.chance.uniform(low, high))

    async def trouble(self, seconds: float, is_enough: Callable[[], bool], *, long: bool) -> None:
        """A kill each second, and now and then a freeze that outlasts a lease; with `long`, one that outlasts all. On a
        machine that does much else servers start slowly: it kills less often, so that there is somebody to call, and
        takes longer for what has to happen at least, up to `MOST_SECONDS`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.TaskGroup() as freezing:
            if long:
                freezing.create_task(self._freeze_long())
            while (passed := loop.time() - started) < seconds or (passed < MOST_SECONDS and not is_enough()):
                await asyncio.sleep(self.chance.uniform(0.5, 1.5))
                is_strong = sum(seat.is_ready for seat in self.seats) > len(self.seats) // 2
                if is_strong or self.chance.random() < 0.1:
                    self.happened["killed"] += (self.any_seat() if is_strong else self._starting()).kill()
                if self.chance.random() < 0.25:
                    freezing.create_task(self._freeze(self.any_seat()))

    async def _freeze(self, seat: Seat) -> None:
        if not any(one.is_frozen for one in self.seats if one is not self._left_alone):
            self.happened["frozen"] += await seat.freeze(FROZEN_SECONDS)

    async def _freeze_long(self) -> None:
        await self.pause(5, 10)
        while True:
            self._left_alone = seat = self.any_seat()  # neither called nor killed until it goes on
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
