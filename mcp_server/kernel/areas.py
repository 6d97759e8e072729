"""Every area, and what the house derives from their records.

What the house asks of an area by name before there is anything to do is known from the start: it stands in a file that
is made of the records. The record itself, and with it nearly all of the area's code, is loaded when something of it is
first written, told of, due or asked for. On stdio there is one server for each client, and most use few areas.
"""

import json
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property, partial
from itertools import chain
from typing import Any, NamedTuple, Self, TypeVar

from mcp_server.kernel.area import (
    Aggregate,
    Area,
    Chore,
    Completion,
    Righting,
    Searched,
    Sweep,
    SystemKind,
    Table,
    hooks_of,
    sql_of,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.events import SNAPSHOT
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.remembering import Data, data_of, remembered
from mcp_server.kernel.store import Hook, ReadAhead
from mcp_server.kernel.telling import Telling

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R", Sweep, Righting, SystemKind, Chore)
_BY_NAME = ("variant", "wanted")
"""Functions that every server calls before there is anything to do: they are called where they stand, by their names,
without the record of their area."""


class Known(NamedTuple):
    """What is known of an area before it is loaded.

    Attributes:
        name: of the area.
        has: the parts of its record in which something stands.
        aggregates: the types of its aggregates.
        hears: the names of the hooks that it listens to.
        tells: the names of its own hooks.
        sweeps: their data.
        rightings: their data.
        kinds: their data.
        chores: their data.
    """

    name: str
    has: Sequence[str]
    aggregates: Sequence[str]
    hears: Sequence[str]
    tells: Sequence[str]
    sweeps: Sequence[Data]
    rightings: Sequence[Data]
    kinds: Sequence[Data]
    chores: Sequence[Data]

    @classmethod
    def of(cls, area: Area) -> Self:
        """From the area's record."""
        return cls(
            area.name,
            [one.name for one in fields(area) if one.name not in ("name", "toolset") and getattr(area, one.name)],
            [one.type for one in area.aggregates],
            [one.hook.name for one in area.hears],
            hooks_of(area.name),
            *(
                [data_of(one, _BY_NAME) for one in part]
                for part in (area.sweeps, area.rightings, area.kinds, area.chores)
            ),
        )

    def line(self) -> str:
        """As it is kept."""
        return json.dumps(self._asdict(), separators=(",", ":"))

    @classmethod
    def read(cls, lines: str) -> list[Self]:
        """What was kept."""
        return [cls(**json.loads(line)) for line in lines.splitlines()]


class Row(NamedTuple):
    """Where what events tell of an aggregate is written.

    Attributes:
        table: the table.
        key: its key column.
        beside: what events tell that is no column.
        marked: whether the database's mark moves with it.
    """

    table: str
    key: str
    beside: frozenset[str]
    marked: bool


class _WhenAsked(dict[K, V]):
    """Makes each value when it is first asked for."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make(key)
        return value


def _no_other(name: str) -> Area:
    raise LookupError(f"there is no area {name}")


class Areas:
    """Every area, and what is derived from their records."""

    def __init__(self, *areas: Area, known: Iterable[Known] = (), load: Callable[[str], Area] = _no_other) -> None:
        """Begin with what is known.

        Args:
            areas: some that are loaded.
            known: of others, before those.
            load: loads one of the others.
        """
        self._loaded = {area.name: area for area in areas}
        self._load = load
        self._known = {one.name: one for one in (*known, *map(Known.of, areas))}
        self._of = {type_: one.name for one in self._known.values() for type_ in one.aggregates}
        self.sweeps: tuple[Sweep, ...] = self._remembered("sweeps", Sweep)
        self.rightings: tuple[Righting, ...] = self._remembered("rightings", Righting)
        self.kinds: tuple[SystemKind, ...] = self._remembered("kinds", SystemKind)
        self.chores: tuple[Chore, ...] = self._remembered("chores", Chore)
        self.listeners: Mapping[Hook[..., Any], tuple[Callable[..., Any], ...]] = _WhenAsked(self._listeners)
        self.rows: Mapping[str, Row] = _WhenAsked(self._row)
        self.telling: Mapping[str, Telling] = _WhenAsked(self._telling)
        self.worded: Mapping[str, Aggregate | None] = _WhenAsked(self._worded)

    def area(self, name: str) -> Area:
        """One area, loaded."""
        found = self._loaded.get(name)
        if found is None:  # two threads may both come here: modules are loaded once
            found = self._loaded[name] = self._load(name)
        return found

    def load_with_hearers(self, name: str) -> None:
        """Load an area, and those that do their part where it tells of something: that they do in its transactions, for
        which everybody else waits."""
        found, left = {name}, [name]
        while left:
            tells = set(self._known[left.pop()].tells)
            hearing = {one.name for one in self._known.values() if tells & set(one.hears)} - found
            found |= hearing
            left += hearing
        for one in self._known:
            if one in found:
                self.area(one)

    def unloaded(self, statement: str) -> str | None:
        """The area whose rows a sweep or a righting finds by this statement, unless it is loaded."""
        name = self._finding[statement]
        return None if name in self._loaded else name

    @cached_property
    def _finding(self) -> dict[str, str]:
        each = ((one.name, part) for one in self._known.values() for part in (*one.sweeps, *one.rightings))
        return {statement: name for name, part in each for statement in (part.get("due"), part["rows"]) if statement}

    @cached_property
    def all(self) -> tuple[Area, ...]:
        """All of them, loaded."""
        return tuple(map(self.area, self._known))

    def aggregate(self, type_: str) -> Aggregate | None:
        """The aggregate of a type."""
        name = self._of.get(type_)
        return None if name is None else next(one for one in self.area(name).aggregates if one.type == type_)

    @cached_property
    def aggregates(self) -> dict[str, Aggregate]:
        """All aggregates by their types."""
        return {one.type: one for area in self._with("aggregates") for one in area.aggregates}

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """All tables. Those that others refer to stand before them."""
        return tuple(chain.from_iterable(area.tables for area in self._with("tables")))

    @cached_property
    def searched(self) -> tuple[Searched, ...]:
        """Where all things stand that are found by their text."""
        return tuple(chain.from_iterable(area.searched for area in self._with("searched")))

    @cached_property
    def completions(self) -> dict[str, Completion]:
        """What completes each argument."""
        return dict(ChainMap(*(dict(area.completions) for area in self._with("completions"))))

    @cached_property
    def completion_toolsets(self) -> dict[str, str]:
        """The toolset that each completion belongs to: its area's."""
        return {name: area.toolset for area in self._with("completions") for name in area.completions}

    @cached_property
    def lanes(self) -> dict[Callable[..., Any], int]:
        """Which writer runs which transaction function."""
        return dict(ChainMap(*(dict(area.lanes) for area in self._with("lanes"))))

    @cached_property
    def read_ahead(self) -> dict[Callable[..., Any], ReadAhead]:
        """What reads for many calls of a transaction function at once."""
        return dict(ChainMap(*(dict(area.read_ahead) for area in self._with("read_ahead"))))

    @cached_property
    def tells(self) -> dict[str, Telling]:
        """What all events tell, by their types."""
        return dict(ChainMap(*(one.tells() for one in self.aggregates.values())))

    @cached_property
    def private(self) -> tuple[Private, ...]:
        """What is seen by who takes part in it alone."""
        return tuple(one.private for one in self.aggregates.values() if one.private is not None)

    @cached_property
    def _toolsets(self) -> dict[str, str]:
        return {aggregate.type: area.toolset for area in self._with("aggregates") for aggregate in area.aggregates}

    @cached_property
    def sql(self) -> tuple[str, ...]:
        """The named statements of every area."""
        return tuple(self._loaded[name].sql() if name in self._loaded else sql_of(name) for name in self._known)

    def seen(self, permissions: Collection[Permission], toolsets: Collection[str] | None) -> frozenset[str]:
        """The types of the aggregates whose events may be seen.

        Args:
            permissions: of the caller.
            toolsets: those that are offered to it; None for all.
        """
        return frozenset(
            one.type
            for one in self.aggregates.values()
            if one.seen_by in permissions and (toolsets is None or self._toolsets[one.type] in toolsets)
        )

    def seen_event_types(self, permissions: Collection[Permission], toolsets: Collection[str] | None) -> list[str]:
        """The types of events that may be seen, as `seen` says it."""
        seen = self.seen(permissions, toolsets)
        return sorted(type_ for type_ in self.tells if type_.rsplit(".", 1)[0] in seen)

    def uris(self, aggregate_type: str, aggregate_id: str) -> set[str]:
        """The resources that change with an aggregate."""
        known = self.aggregate(aggregate_type)
        return set() if known is None else known.uris(aggregate_id)

    def _with(self, part: str) -> Iterator[Area]:
        """The areas in whose records something stands there."""
        return (self.area(one.name) for one in self._known.values() if part in one.has)

    def _remembered(self, part: str, kind: type[R]) -> tuple[R, ...]:
        return tuple(chain.from_iterable(self._remembered_of(one, part, kind) for one in self._known.values()))

    def _remembered_of(self, known: Known, part: str, kind: type[R]) -> Iterable[R]:
        if known.name in self._loaded:
            return getattr(self._loaded[known.name], part)

        def real(number: int) -> R:
            return getattr(self.area(known.name), part)[number]

        kept: Sequence[Data] = getattr(known, part)
        return [remembered(kind, data, partial(real, number), _BY_NAME) for number, data in enumerate(kept)]

    def _listeners(self, hook: Hook[..., Any]) -> tuple[Callable[..., Any], ...]:
        listening = (self.area(one.name) for one in self._known.values() if hook.name in one.hears)
        return tuple(heard.function for area in listening for heard in area.hears if heard.hook is hook)

    def _row(self, type_: str) -> Row:
        one = self.aggregate(type_)
        if one is None or one.table is None:
            raise KeyError(type_)
        return Row(one.table, one.key, frozenset(one.beside), one.marked)

    def _telling(self, event_type: str) -> Telling:
        one = self.aggregate(event_type.rpartition(".")[0])
        telling = None if one is None else one.tells().get(event_type)
        if telling is None:
            raise LookupError(f"no area names the event {event_type}")
        return telling

    def _worded(self, event_type: str) -> Aggregate | None:
        type_, _, name = event_type.rpartition(".")
        one = self.aggregate(type_)
        is_worded = one is not None and one.words and name in ("created", SNAPSHOT[1:], *one.reworded)
        return one if is_worded else None
