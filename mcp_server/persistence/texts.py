"""What texts are to be: for a database that has none yet, of an earlier version or just imported; and to compare."""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any

from mcp_server.kernel.area import Searched
from mcp_server.kernel.areas import Areas
from mcp_server.persistence.statements import Engine, statements

TEXTS_SINCE = 21
"""The migration since which they are made here; 0016 made their table."""
_FILLED_BY = (TEXTS_SINCE, 22)
"""The migrations after each of which a kind is searched that was not before."""
_AT_ONCE = 500


def complete_migration(connection: Any, engine: Engine, areas: Areas, number: int) -> None:
    """What a migration leaves to be done in Python."""
    if number in _FILLED_BY:
        fill_texts(connection, engine, areas)


def fill_texts(connection: Any, engine: Engine, areas: Areas) -> None:
    """Make the texts of every kind that has none, in the caller's transaction. What is listed by time gets its numbers
    in that order: of what very many hold the newest are found by them. A new database needs none, nor the areas that
    say how they are made."""
    if connection.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None:
        return
    known = statements(engine, areas.sql)
    made = {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM texts").fetchall()}
    cursor = connection.cursor()
    for kind, parts in _by_kind(areas):
        if kind not in made:
            each = (_rows(connection, known[one.in_time or one.every], one) for one in parts)
            rows = merge(*each, key=itemgetter("at"))
            while batch := list(islice(rows, _AT_ONCE)):
                cursor.executemany(known["text_insert"], batch)


def texts_of(connection: Any, engine: Engine, areas: Areas) -> Iterator[dict[str, Any]]:
    """What all texts are to be: `kind`, `about`, `at` and `folded`, in the order of the first two."""
    known = statements(engine, areas.sql)
    for _, parts in _by_kind(areas):
        yield from merge(*(_rows(connection, known[one.every], one) for one in parts), key=itemgetter("about"))


def _by_kind(areas: Areas) -> Iterator[tuple[str, Iterator[Searched]]]:
    kind = attrgetter("kind")
    return groupby(sorted(areas.searched, key=kind), kind)


def _rows(connection: Any, every: str, searched: Searched) -> Iterator[dict[str, Any]]:
    after = {"after": "", "after_at": -1}
    while True:
        cursor = connection.execute(every, after | {"limit": _AT_ONCE})
        names = [column[0] for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if not found:
            return
        after = {"after": found[-1]["id"], "after_at": found[-1].get("at", 0)}
        for row in found:
            yield {"kind": searched.kind, "about": row["id"], "at": row.get("at", 0), "folded": searched.text(row)}
