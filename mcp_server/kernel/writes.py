"""A change in three steps: `prepare` (async: may it be, reads, whatever is dear), `apply` (in the transaction) and
`view` (what the caller is told). Several changes whose steps are kept apart can land in one transaction."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call, Context
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction

REPEATS_MAX = 5

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")


class Moved(Exception):
    """What `prepare` computed rests on what has changed since: it is to be prepared again. Raised by `apply` before it
    wrote anything."""


@dataclass(frozen=True, slots=True)
class Write(Generic[C, D, T, R]):
    """One change, bound to its context: called with a command, it does all three steps.

    Attributes:
        context: the store, the clock, ids.
        permission: what the caller needs.
        prepare: from the command to what is applied. Changes nothing.
        apply: a transaction function.
        view: from what was applied to what the caller sees.
        late: what is applied instead where what was prepared was overtaken again and again; it is never overtaken.
    """

    context: Context
    permission: Permission
    prepare: Callable[[Call, C], Awaitable[D]]
    apply: Callable[[Transaction, Origin, D], T]
    view: Callable[[Call, T], Awaitable[R]]
    late: Callable[[D], D] | None = None

    async def __call__(self, call: Call, command: C) -> R:
        """Make the change.

        Raises:
            OpsError: it may not or cannot be made; nothing was changed.
        """

        async def land(prepared: list[Any]) -> T:
            return await self.context.write(call, self.apply, *prepared)

        return await self.view(call, await _landed(call, [(self, command)], land))

    async def prepared(self, call: Call, command: C) -> D:
        """The first step, once the caller may make the change at all.

        Raises:
            OpsError: it may not or cannot be made.
        """
        call.actor.require(self.permission)
        return await self.prepare(call, command)


AnyWrite = Write[Any, Any, Any, Any]


async def as_said(call: Call, command: C) -> C:
    """To prepare nothing: the command is what is applied."""
    del call
    return command


async def write_together(call: Call, context: Context, changes: Sequence[tuple[AnyWrite, Any]]) -> list[Any]:
    """Make several changes in one transaction, all or none, in the order given; what the caller sees of each.

    Args:
        call: who makes them.
        context: whose store they go to.
        changes: each with its command.

    Raises:
        OpsError: what the first one that was refused says; nothing was changed.
    """

    async def land(prepared: list[Any]) -> list[Any]:
        return await context.write(call, _applied, [write.apply for write, _ in changes], prepared)

    done = await _landed(call, changes, land)
    return [await write.view(call, one) for (write, _), one in zip(changes, done, strict=True)]


async def _landed(call: Call, changes: Sequence[tuple[AnyWrite, Any]], land: Callable[[list[Any]], Awaitable[T]]) -> T:
    """Prepare and apply; where that was overtaken, prepare again, and at last so that nothing can overtake it."""
    for _ in range(REPEATS_MAX):
        with contextlib.suppress(Moved):
            return await _tried(land, [await write.prepared(call, command) for write, command in changes])
    prepared = [(write.late, await write.prepared(call, command)) for write, command in changes]
    return await _tried(land, [one if late is None else late(one) for late, one in prepared])


async def _tried(land: Callable[[list[Any]], Awaitable[T]], prepared: list[Any]) -> T:
    try:
        return await land(prepared)
    except OpsError as error:
        if not error.is_explained:
            await asyncio.to_thread(error.explain)
        raise


def _applied(
    tx: Transaction, origin: Origin, applies: Sequence[Callable[[Transaction, Origin, Any], Any]], prepared: list[Any]
) -> list[Any]:
    return [apply(tx, origin, one) for apply, one in zip(applies, prepared, strict=True)]
