"""What texts are to be: for a database that has none yet, of an earlier version or just imported; and to compare."""

from collections.abc import Iterator
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import Any

from mcp_server.kernel.area import Areas, Searched
from mcp_server.persistence.statements import Engine, statements

TEXTS_SINCE = 16
"""The migration that makes their table."""
_AT_ONCE = 500


def complete_migration(connection: Any, engine: Engine, areas: Areas, number: int) -> None:
    """What a migration leaves to be done in Python."""
    if number == TEXTS_SINCE:
        fill_texts(connection, engine, areas)


def fill_texts(connection: Any, engine: Engine, areas: Areas) -> None:
    """Make the text of everything that is found by one, in the caller's transaction."""
    known = statements(engine, areas.sql)
    cursor = connection.cursor()
    for searched in areas.searched:
        for rows in _pages(connection, known[searched.every], searched):
            cursor.executemany(known["text_insert"], rows)


def texts_of(connection: Any, engine: Engine, areas: Areas) -> Iterator[dict[str, str]]:
    """What all texts are to be: `kind`, `about` and `folded`, in the order of the first two."""
    known = statements(engine, areas.sql)
    for kind in sorted({searched.kind for searched in areas.searched}):
        parts = [one for one in areas.searched if one.kind == kind]
        rows = [chain.from_iterable(_pages(connection, known[one.every], one)) for one in parts]
        yield from merge(*rows, key=itemgetter("about"))


def _pages(connection: Any, every: str, searched: Searched) -> Iterator[list[dict[str, str]]]:
    after = ""
    while True:
        cursor = connection.execute(every, {"after": after, "limit": _AT_ONCE})
        names = [column[0] for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if not found:
            return
        after = found[-1]["id"]
        yield [{"kind": searched.kind, "about": row["id"], "folded": searched.text(row)} for row in found]
