"""How lists are narrowed and cut into pages."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.lines import quoted
from mcp_server.kernel.store import Database, Row

T = TypeVar("T")
LIMIT_DEFAULT = 20
LIMIT_MAX = 100
COUNTED_MAX = 1000
"""How far a list is counted: whoever asks for twenty of them must not wait for a million to be counted."""


class AtLeast(int):
    """A number that was counted so far and no further."""


def counted(found: int, counted_max: int) -> int:
    """A count that ends at a maximum, which then says so."""
    return found if found < counted_max else AtLeast(counted_max)


def floors(**numbers: int | Mapping[str, int] | None) -> list[str] | None:
    """Which of some numbers are at least what they say, by name; those of a mapping as `name.key`."""
    single = [name for name, number in numbers.items() if isinstance(number, AtLeast)]
    several = [(name, number) for name, number in numbers.items() if isinstance(number, Mapping)]
    return (
        single + [f"{name}.{key}" for name, one in several for key, n in one.items() if isinstance(n, AtLeast)] or None
    )


@dataclass(frozen=True, slots=True)
class Query:
    """A list statement being narrowed: filter names and their parameters."""

    statement: str
    filters: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def listed(self) -> str:
        """What is listed, by which its cursors are told from others': the first word of the statement."""
        return self.statement.partition("_")[0]

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
    database: Database,
    query: Query,
    limit: int,
    key: Sequence[str],
    *,
    also: Sequence[Query] = (),
    rising: bool = False,
) -> Page:
    """Read one page.

    Args:
        database: where from.
        query: the list with its filters, the one that starts it after a cursor included.
        limit: rows at most.
        key: the columns that the cursor holds, in the order of the list.
        also: other lists in the same order, which have no row in common, and whose rows are merged in.
        rising: whether that order rises; else it descends. Of a single list it need not be said.
    """
    wanted = [query, *also]
    rows: list[Row] = []
    for one in wanted:
        rows += await database.fetch_all(one.statement, filters=one.filters, limit=limit + 1, **dict(one.parameters))
    if also:
        rows.sort(key=itemgetter(*key), reverse=not rising)
    if len(rows) <= limit:
        return Page(rows, None, None)
    cursor = encode_cursor(query.listed, [rows[limit - 1][column] for column in key])
    return Page(rows[:limit], cursor, await _left_over(database, wanted, limit))


async def _left_over(database: Database, wanted: Sequence[Query], limit: int) -> int:
    """How many stand behind a page: at least one."""
    total = 0
    for one in wanted:
        row = await database.fetch_one(
            f"{one.statement}_count", filters=one.filters, counted=COUNTED_MAX, **dict(one.parameters)
        )
        total += 0 if row is None else row["n"]
        if total >= COUNTED_MAX:
            return AtLeast(COUNTED_MAX - limit)
    return max(total - limit, 1)


def encode_cursor(listed: str, parts: list[Any]) -> str:
    """Values as opaque text, which says what is listed: other lists may hold values of the same types."""
    return base64.urlsafe_b64encode(json.dumps([listed, *parts]).encode()).decode().rstrip("=")


def decode_cursor(listed: str, cursor: str, types: tuple[type, ...]) -> list[Any]:
    """The values behind an opaque cursor.

    Raises:
        ValidationFailed: not a cursor of this list.
    """
    try:
        kind, *parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if kind == listed and len(parts) == len(types) and all(map(isinstance, parts, types)):
            return parts
    except (binascii.Error, ValueError, TypeError):
        pass
    raise ValidationFailed(
        f"{quoted(cursor, 80)} is not a cursor of this list.", next="Leave it out to start at the beginning."
    )


_HIGHEST = "\U0010ffff"
_LONGEST = 1024
"""Characters; nothing that is listed by how it begins is longer."""
_SURROGATES = range(0xD800, 0xE000)


def after_all(beginning: str) -> str:
    """A text behind all that begin so, and before all others that stand behind it."""
    text = beginning.rstrip(_HIGHEST)
    if not text:
        return _HIGHEST * _LONGEST
    following = ord(text[-1]) + 1
    return text[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def like(text: str | None, pattern: str = "%{}%") -> str | None:
    """Text as a LIKE pattern with `\\` as its escape, or None."""
    if text is None:
        return None
    for character in ("\\", "%", "_"):
        text = text.replace(character, f"\\{character}")
    return pattern.format(text)
