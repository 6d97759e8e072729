"""Telling clients of changes, whichever process made them: `subscriptions/listen` on 2026-07-28, and
`resources/subscribe` before it.

One listener serves all streams; what a client does not read in time is told once when it does, however often it
changed.
"""

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast

import anyio
import mcp_types as types
from mcp.server.connection import Connection
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.errors import Busy, Unavailable
from mcp_server.protocol.changes import ChangeHub, Stream
from mcp_server.protocol.letting_in import LettingIn
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import RequestContext, Seam
from mcp_server.protocol.task_handles import TaskHandles

COALESCE_SECONDS = 0.1
"""How long a stream rests after a round, so that a burst becomes one notification for each resource. The first change
after a rest is told at once."""

STREAMS_MAX = 1024
"""How many streams one server has open at most; one principal with a key has half of what others leave."""


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
        self._hub = ChangeHub(desk.changes, desk.areas, desk.loops)
        self._streams: Counter[str] = Counter()
        self._legacy: dict[Connection, Stream] = {}
        self._opening = asyncio.Lock()
        self._letting_in = LettingIn(desk)
        self._lasting: set[Connection] = set()

    async def listen(
        self, ctx: RequestContext, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream until its client goes, or the server ends."""
        if ctx.request_id is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen requires a request id")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        with self._counted(self._seam.actor_of(ctx)):
            uris, task_ids = await self._wanted(ctx, params.notifications)
            async with self._hub.stream() as stream:
                for uri in uris:
                    self._hub.watch(stream, uri, self._seen(ctx))
                for task_id in task_ids:
                    self._hub.watch_task(stream, task_id)
                await self._acknowledge(ctx, uris, task_ids, meta)
                await self._serve(ctx, stream, meta)
        return types.SubscriptionsListenResult(_meta=meta)

    @contextmanager
    def _counted(self, actor: Actor) -> Generator[None]:
        """One more stream of a principal, until it ends. However many it opens, there is room for another's; the local
        user has the server to itself.

        Raises:
            MCPError: it has too many.
        """
        own = self._streams[actor.label]
        room = STREAMS_MAX - self._streams.total() + own
        if own >= (room if actor.is_local else (room + 1) // 2):
            raise MCPError(INTERNAL_ERROR, f"{actor.label} has {own} subscription streams open here; close one.")
        self._streams[actor.label] += 1
        try:
            yield
        finally:
            self._streams[actor.label] -= 1
            self._streams += Counter()  # forgets who has none

    async def subscribe(self, ctx: RequestContext, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Subscribe an earlier client's connection to one resource."""
        uri = str(params.uri)
        await self._reads.require(ctx, uri)
        self._hub.watch(await self._legacy_stream(_connection(ctx)), uri, self._seen(ctx))
        await self._end_with_its_caller(ctx)
        return types.EmptyResult()

    async def _end_with_its_caller(self, ctx: RequestContext) -> None:
        """Let the stream of an earlier client's connection end when its caller is not let in any more."""
        connection = _connection(ctx)
        if connection not in self._lasting:
            self._lasting.add(connection)
            connection.exit_stack.callback(self._lasting.discard, connection)

            def end() -> None:
                stream = self._legacy.pop(connection, None)
                if stream is not None:
                    stream.end()

            lasting = self._letting_in.lasting(self._seam.actor_of(ctx), end)
            await connection.exit_stack.enter_async_context(lasting)

    async def _legacy_stream(self, connection: Connection) -> Stream:
        """The one stream of an earlier client's connection, which lives as long as the connection."""
        async with self._opening:  # two requests of one client may come at the same time
            stream = self._legacy.get(connection)
            if stream is None:
                stream = await connection.exit_stack.enter_async_context(self._hub.stream())
                self._legacy[connection] = stream
                kept = self._desk.loops.keep("legacy-subscriptions", lambda: self._pump(connection, stream))
                pump = asyncio.create_task(kept, name="legacy-subscriptions")

                def stop() -> None:
                    self._legacy.pop(connection, None)
                    pump.cancel()

                connection.exit_stack.callback(stop)
            return stream

    async def unsubscribe(self, ctx: RequestContext, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """End a subscription; one that does not exist is no mistake."""
        stream = self._legacy.get(_connection(ctx))
        if stream is not None:
            self._hub.unwatch(stream, str(params.uri))
        return types.EmptyResult()

    def _seen(self, ctx: RequestContext) -> frozenset[str]:
        actor = self._seam.actor_of(ctx)
        return self._desk.areas.seen(actor.permissions, self._seam.toolsets_of(actor))

    async def _wanted(self, ctx: RequestContext, asked: types.SubscriptionFilter) -> tuple[set[str], set[str]]:
        """The part of what was asked for that exists and the caller may see."""
        uris = {uri for uri in asked.resource_subscriptions or () if await self._reads.allows(ctx, uri)}
        return uris, {task_id for task_id in _task_ids(asked) if await self._handles.may_see(ctx, task_id)}

    async def _acknowledge(self, ctx: RequestContext, uris: set[str], task_ids: set[str], meta: dict[str, Any]) -> None:
        honored = types.SubscriptionFilter.model_validate(
            {"resource_subscriptions": sorted(uris) or None} | ({"taskIds": sorted(task_ids)} if task_ids else {})
        )
        params = types.SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
        await ctx.session.send_notification(
            types.SubscriptionsAcknowledgedNotification(params=params), related_request_id=ctx.request_id
        )

    async def _serve(self, ctx: RequestContext, stream: Stream, meta: dict[str, Any]) -> None:
        """Tell one client of changes; again, where the store failed for a while.

        Raises:
            Exception: anything else ends the stream, as the answer to its request, and concerns no other.
        """
        ended: list[Exception] = []

        async def tell() -> None:
            try:
                while not stream.is_over:
                    await self._round(ctx, stream, meta)
                    await anyio.sleep(COALESCE_SECONDS)
            except (Busy, Unavailable):
                raise
            except Exception as error:
                ended.append(error)

        async with self._letting_in.lasting(self._seam.actor_of(ctx), stream.end):
            await self._desk.loops.keep("subscriptions", tell)
        if ended:
            raise ended[0]

    async def _round(self, ctx: RequestContext, stream: Stream, meta: dict[str, Any]) -> None:
        uris, task_ids = await stream.wait()
        try:
            for uri in uris:
                updated = types.ResourceUpdatedNotificationParams(uri=uri, _meta=meta)
                await ctx.session.send_notification(
                    types.ResourceUpdatedNotification(params=updated), related_request_id=ctx.request_id
                )
            for task_id in task_ids:
                shown = await self._handles.shown(ctx, task_id)
                told = TaskNotification(params=TaskNotificationParams.model_validate(shown | {"_meta": meta}))
                # The SDK's type lists the core's notifications only; an extension's are sent the same way.
                await ctx.session.send_notification(cast("Any", told), related_request_id=ctx.request_id)
        except Exception:
            stream.tell(uris, task_ids)  # in the next round
            raise

    async def _pump(self, connection: Connection, stream: Stream) -> None:
        """Tell one earlier client of changes, until its connection ends."""
        while self._legacy.get(connection) is stream and not stream.is_over:
            uris, _ = await stream.wait()
            try:
                for uri in uris:
                    await connection.notify("notifications/resources/updated", {"uri": uri})
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                return  # the client has gone, and the connection is about to end
            except Exception:
                stream.tell(uris)  # in the next round
                raise
            await asyncio.sleep(COALESCE_SECONDS)


def _connection(ctx: RequestContext) -> Connection:
    # The SDK gives handlers no public way to the connection, and a subscription must outlive its request.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]


def _task_ids(asked: types.SubscriptionFilter) -> list[str]:
    extra: Mapping[str, Any] = asked.model_extra or {}
    return [task_id for task_id in extra.get("taskIds") or () if isinstance(task_id, str)]
