"""A change in three steps: `prepare` (async: may it be, reads, whatever is dear), `apply` (in the transaction) and
`view` (what the caller is told). Several changes whose steps are kept apart can land in one transaction."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call, Context, while_allowed
from mcp_server.kernel.errors import LimitExceeded, OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Transaction

REPEATS_MAX = 5
ROWS_MAX = 200
"""How many rows several changes together may write: all others wait meanwhile."""

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")


LEFT_BEHIND: ContextVar[dict[str, Any] | None] = ContextVar("left_behind", default=None)
"""What the changes that were prepared before for the same transaction will have made of what was read, by its id; None
where a change is prepared by itself. Without it, a second change of one thing would rest on what the first changed."""


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

        async def prepare() -> D:
            return await self.prepared(call, command)

        async def land(prepared: D) -> T:
            return await self.context.write(call, self.apply, prepared)

        done = await _landed(prepare, land, self.late)
        with _stands():
            return await self.view(call, done)

    async def prepared(self, call: Call, command: C) -> D:
        """The first step, once the caller may make the change at all.

        Raises:
            OpsError: it may not or cannot be made.
        """
        call.actor.require(self.permission)
        await self.context.guard(call, self, command)
        return await self.prepare(call, command)


AnyWrite = Write[Any, Any, Any, Any]


async def as_said(call: Call, command: C) -> C:
    """To prepare nothing: the command is what is applied."""
    del call
    return command


def _makes_nothing(done: Any) -> Sequence[str]:
    del done
    return ()


def _is_done(done: Any) -> OpsError | None:
    del done


class Place(NamedTuple):
    """Where a call stands among several: the argument that holds them, its number from 0, and its tool."""

    argument: str
    number: int
    tool: str

    @contextlib.contextmanager
    def named(self) -> Generator[None]:
        """Whatever is refused inside says where."""
        try:
            yield
        except OpsError as error:
            where = f"{self.argument}[{self.number}]"
            error.placed(f"{where} {named(self.tool)}", {"call": self.number, "tool": self.tool})
            raise


@dataclass(frozen=True, slots=True)
class Change:
    """One of several changes that land together.

    Attributes:
        call: who makes it.
        write: what it is.
        command: of what.
        place: where it stands, for refusals; None where it stands alone.
        voiced: for one in which an agent speaks that a change before it registers: the call as that agent, once it is
            there, given the ids that each has made.
        bound: for one that names what changes before it make: what is applied, given the ids that each has made.
        made: the ids of what it made, from what was applied.
        failed: the refusal that its outcome comes to, where alone it might end without having done anything.
    """

    call: Call
    write: AnyWrite
    command: Any
    place: Place | None = None
    bound: Callable[[Sequence[Sequence[str]]], Any] | None = field(default=None, compare=False)
    voiced: Callable[[Transaction, Sequence[Sequence[str]]], Call] | None = field(default=None, compare=False)
    made: Callable[[Any], Sequence[str]] = _makes_nothing
    failed: Callable[[Any], OpsError | None] = _is_done

    @contextlib.contextmanager
    def named(self) -> Generator[None]:
        """Whatever is refused inside names this change."""
        with contextlib.nullcontext() if self.place is None else self.place.named():
            yield


class Landing(Protocol):
    """Applies all changes, each caused by an event where one is named; the ids that each has made."""

    def __call__(self, cause: int | None = None) -> list[Sequence[str]]: ...


Frame = Callable[[Transaction, Origin, Landing], T]
"""A transaction function around several changes: it applies them, or does not."""


class Together(NamedTuple, Generic[T]):
    """What a frame told, and what the caller sees of each change, where they were applied."""

    told: T
    views: list[Any]


def bare(tx: Transaction, origin: Origin, apply: Landing) -> None:
    """A frame that does nothing but to apply the changes."""
    del tx, origin
    apply()


async def write_together(
    call: Call, context: Context, changes: Sequence[Change], frame: Frame[T] = bare
) -> Together[T]:
    """Make several changes in one transaction, all or none, in the order given.

    Args:
        call: who has them land.
        context: whose store they go to.
        changes: each with who makes it, who may be another.
        frame: what else happens in that transaction.

    Raises:
        OpsError: what the first one that was refused says, by its name; nothing was changed.
    """

    async def prepare() -> list[Any]:
        with _one_after_the_other():
            return [await _prepared(one) for one in changes]

    async def land(prepared: list[Any]) -> tuple[T, list[Any]]:
        return await context.write(call, _together, frame, _Applying(call, context, changes, prepared))

    def late(prepared: list[Any]) -> list[Any]:
        lates = [one.write.late for one in changes]
        return [one if late is None else late(one) for late, one in zip(lates, prepared, strict=True)]

    told, done = await _landed(prepare, land, late)
    with _stands():
        views = [await one.write.view(one.call, result) for one, result in zip(changes, done, strict=False)]
    return Together(told, views)


async def require_possible(call: Call, context: Context, changes: Sequence[Change]) -> None:
    """Refuse changes that could not be made now, together: they are made, and undone before anybody sees them. The
    operator's rules are not asked.

    Raises:
        OpsError: as `write_together` does.
    """
    with contextlib.suppress(Undone, Moved):
        prepared: list[Any] = []
        with _one_after_the_other():
            for one in changes:
                with one.named():
                    prepared.append(await one.write.prepare(one.call, one.command))
        await _tried(partial(context.write, call, _undone), _Applying(call, context, changes, prepared))


@contextlib.contextmanager
def _one_after_the_other() -> Generator[None]:
    """Changes are prepared inside that are applied in one transaction: each notes what it leaves for those after it."""
    token = LEFT_BEHIND.set({})
    try:
        yield
    finally:
        LEFT_BEHIND.reset(token)


class Undone(Exception):
    """Ends the transaction of a trial, so that nothing of it stays."""


def undo(tx: Transaction) -> NoReturn:
    """End a trial in which all could be applied: what is held back is written, and so checked, and then undone.

    Raises:
        Undone: always.
    """
    tx.settle()
    raise Undone


def _undone(tx: Transaction, origin: Origin, applying: "_Applying") -> None:
    applying.all(tx, origin)
    undo(tx)


@contextlib.contextmanager
def _stands() -> Generator[None]:
    """What is refused inside is how a change that has landed is told: it says that it has, else its caller makes it
    again. So views read as little as they can; `apply` hands them what they tell."""
    try:
        yield
    except OpsError as error:
        error.stands()
        raise


async def _landed(
    prepare: Callable[[], Awaitable[D]], land: Callable[[D], Awaitable[T]], late: Callable[[D], D] | None
) -> T:
    """Prepare and apply; where that was overtaken, prepare again, and at last so that nothing can overtake it."""
    for _ in range(REPEATS_MAX):
        try:
            return await _tried(land, await prepare())
        except Moved:
            continue
    prepared = await prepare()
    return await _tried(land, prepared if late is None else late(prepared))


async def _prepared(change: Change) -> Any:
    with change.named():
        return await change.write.prepared(change.call, change.command)


async def _tried(land: Callable[[D], Awaitable[T]], prepared: D) -> T:
    try:
        return await land(prepared)
    except OpsError as error:
        if not error.is_explained:
            await asyncio.to_thread(error.explain)
        raise


class _Applying(NamedTuple):
    """Several changes with what was prepared for each."""

    call: Call
    context: Context
    changes: Sequence[Change]
    prepared: Sequence[Any]

    def all(self, tx: Transaction, origin: Origin) -> tuple[list[Any], list[Sequence[str]]]:
        """Apply all of them: what came of each, and what each has made."""
        done: list[Any] = []
        made: list[Sequence[str]] = []
        before = tx.events_appended
        for change, prepared in zip(self.changes, self.prepared, strict=True):
            with change.named():
                call = change.call if change.voiced is None else change.voiced(tx, made)
                bound = prepared if change.bound is None else change.bound(made)
                done.append(self._one(tx, origin, change, call, bound))
                if tx.events_appended - before > ROWS_MAX:
                    raise _too_many()
            made.append(change.made(done[-1]))
        return done, made

    def _one(self, tx: Transaction, origin: Origin, change: Change, call: Call, prepared: Any) -> Any:
        apply = change.write.apply
        if call is self.call:
            done = apply(tx, origin, prepared)
        else:
            own = self.context.origin(call)._replace(at=origin.at, causation_seq=origin.causation_seq)
            guarded = own.lease_token not in (None, origin.lease_token)
            done = while_allowed(tx, own, apply, prepared) if guarded else apply(tx, own, prepared)
        refused = change.failed(done)
        if refused is not None:
            raise refused
        return done


def _together(tx: Transaction, origin: Origin, frame: Frame[T], applying: _Applying) -> tuple[T, list[Any]]:
    done: list[Any] = []

    def apply(cause: int | None = None) -> list[Sequence[str]]:
        results, made = applying.all(tx, origin if cause is None else origin.caused_by(cause))
        done.extend(results)
        return made

    return frame(tx, origin, apply), done


def _too_many() -> LimitExceeded:
    return LimitExceeded(
        f"Together these calls write more than {ROWS_MAX} rows, and everybody else waits for one change.",
        next="Split them into several.",
        details={"rows_max": ROWS_MAX},
    )
