"""A desk that holds calls, with media that do nothing but to note what they are told: what they tell is the test's."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp_server.app import desk_on
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.areas import AREAS
from mcp_server.domain.calls.commands import ControlCall, OpenCall
from mcp_server.domain.calls.joining import JoinCall, Joined
from mcp_server.domain.calls.media import Media, MediaDied, MediaProvider
from mcp_server.domain.calls.orders import (
    Answered,
    Close,
    Closed,
    Connected,
    Join,
    Messaged,
    Order,
    Refused,
    Send,
    Told,
)
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.domain.calls.views import CallResult, CallView
from mcp_server.domain.email.model import Outcome
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.email.transport import Mail, MailProvider, Report
from mcp_server.kernel.call import Call
from mcp_server.runtime.system_worker import SystemWorker
from tests.world import Ids, World, caller

BASE = "http://desk.example"


@dataclass
class NotedCall:
    """One call's media: answers each offer with it, connects who is answered, and notes the rest."""

    id: str
    orders: list[Order] = field(default_factory=list)
    told: "asyncio.Queue[Told | MediaDied]" = field(default_factory=asyncio.Queue)
    refuses: str | None = None
    connects: bool = True
    answers: bool = True
    left: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, order: Order) -> None:
        self.orders.append(order)
        self.changed.set()
        if isinstance(order, Join) and self.answers:
            if self.refuses is not None:
                self.told.put_nowait(Refused(order.peer, self.refuses))
                return
            self.told.put_nowait(Answered(order.peer, f"answer to {order.offer}", order.audio))
            if self.connects:
                self.told.put_nowait(Connected(order.peer, 0.1))
        if isinstance(order, Close):
            self.told.put_nowait(Closed())
            self.told.put_nowait(MediaDied("closed"))

    async def heard(self) -> Told:
        told = await self.told.get()
        if isinstance(told, MediaDied):
            raise told
        return told

    async def leave(self) -> None:
        self.left = True

    def says(self, peer: int, **message: Any) -> None:
        """A peer sends a message."""
        self.told.put_nowait(Messaged(str(peer), message))

    def messages(self, type_: str, peer: int | None = None) -> list[dict[str, Any]]:
        """What peers were sent of a type, greetings included."""
        sent = [(one.message, one.peer) for one in self.orders if isinstance(one, Send)]
        sent += [(message, one.peer) for one in self.orders if isinstance(one, Join) for message in one.first]
        return [
            dict(message)
            for message, to in sent
            if message["type"] == type_ and (peer is None or to in (None, str(peer)))
        ]

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until what was told makes something true."""
        async with asyncio.timeout(60):
            while not reached():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Noted:
    """The media of one process."""

    calls: dict[str, NotedCall] = field(default_factory=dict)
    opened: list[tuple[str, bool, bool]] = field(default_factory=list)
    refuses: str | None = None
    connects: bool = True

    async def open(self, call_id: str, *, audio: bool, record: bool) -> NotedCall:
        self.opened.append((call_id, audio, record))
        self.calls[call_id] = NotedCall(call_id, refuses=self.refuses, connects=self.connects)
        return self.calls[call_id]

    async def close(self) -> None:
        """Nothing is held."""


class Postbox:
    """Takes mails in."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail, recipients: Any, hand_over: Any) -> Report:
        await hand_over()
        self.mails.append(mail)
        return Report({one: Outcome("sent", 250, "OK") for one in recipients})

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class CallDesk:
    """One server of a world that holds calls."""

    world: World
    media: Noted
    post: Postbox
    desk: Any
    call: Call = field(default_factory=caller)

    async def open(self, purpose: str = "Why", call: Call | None = None, **more: Any) -> CallView:
        return (await self.desk.calls.open(call or self.call, OpenCall(purpose=purpose, **more))).call

    async def do(self, call_id: str, action: Any, call: Call | None = None, **more: Any) -> CallResult:
        return await self.desk.calls.control(call or self.call, ControlCall(call_id=call_id, action=action, **more))

    async def join(self, url: str | None, **more: Any) -> Joined:
        return await self.desk.calls.join(token_of(url), JoinCall(offer="o", **more))

    async def see(self, call_id: str) -> CallView:
        return await self.desk.calls.get(self.call, call_id)

    async def until(self, call_id: str, status: str) -> CallView:
        """Wait until a call has a status."""
        async with self.desk.changes.listen("call") as listener, asyncio.timeout(60):
            while (seen := await self.see(call_id)).status != status:
                await listener.wait(10)
        return seen

    async def lines(self, call_id: str) -> list[tuple[str, str, str]]:
        """The transcript: who, kind and text."""
        found = await self.desk.calls.transcript(self.call, call_id, 0)
        return [(line.who, line.kind, line.text) for line in found.lines]


def token_of(url: str | None) -> str:
    """The token of a link."""
    assert url is not None
    return url.removeprefix(f"{BASE}/calls/")


def link_in(mail: Mail) -> str:
    """The link that a mail holds."""
    found = re.search(r"http\S+/calls/\S+", mail.text or "")
    assert found is not None
    return found[0]


def on_desk(world: World, media: Media | None = None, *more: Any) -> Any:
    """A desk that could hold calls on the world's database."""
    return desk_on(
        world.database,
        MediaProvider(lambda: media or Noted(), None),
        *(more or (ApprovalPolicy(links_base=BASE),)),
        clock=world.clock,
        steady=world.clock.steady,
        ids=Ids(),
        chance=lambda: 0.5,
    )


@asynccontextmanager
async def holding(
    world: World,
    *,
    media: Media | None = None,
    mails_leave: bool = False,
    mail: EmailPolicy | None = None,
    **policy: Any,
) -> AsyncGenerator[CallDesk]:
    """A server on the world's database, with its worker for system tasks."""
    noted, post = Noted(), Postbox()
    desk = on_desk(
        world,
        media or noted,
        CallPolicy(**policy),
        ApprovalPolicy(links_base=BASE, mails_leave=mails_leave),
        mail or EmailPolicy(provider="smtp" if mails_leave else "file", sender="desk@example.org"),
        MailProvider(lambda: post),
    )
    worker = asyncio.create_task(SystemWorker(desk, AREAS.kinds).run())
    try:
        yield CallDesk(world, noted, post, desk)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
