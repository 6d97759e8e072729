"""How lists are narrowed and cut into pages."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.store import Database, Row

T = TypeVar("T")
LIMIT_DEFAULT = 20
LIMIT_MAX = 100


@dataclass(frozen=True, slots=True)
class Query:
    """A list statement being narrowed: filter names and their parameters."""

    statement: str
    filters: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()

    def where(self, filter_name: str, **parameters: Any) -> "Query":
        """Narrow by a named filter, unless one of its values is None."""
        if any(value is None for value in parameters.values()):
            return self
        return replace(self, filters=(*self.filters, filter_name), parameters=(*self.parameters, *parameters.items()))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, the cursor to the next, and how many rows were left out."""

    rows: Sequence[Row]
    next_cursor: str | None
    omitted: int | None


class Listed(NamedTuple, Generic[T]):
    """One page of what a caller sees, the cursor to the next, and how many were left out."""

    items: list[T]
    next_cursor: str | None
    omitted: int | None


async def fetch_page(
    database: Database, query: Query, limit: int, key: Sequence[str], *, also: str | None = None
) -> Page:
    """Read one page.

    Args:
        database: where from.
        query: the list with its filters, the one that starts it after a cursor included.
        limit: rows at most.
        key: the columns that the cursor holds, in the order of the list.
        also: a second statement with the same filters, whose rows are merged in; the list's order then descends.
    """
    wanted = [query] if also is None else [query, replace(query, statement=also)]
    rows: list[Row] = []
    for one in wanted:
        rows += await database.fetch_all(one.statement, filters=one.filters, limit=limit + 1, **dict(one.parameters))
    if also is not None:
        rows.sort(key=itemgetter(*key), reverse=True)
    if len(rows) <= limit:
        return Page(rows, None, None)
    total = sum([await _count(database, one) for one in wanted])
    cursor = encode_cursor([rows[limit - 1][column] for column in key])
    return Page(rows[:limit], cursor, max(total - limit, 1))


async def _count(database: Database, query: Query) -> int:
    row = await database.fetch_one(f"{query.statement}_count", filters=query.filters, **dict(query.parameters))
    return 0 if row is None else row["n"]


def encode_cursor(parts: list[Any]) -> str:
    """Values as opaque text."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, types: tuple[type, ...]) -> list[Any]:
    """The values behind an opaque cursor.

    Raises:
        ValidationFailed: not a cursor of this list.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(parts) == len(types) and all(map(isinstance, parts, types)):
            return parts
    except (binascii.Error, ValueError, TypeError):
        pass
    raise ValidationFailed(
        f"{cursor[:80]!r} is not a cursor of this list.", next="Leave it out to start at the beginning."
    )


_HIGHEST = "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)


def after_all(beginning: str) -> str:
    """The first text after all that begin so; it has to hold a character that is not the highest."""
    text = beginning.rstrip(_HIGHEST)
    following = ord(text[-1]) + 1
    return text[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def like(text: str | None, pattern: str = "%{}%") -> str | None:
    """Text as a LIKE pattern with `\\` as its escape, or None."""
    if text is None:
        return None
    for character in ("\\", "%", "_"):
        text = text.replace(character, f"\\{character}")
    return pattern.format(text)
