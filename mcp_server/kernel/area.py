"""AREA: the record by which an area of the domain is wired into the house. It is data; what the house does with all of
them is derived in `kernel/areas.py`."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.events import SNAPSHOT, Event, Origin
from mcp_server.kernel.handling import Handler
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.records import Record
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Heard, Hook, ReadAhead, Transaction
from mcp_server.kernel.telling import Telling, whole

if TYPE_CHECKING:
    from mcp_server.kernel.areas import Areas

_DOMAIN = Path(__file__).parents[1] / "domain"

Toolset = Literal["agents", "tasks", "state", "deployments", "communication", "system"]
"""A part of the catalogues, as the operator turns it on and off. Everything that a client can reach belongs to one."""

Kind = type[Record]
Rows = Iterator[dict[str, Any]]
Fold = Callable[[Transaction, Origin, Event], None]
SnapshotOf = Callable[[Transaction, str], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, as upkeep needs to know it.

    Attributes:
        name: of the table. Those that others refer to stand before them.
        key: how many of its first columns are its key.
        exported: whether it goes along into another database.
        copied: whether a copy of the file holds it; not what belongs to the place that it was made at.
        local: columns that mean nothing in another database.
        rebuilt: what of it the events account for, as a query in the order of its key; "" for all of it, None for
            nothing.
        condensed: prepares the stored rows for the comparison with those rebuilt, given a connection to the latter.
    """

    name: str
    key: int = 1
    exported: bool = True
    copied: bool = True
    local: frozenset[str] = frozenset()
    rebuilt: str | None = ""
    condensed: Callable[[Rows, Any], Rows] | None = None

    def comparison(self) -> str | None:
        """The query whose rows a rebuild must give as well; None where it need not."""
        order = ", ".join(str(place + 1) for place in range(self.key))
        return self.rebuilt if self.rebuilt != "" else f"SELECT * FROM {self.name} ORDER BY {order}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Searched:
    """Where things stand that are found by their text.

    Attributes:
        kind: the type of the aggregate.
        every: the statement that reads all of them, by their `id`, from after `:after` on, `:limit` at most. Where
            their list has the newest first, `at` is since when they are there.
        text: of such a row the folded text.
        in_time: the same in the order of that time, from after `:after_at` and `:after` on.
    """

    kind: str
    every: str
    text: Callable[[Mapping[str, Any]], str]
    in_time: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A kind of thing that events tell of.

    Attributes:
        type: as events name it.
        events: what can happen to it, and what is told of that: by the types of its events without the type itself. A
            snapshot, unsaid, tells the id and the whole row.
        record: the record of its row, which says the types of what its events tell.
        beside: the types of what they tell that is no column, and so no part of the fold.
        seen_by: who may see its events.
        private: unless those who take part alone may, and who has control.
        table: where its row is the fold of its events, the table.
        key: the table's key column.
        row: the statement that reads the row by `:id`.
        json: the columns that hold JSON text; in an event they stand as what they are.
        any_json: those of them that may hold a text.
        uris: the resources that change with one of them, by its id.
        unsaid: what columns that are younger than an event hold, where it tells of a whole row: given who made it, its
            type and its data. The migration that adds a column gives rows the same.
        replay: rebuilds from an event; unsaid, the row is the fold of its events.
        snapshot: everything of one, for a snapshot event; unsaid, its row.
        restore: rebuilds from a snapshot event; unsaid, its row.
        may_thin: whether its older events may go, given the place up to which; unsaid, they may.
        retell: what is told anew before old events go, since they alone said it: ids and data.
        words: the columns by whose text it is found, where its row is all that takes.
        reworded: those of its events, by their names without the type, after which they may be others; beside creation.
        hidden: what of its events callers are not shown: names in their data, or `version`.
        told: how what stands in their data reads to callers, by its name. Moments are always told as times.
        retold: the data of an event as callers are told it, where what one member says depends on another.
        usual: what of a thing that begins is so unless somebody said otherwise: told where all of it is asked for.
        marked: whether the database's mark moves with each change of one (`kernel.store.Database.mark`).
    """

    type: str
    events: Mapping[str, Telling]
    seen_by: Permission
    record: Kind | None = None
    beside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    private: Private | None = None
    table: str | None = None
    key: str = "id"
    row: str | None = None
    json: frozenset[str] = frozenset()
    any_json: frozenset[str] = frozenset()
    uris: Callable[[str], set[str]] = field(default=lambda _: set())
    unsaid: Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]] | None = None
    replay: Fold | None = None
    snapshot: SnapshotOf | None = None
    restore: Fold | None = None
    may_thin: Callable[[Transaction, str, Mapping[str, int]], bool] | None = None
    retell: Callable[[Transaction], list[tuple[str, dict[str, Any]]]] | None = None
    words: tuple[str, ...] = ()
    reworded: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    told: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict[str, Callable[[Any], Any]])
    retold: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda data: data)
    usual: Mapping[str, Any] = field(default_factory=dict[str, Any])
    marked: bool = False

    def tells(self) -> dict[str, Telling]:
        """What its events tell by their types, snapshots included."""
        row = {} if self.record is None else {SNAPSHOT[1:]: Telling.of(f"id {whole(self.record)}")}
        return {f"{self.type}.{name}": telling for name, telling in (row | {**self.events}).items()}


@dataclass(frozen=True, slots=True)
class Sweep:
    """What time alone makes due.

    Attributes:
        due: the statement `due.<name>` says when the next one is due, as `at`.
        rows: the statement that reads what is due at `:now`, the oldest first, `:limit` at most.
        settle: does what is due to one of them.
        key: what such a row is called.
        parameters: what both statements take beside.
    """

    due: str
    rows: str
    settle: Callable[[Transaction, Origin, dict[str, Any]], None]
    key: Callable[[Mapping[str, Any]], str]
    parameters: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Righting:
    """What may rest on a clock that was ahead, and would be due much too late now that it is right.

    Attributes:
        rows: the statement that reads, without locking, what may have been computed at a moment after `:ahead`, where
            it is `:now`. It may read too much.
        settle: computes anew from now what was computed from a moment that has not come yet; all else it leaves.
        key: what such a row is called.
    """

    rows: str
    settle: Callable[[Transaction, Origin, dict[str, Any]], None]
    key: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class SystemKind:
    """A kind of task that the server itself does.

    Attributes:
        kind: how such a task is called, or begins to be: see `variant`.
        handler: makes what does one.
        at_once: how many of them one process does at the same time.
        seconds_max: how long one may take.
        variant: what follows in this process, where not every process does every one.
    """

    kind: str
    handler: Callable[[Services], Handler]
    at_once: int
    seconds_max: float
    variant: Callable[[Services], str] | None = None

    def name(self, services: Services) -> str:
        """The whole name of the kind in this process."""
        return self.kind if self.variant is None else f"{self.kind}{self.variant(services)}"


@dataclass(frozen=True, slots=True)
class Chore:
    """What the server does from time to time, as a system task, where there is something to do.

    Attributes:
        title: of the task.
        kind: of the task.
        times: how much of the ISO time names a period in which it is done once: 10 for a day, 13 for an hour.
        wanted: whether there is something to do.
    """

    title: str
    kind: str
    times: int
    wanted: Callable[[Services], Awaitable[bool]]


Named = Callable[["Areas", Collection[Permission], "Collection[str] | None"], Iterable[str]]
"""Names every value that somebody with these rights may see, of the toolsets offered."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Values for an argument of a resource template or a prompt: the statement that finds them by `:prefix`, or the
    function that names all, and who may see them.

    `needs` names arguments that must be known already; they are parameters of the statement. `private` says which
    values not everybody sees.
    """

    statement: "str | Named"
    permission: Permission
    needs: tuple[str, ...] = ()
    private: tuple[Private, ...] = ()


@dataclass(frozen=True, slots=True)
class Area:
    """One area of the domain: `mcp_server.domain.<name>`."""

    name: str
    toolset: Toolset = "system"
    """Where its events and its completions belong."""

    tables: tuple[Table, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    hears: tuple[Heard, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    rightings: tuple[Righting, ...] = ()
    kinds: tuple[SystemKind, ...] = ()
    chores: tuple[Chore, ...] = ()
    completions: Mapping[str, Completion] = field(default_factory=dict[str, Completion])
    lanes: Mapping[Callable[..., Any], int] = field(default_factory=dict[Callable[..., Any], int])
    """Which writer runs a transaction function where there are several; 0 for those not named."""

    read_ahead: Mapping[Callable[..., Any], ReadAhead] = field(default_factory=dict[Callable[..., Any], ReadAhead])
    """For transaction functions whose reads can be done for many calls at once: what does it."""

    searched: tuple[Searched, ...] = ()
    """What of it is found by its text: a database that has no texts yet is filled from there."""

    after_rebuild: str | None = None
    """The statement that clears away what rebuilding from events leaves over."""

    def sql(self) -> str:
        """The area's named statements."""
        return sql_of(self.name)


def hooks_of(area: str) -> list[str]:
    """The names of the hooks of which the area of this name tells."""
    if not (_DOMAIN / area / "hooks.py").exists():
        return []
    module = import_module(f"mcp_server.domain.{area}.hooks")
    return [one.name for one in vars(module).values() if isinstance(one, Hook)]


def sql_of(area: str) -> str:
    """The named statements of the area of this name."""
    return (_DOMAIN / area / "queries.sql").read_text("utf-8")
