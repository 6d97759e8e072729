"""Telling clients of changes, whichever process made them: `subscriptions/listen` on 2026-07-28, and
`resources/subscribe` before it.

Each stream has a listener of its own on the event feed, which drops what a client does not read. A burst of changes to
one resource is told once.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, cast

import anyio
import mcp_types as types
from mcp.server.connection import Connection
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST

from mcp_server.protocol.changes import changed_uris, plain
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import RequestContext, Seam
from mcp_server.protocol.task_handles import TaskHandles
from mcp_server.services.desk import Desk
from mcp_server.services.ports import Listener, Row

COALESCE_SECONDS = 0.02
"""How long a stream rests between two rounds, so that a burst becomes one notification for each resource."""

STREAMS_MAX = 1024
LISTEN_SECONDS = 3600.0


class TaskNotificationParams(types.NotificationParams):
    """The task's id and status, and its result once it has one."""

    model_config = types.SubscriptionFilter.model_config


class TaskNotification(types.Notification[TaskNotificationParams, Literal["notifications/tasks"]]):
    """A task that the client has a handle of has changed."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: TaskNotificationParams


class Subscriptions:
    """Every open stream of one server."""

    def __init__(self, desk: Desk, seam: Seam, reads: ResourceReads, handles: TaskHandles) -> None:
        self._desk = desk
        self._seam = seam
        self._reads = reads
        self._handles = handles
        self._streams = 0
        self._legacy: dict[Connection, set[str]] = {}

    async def listen(
        self, ctx: RequestContext, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream until its client goes."""
        if ctx.request_id is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen requires a request id")
        if self._streams >= STREAMS_MAX:
            raise MCPError(INTERNAL_ERROR, f"This server has {STREAMS_MAX} subscription streams open; close one.")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        uris, task_ids = await self._wanted(ctx, params.notifications)
        self._streams += 1
        try:
            async with self._desk.changes.listen() as listener:
                await self._acknowledge(ctx, uris, task_ids, meta)
                await self._serve(ctx, listener, uris, task_ids, meta)
        finally:
            self._streams -= 1
        return types.SubscriptionsListenResult(_meta=meta)

    async def subscribe(self, ctx: RequestContext, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Subscribe an earlier client's connection to one resource."""
        uri = str(params.uri)
        self._reads.require(ctx, uri)
        connection = _connection(ctx)
        if connection not in self._legacy:
            self._legacy[connection] = set()
            listening = asyncio.Event()
            pump = asyncio.create_task(self._pump(connection, listening), name="legacy-subscriptions")

            def stop() -> None:
                self._legacy.pop(connection, None)
                pump.cancel()

            connection.exit_stack.callback(stop)
            try:
                await _ready(listening, pump)  # a change made right after the answer must not be missed
            except BaseException:
                stop()
                raise
        self._legacy.setdefault(connection, set()).add(uri)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: RequestContext, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """End a subscription; one that does not exist is no mistake."""
        self._legacy.get(_connection(ctx), set()).discard(str(params.uri))
        return types.EmptyResult()

    async def _wanted(self, ctx: RequestContext, asked: types.SubscriptionFilter) -> tuple[set[str], set[str]]:
        """The part of what was asked for that exists and the caller may see."""
        uris = {uri for uri in asked.resource_subscriptions or () if self._reads.allows(ctx, uri)}
        extra: Mapping[str, Any] = asked.model_extra or {}
        asked_ids = [task_id for task_id in extra.get("taskIds") or () if isinstance(task_id, str)]
        task_ids = {task_id for task_id in asked_ids if await self._handles.may_see(ctx, task_id)}
        return uris, task_ids

    async def _acknowledge(self, ctx: RequestContext, uris: set[str], task_ids: set[str], meta: dict[str, Any]) -> None:
        honored = types.SubscriptionFilter.model_validate(
            {"resource_subscriptions": sorted(uris) or None} | ({"taskIds": sorted(task_ids)} if task_ids else {})
        )
        params = types.SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
        await ctx.session.send_notification(
            types.SubscriptionsAcknowledgedNotification(params=params), related_request_id=ctx.request_id
        )

    async def _serve(
        self, ctx: RequestContext, listener: Listener, uris: set[str], task_ids: set[str], meta: dict[str, Any]
    ) -> None:
        while True:
            events = await listener.wait(LISTEN_SECONDS)
            for uri in sorted(_changed(listener, events, uris)):
                updated = types.ResourceUpdatedNotificationParams(uri=uri, _meta=meta)
                await ctx.session.send_notification(
                    types.ResourceUpdatedNotification(params=updated), related_request_id=ctx.request_id
                )
            for task_id in sorted({event["aggregate_id"] for event in events} & task_ids):
                shown = await self._handles.shown(ctx, task_id)
                told = TaskNotification(params=TaskNotificationParams.model_validate(shown | {"_meta": meta}))
                # The SDK's type lists the core's notifications only; an extension's are sent the same way.
                await ctx.session.send_notification(cast("Any", told), related_request_id=ctx.request_id)
            await anyio.sleep(COALESCE_SECONDS)

    async def _pump(self, connection: Connection, listening: asyncio.Event) -> None:
        """Tell one earlier client of changes, until its connection ends."""
        async with self._desk.changes.listen() as listener:
            listening.set()
            while True:
                events = await listener.wait(LISTEN_SECONDS)
                for uri in sorted(_changed(listener, events, self._legacy.get(connection, set()))):
                    await connection.notify("notifications/resources/updated", {"uri": uri})
                await asyncio.sleep(COALESCE_SECONDS)


async def _ready(listening: asyncio.Event, pump: asyncio.Task[None]) -> None:
    """Until the pump listens, or has failed: then what it failed of is raised."""
    waiting = asyncio.create_task(listening.wait())
    try:
        await asyncio.wait((waiting, pump), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if pump.done() and not pump.cancelled():
        pump.result()


def _changed(listener: Listener, events: list[Row], uris: set[str]) -> set[str]:
    """Which of the subscribed resources changed: all of them, to be safe, where some events were dropped."""
    if listener.take_overflow():
        return set(uris)
    changed = changed_uris(events)
    return {uri for uri in uris if plain(uri) in changed}


def _connection(ctx: RequestContext) -> Connection:
    # The SDK gives handlers no public way to the connection, and a subscription must outlive its request.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]
