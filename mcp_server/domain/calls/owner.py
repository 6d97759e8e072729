"""The server that holds a call: between the store, where everything is written first, and the media process.

It follows the call's row, lines and requests by the event feed, and gives orders; what is told by the media process it
writes. So whichever server a tool is called at reaches it, and what it has written stays when it dies. What is told to
those in the call is in `telling.py`, what is heard in `hearing.py`, what is asked in `putting.py`.
"""

import asyncio
import base64
import contextlib
import json

from mcp_server.domain.calls import owning
from mcp_server.domain.calls.asking import Questions
from mcp_server.domain.calls.hearing import Hearing
from mcp_server.domain.calls.held import Held
from mcp_server.domain.calls.media import MediaDied, MediaProvider
from mcp_server.domain.calls.model import LiveCall
from mcp_server.domain.calls.orders import Candidate, MediaCall, Order, Play
from mcp_server.domain.calls.owning import Fence
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.calls.putting import Putting
from mcp_server.domain.calls.telling import Telling
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row

RENEW_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 1.0
"""How often one in which somebody is is looked at without a hint: candidates come without one."""
IDLE_SECONDS = 60.0
CLOSING_SECONDS = 5.0
"""How long what is recorded may take to arrive once a call is over."""


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
    """One call that is held here. The media process hears of it once somebody asks for something that takes it."""

    def __init__(self, services: Services, call: LiveCall, fence: Fence) -> None:
        self._feed = services.context.database.feed
        self._provider = services.option(MediaProvider)
        self._held = held = Held(services.context, call, fence)
        putting = Putting(held, services.get(Questions))
        self._telling = Telling(held, putting, speaks=services.option(CallPolicy).speaks)
        self._hearing = Hearing(held, self._telling, putting, self._look)
        self._line: MediaCall | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._requests: set[str] = set()

    async def run(self) -> LiveCall:
        """Follow the call until it is over."""
        try:
            async with self._feed.listen("call", "approval") as listener:
                while not await self._look():
                    await listener.wait(IDLE_SECONDS if self._line is None else LOOK_EVERY_SECONDS)
            await self._close()
        finally:
            await self._let_go()
        with contextlib.suppress(OpsError):
            await self._held.write(owning.release)
        return self._held.call

    async def leave(self) -> None:
        """This server ends: say so."""
        with contextlib.suppress(OpsError):
            await self._held.write(owning.leave)

    async def _look(self) -> bool:
        """Bring the media up to what is written; whether the call is over."""
        async with self._held.looking:
            if (await self._held.read()).is_over:
                return True
            try:
                await self._do_requests()
                if self._line is not None:
                    await self._telling.show(self._line)
            except MediaDied as error:
                await self._held.failed(error)
            return False

    async def _do_requests(self) -> None:
        for row in await self._held.requests():
            if row["id"] not in self._requests:
                self._requests.add(row["id"])
                await self._do_request(row)

    async def _do_request(self, row: Row) -> None:
        line, data, peer = await self._open(), json.loads(row["data"]), str(row["peer"])
        if row["kind"] == "join":
            await self._hearing.join(line, peer, row["id"], data)
            return
        order: Order = (
            Candidate(peer, data["candidate"])
            if row["kind"] == "candidate"
            else Play(row["id"], base64.b64decode(data["wav"]))
        )
        await line.tell(order)
        await self._held.write(owning.done, row["id"])

    async def _open(self) -> MediaCall:
        if self._line is None:
            call = self._held.call
            audio, record = call.media == "audio", bool(call.record)
            self._line = line = await self._provider.open().open(call.id, audio=audio, record=record)
            self._beside = [asyncio.create_task(self._hearing.hear(line)), asyncio.create_task(self._stay())]
            self._telling.begin()
        return self._line

    async def _stay(self) -> None:
        """Give signs of life; who is fenced off hears of it by the call's row."""
        while True:
            with contextlib.suppress(OpsError):
                await self._held.write(owning.stay)
            await asyncio.sleep(RENEW_EVERY_SECONDS)

    async def _close(self) -> None:
        """Tell everybody that it is over, and take in what is recorded still."""
        if self._line is not None:
            with contextlib.suppress(MediaDied):
                await self._telling.end(self._line)
                await asyncio.wait(self._beside[:1], timeout=CLOSING_SECONDS)

    async def _let_go(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._line is not None:
            await self._line.leave()
