"""A change in three steps: `prepare` (async: may it be, reads, whatever is dear), `apply` (in the transaction) and
`view` (what the caller is told). Several changes whose steps are kept apart can land in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call, Context
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Write(Generic[C, D, T, R]):
    """One change, bound to its context: called with a command, it does all three steps.

    Attributes:
        context: the store, the clock, ids.
        permission: what the caller needs.
        prepare: from the command to what is applied. Changes nothing.
        apply: a transaction function.
        view: from what was applied to what the caller sees.
    """

    context: Context
    permission: Permission
    prepare: Callable[[Call, C], Awaitable[D]]
    apply: Callable[[Transaction, Origin, D], T]
    view: Callable[[Call, T], Awaitable[R]]

    async def __call__(self, call: Call, command: C) -> R:
        """Make the change.

        Raises:
            OpsError: it may not or cannot be made; nothing was changed.
        """
        prepared = await self.prepared(call, command)
        done = await self.context.database.write(*self.context.written(call, self.apply, prepared))
        return await self.view(call, done)

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
    prepared = [(write, await write.prepared(call, command)) for write, command in changes]

    def apply(tx: Transaction, origin: Origin) -> list[Any]:
        return [write.apply(tx, origin, one) for write, one in prepared]

    done = await context.write(call, apply)
    return [await write.view(call, one) for (write, _), one in zip(prepared, done, strict=True)]
