"""A client of the Tasks extension, on the SDK's own extension interface: it takes handles and hears of changes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import mcp_types as types
from mcp.client import Client
from mcp.client.extension import ClientExtension, NotificationBinding, ResultClaim
from pydantic import BaseModel, ConfigDict, TypeAdapter

from mcp_server.protocol.task_handles import EXTENSION

ANYTHING = TypeAdapter(dict[str, Any])


class Handle(types.Result):
    model_config = ConfigDict(extra="allow")
    result_type: Literal["task"] = "task"


class Changed(BaseModel):
    model_config = ConfigDict(extra="allow")


class TasksClient(ClientExtension):
    identifier = EXTENSION

    def __init__(self) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self.honored: dict[str, Any] = {}

    async def hear(self, message: Any) -> None:
        """The client's message handler."""
        if isinstance(message, types.SubscriptionsAcknowledgedNotification):
            self.honored = message.params.notifications.model_dump(by_alias=True, exclude_none=True)
            self.acknowledged.set()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        async def resolve(handle: Handle, ctx: Any) -> types.CallToolResult:
            raise AssertionError("these tests take handles themselves")

        return (ResultClaim(result_type="task", model=Handle, resolve=resolve),)

    def notifications(self) -> Sequence[NotificationBinding[Any]]:
        async def take(changed: Changed) -> None:
            self.told.put_nowait(changed.model_dump())

        return (NotificationBinding(method="notifications/tasks", params_type=Changed, handler=take),)


async def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    """Send any request; its raw result."""
    request = types.Request[dict[str, Any], str](method=method, params=params)
    return await client.session.send_request(request, ANYTHING)


async def take_handle(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a slow tool; the handle that it answers at once."""
    answer = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(answer, Handle), answer
    return answer.model_dump(by_alias=True)


@asynccontextmanager
async def watching(client: Client, heard: TasksClient, *task_ids: str) -> AsyncGenerator[None]:
    """A stream of notifications about some tasks."""
    stream = asyncio.create_task(ask(client, "subscriptions/listen", notifications={"taskIds": list(task_ids)}))
    try:
        async with asyncio.timeout(60):
            await heard.acknowledged.wait()
        yield
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
