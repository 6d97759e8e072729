"""What a tool is: data that names it, types its arguments and its result, and points at one service call."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from mcp_server.domain.desk import Desk
from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.meaning import AgentName
from mcp_server.kernel.paging import AtLeast
from mcp_server.kernel.values import Frozen, LeaseToken
from mcp_server.kernel.views import View
from mcp_server.kernel.writes import AnyWrite

if TYPE_CHECKING:
    from mcp_server.domain.approvals.rules import Form
    from mcp_server.domain.tasks.views import TaskView


class Shared(Frozen):
    """What every write takes: the agent that speaks, by id or name, and a lease while which is held it counts."""

    as_agent: AgentName | None = None
    lease_token: LeaseToken | None = None


A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=View)


@dataclass(frozen=True, slots=True)
class Hints:
    """MCP's four annotation hints, each said explicitly."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool = False


READ = Hints(read_only=True, destructive=False, idempotent=True)
ADD = Hints(read_only=False, destructive=False, idempotent=False)
UPDATE = Hints(read_only=False, destructive=False, idempotent=True)
DESTROY = Hints(read_only=False, destructive=True, idempotent=False)


Reference = Literal["agent", "party", "address", "lock", "target"]
"""To what an argument may refer by one of several names."""


def _no_other(args: Any, said: dict[str, Any]) -> "Sequence[Form]":
    del args, said
    return ()


class Alone(NamedTuple):
    """Why a call cannot be one of several, and what to do instead."""

    why: str
    next: str = "Make it on its own."


def _can_be(args: Any) -> Alone | None:
    del args


def _may(args: Any) -> str | None:
    del args


def _nothing(done: Any) -> Sequence[str]:
    del done
    return ()


def _done(done: Any) -> OpsError | None:
    del done


def _as_it_is(args: Any, values: Mapping[str, str]) -> Any:
    del values
    return args


def _no_more(asked: Any, filled: Any) -> str:
    del asked, filled
    return ""


@dataclass(frozen=True, slots=True)
class Part:
    """How a tool's write takes part in a change of several.

    Attributes:
        says: a call of it in words for people, from its checked arguments: one line, in which others' text is quoted.
        makes: the kinds of what a call will make, in the order in which later calls name it: `@0.1`.
        made: the ids of that, from what was applied.
        names: its arguments in which a later call may name so what an earlier one makes, beside those that name agents;
            dotted where they are inside.
        alone: why a call with these arguments cannot take part; None where it can.
        failed: the refusal that an outcome comes to which alone is an answer, such as a lock that another holds.
        refers: its arguments that have several names, dotted where they are inside, and to what they refer.
        forms: further forms in which a call could have been made to the same effect, from its checked arguments and
            these as JSON values: the operator's rules look at each.
        inside: what rules may name beside its arguments: what stands inside of them.
        asks_itself: whether it has people asked by itself where a rule wants that, with more to show than its
            arguments.
        only_now: its arguments that mean something only where it is made on its own, at once.
        is_private: whether its arguments are for those alone who take part, as messages and mails are.
        writes: the document that a call writes, as `namespace/key`.
        value: what the document that a call writes holds then, as JSON text; None where that hangs on what it held.
        reads: the documents that a call reads, before any of the calls lands.
        put_in: a call's arguments with documents put in that calls before write, by their names and values.
        observed: for a call that writes a document: the arguments that refuse it once that is no longer as it is now.
        comes_to: what its content comes to, in words behind those of the call: from the command as it was called, and
            with that put in.
        content: for a call whose arguments name what may change until it is made, such as a template: the command with
            that put in, and what it comes to, as people are shown it; None where the arguments say all.
    """

    says: Callable[[Any], str]
    makes: Callable[[Any], Sequence[str]] = _nothing
    made: Callable[[Any], Sequence[str]] = _nothing
    names: frozenset[str] = frozenset()
    alone: Callable[[Any], Alone | None] = _can_be
    failed: Callable[[Any], OpsError | None] = _done
    refers: Mapping[str, Reference] = field(default_factory=dict[str, Reference])
    forms: "Callable[[Any, dict[str, Any]], Sequence[Form]]" = _no_other
    inside: frozenset[str] = frozenset()
    asks_itself: bool = False
    only_now: frozenset[str] = frozenset()
    is_private: bool = False
    writes: Callable[[Any], str | None] = _may
    value: Callable[[Any], str | None] = _may
    reads: Callable[[Any], Sequence[str]] = _nothing
    put_in: Callable[[Any, Mapping[str, str]], Any] = _as_it_is
    observed: Callable[[Desk, Any], Awaitable[Mapping[str, Any]]] | None = None
    content: Callable[[Desk, Call, Any], Awaitable[tuple[Any, Any] | None]] | None = None
    comes_to: Callable[[Any, Any], str] = _no_more


@dataclass(frozen=True, slots=True)
class Tool(Generic[A, R]):
    """One tool of the catalogue. It says what it does by a service call, or by the write that it is."""

    name: str
    title: str
    description: str
    toolset: Toolset
    permission: Permission
    hints: Hints
    arguments: type[A]
    result: type[R]
    say: Callable[[R], str]
    """A sentence that stands for the result where only text is read."""

    ticket: "Callable[[Desk, Call, A], Awaitable[TaskView | None]] | None" = None
    """For a slow tool: what it does for a client that takes task handles, instead of `does`. Returns the task, or None
    where there is not one alone; then it does what it does for all."""

    does: Callable[[Desk], Callable[[Call, A], Awaitable[R]]] | None = None
    """The service call that it is; unsaid, its `write`."""

    write: Callable[[Desk], AnyWrite] | None = None
    """The change that it makes, whose steps may share a transaction with others'."""

    part: Part | None = None
    """For a composable tool: how its write takes part in a change of several."""

    speaks: str | None = None
    """The argument that may name the agent that speaks, beside `as_agent`."""
    introduces: bool = False
    """Whether the agent that is named so may come to be by the call; then it is not another's doing unless that says
    so."""

    own_lease: bool = False
    """Whether its `lease_token` is what it is about, rather than a condition."""

    others_words: bool = True
    """Whether its result may hold what others wrote; a sentence before it then says so."""

    unsaid: frozenset[str] = frozenset()
    """Members of its result that its text leaves out where they are false or empty, since its sentence says so."""

    named: frozenset[str] = frozenset()
    """Members of its result that its text leaves out where they hold no more than an id and a status: the caller named
    the one, and its sentence says the other."""

    foreseen: Callable[[Desk], AnyWrite] | None = None
    """The write of which is told beside what is wrong with the arguments what its service would refuse then: to prepare
    it takes looks alone."""

    asks_person: bool = False
    """Whether the person at the client may be asked something."""

    @property
    def writes(self) -> bool:
        """Whether it changes something; then it takes who speaks and under which lease."""
        return not self.hints.read_only

    def names_made(self) -> frozenset[str]:
        """The arguments in which a call may name what one before it makes: those that its part says, and wherever
        agents are named, but by the call that introduces one."""
        if self.part is None:
            return frozenset()
        agents = {name for name, kind in self.part.refers.items() if kind in ("agent", "party")}
        return self.part.names | agents - ({self.speaks} if self.introduces else set())

    def run(self, desk: Desk) -> Callable[[Call, A], Awaitable[R]]:
        """What answers a call."""
        does = self.does or self.write
        assert does is not None, f"{self.name} does something"
        return does(desk)


AnyTool = Tool[Any, Any]


def counted(count: int, noun: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def listed(count: int, noun: str, omitted: int | None, standing: Iterable[str] = ()) -> str:
    """`3 tasks: 2 queued, 1 failed; 17 more behind next_cursor.`"""
    each = Counter[str](standing if count > 1 else ())
    how = f": {', '.join(f'{many} {status}' for status, many in each.items())}" if each else ""
    if not omitted:
        return f"{counted(count, noun)}{how}."
    known = "at least " if isinstance(omitted, AtLeast) else ""
    return f"{counted(count, noun)}{how}; {known}{omitted} more behind next_cursor."


def several(texts: Sequence[str], shown_max: int = 5) -> str:
    """The first of them in a row, and how many more there are."""
    more = f" and {len(texts) - shown_max} more" if len(texts) > shown_max else ""
    return f"{', '.join(texts[:shown_max])}{more}"
