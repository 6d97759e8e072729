"""Telling clients of changes, whichever process made them: `subscriptions/listen` on 2026-07-28, and
`resources/subscribe` before it.

One listener serves all streams; what a client does not read in time is told once when it does, however often it
changed.
"""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Literal, NamedTuple, cast

import anyio
import mcp_types as types
from mcp.server.connection import Connection
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST

from mcp_server.domain.desk import Desk
from mcp_server.kernel.errors import Busy, LimitExceeded, Unavailable
from mcp_server.kernel.limits import Caller, Held, Thing
from mcp_server.protocol.changes import ChangeHub, Stream
from mcp_server.protocol.letting_in import LettingIn
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.seam import RequestContext, Seam, error_content, waits
from mcp_server.protocol.task_handles import TaskHandles

COALESCE_SECONDS = 0.1
"""How long a stream rests after a round, so that a burst becomes one notification for each resource. The first change
after a rest is told at once."""


class TaskNotificationParams(types.NotificationParams):
    """The task's id and status, and its result once it has one."""

    model_config = types.SubscriptionFilter.model_config


class TaskNotification(types.Notification[TaskNotificationParams, Literal["notifications/tasks"]]):
    """A task that the client has a handle of has changed."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: TaskNotificationParams


class _Legacy(NamedTuple):
    """The stream of an earlier client's connection, and how many resources it is counted for."""

    stream: Stream
    held: Held


class Subscriptions:
    """Every open stream of one server."""

    def __init__(self, desk: Desk, seam: Seam, reads: ResourceReads, handles: TaskHandles) -> None:
        self._desk = desk
        self._seam = seam
        self._reads = reads
        self._handles = handles
        self._hub = ChangeHub(desk.changes, desk.areas, desk.loops)
        self._limits = seam.limits
        self._legacy: dict[Connection, _Legacy] = {}
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
        caller = Caller.of(self._seam.actor_of(ctx))
        with _told(), self._limits.holding(Thing.STREAMS, caller), self._limits.holding(Thing.URIS, caller, 0) as held:
            self._limits.require_few(len(params.notifications.resource_subscriptions or ()))
            uris, task_ids = await self._wanted(ctx, params.notifications)
            self._limits.require_few(len(uris) + len(task_ids))
            held.more(len(uris) + len(task_ids))
            async with self._hub.stream() as stream:
                for uri in uris:
                    self._hub.watch(stream, uri, self._seen(ctx))
                for task_id in task_ids:
                    self._hub.watch_task(stream, task_id)
                await self._acknowledge(ctx, uris, task_ids, meta)
                waits(ctx)
                await self._serve(ctx, stream, meta)
        return types.SubscriptionsListenResult(_meta=meta)

    async def subscribe(self, ctx: RequestContext, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Subscribe an earlier client's connection to one resource."""
        uri = str(params.uri)
        await self._reads.require(ctx, uri)
        with _told():
            stream, held = await self._legacy_stream(ctx)
            if uri not in stream.watched:
                self._limits.require_few(len(stream.watched) + 1)
                held.more()
        self._hub.watch(stream, uri, self._seen(ctx))
        await self._end_with_its_caller(ctx)
        return types.EmptyResult()

    async def _end_with_its_caller(self, ctx: RequestContext) -> None:
        """Let the stream of an earlier client's connection end when its caller is not let in any more."""
        connection = _connection(ctx)
        if connection not in self._lasting:
            self._lasting.add(connection)
            connection.exit_stack.callback(self._lasting.discard, connection)

            def end() -> None:
                legacy = self._legacy.pop(connection, None)
                if legacy is not None:
                    legacy.stream.end()

            lasting = self._letting_in.lasting(self._seam.actor_of(ctx), end)
            await connection.exit_stack.enter_async_context(lasting)

    async def _legacy_stream(self, ctx: RequestContext) -> "_Legacy":
        """The one stream of an earlier client's connection, which lives as long as the connection."""
        connection = _connection(ctx)
        async with self._opening:  # two requests of one client may come at the same time
            legacy = self._legacy.get(connection)
            if legacy is None:
                caller = Caller.of(self._seam.actor_of(ctx))
                async with AsyncExitStack() as stack:
                    stack.enter_context(self._limits.holding(Thing.STREAMS, caller))
                    held = stack.enter_context(self._limits.holding(Thing.URIS, caller, 0))
                    stream = await stack.enter_async_context(self._hub.stream())
                    connection.exit_stack.push_async_exit(stack.pop_all())
                self._legacy[connection] = legacy = _Legacy(stream, held)
                kept = self._desk.loops.keep("legacy-subscriptions", lambda: self._pump(connection, stream))
                pump = asyncio.create_task(kept, name="legacy-subscriptions")

                def stop() -> None:
                    self._legacy.pop(connection, None)
                    pump.cancel()

                connection.exit_stack.callback(stop)
            return legacy

    async def unsubscribe(self, ctx: RequestContext, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """End a subscription; one that does not exist is no mistake."""
        legacy, uri = self._legacy.get(_connection(ctx)), str(params.uri)
        if legacy is not None and uri in legacy.stream.watched:
            self._hub.unwatch(legacy.stream, uri)
            legacy.held.less()
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
        while connection in self._legacy and not stream.is_over:
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


@contextmanager
def _told() -> Generator[None]:
    """Tell of a limit as MCP tells of what goes wrong outside of tools."""
    try:
        yield
    except LimitExceeded as error:
        raise MCPError(INTERNAL_ERROR, error.message, error_content(error)) from None


def _connection(ctx: RequestContext) -> Connection:
    # The SDK gives handlers no public way to the connection, and a subscription must outlive its request.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]


def _task_ids(asked: types.SubscriptionFilter) -> list[str]:
    extra: Mapping[str, Any] = asked.model_extra or {}
    return [task_id for task_id in extra.get("taskIds") or () if isinstance(task_id, str)]
