"""How a page of a list is read that is narrowed to what holds a text."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mcp_server.domain.search import transactions
from mcp_server.kernel.json_text import json_list
from mcp_server.kernel.paging import AtLeast, Page, Query, fetch_page
from mcp_server.kernel.searching import fold, trigrams
from mcp_server.kernel.store import Database, Row

PROPOSED_MAX = 5_000
"""Of a text that more hold than that, the newest are looked for alone."""
KEPT_MAX = 200
"""So many of these are looked at: pages are shorter, and something else may narrow the list as well."""
NO_CURSOR = 2**62
"""As a moment: later than all."""
ALL = -1
"""As a moment: earlier than all."""

_Read = Callable[..., Awaitable[Page]]


class Sought(NamedTuple):
    """A text by which a list is narrowed.

    Attributes:
        kind: what is listed, as its events call it. The list has the filters `<kind>_text` and `<kind>_text_indexed`.
        text: as the caller typed it; nothing narrows nothing.
        before: the moment at which the page begins, of a list that has the newest first and the filter
            `<kind>_text_among`; unsaid, it is in another order.
    """

    kind: str
    text: str | None
    before: int | None = None


async def fetch_page_holding(
    database: Database,
    sought: Sought,
    query: Query,
    limit: int,
    key: Sequence[str],
    *,
    also: Sequence[Query] = (),
    rising: bool = False,
) -> Page:
    """Read one page of what holds a text.

    What few hold is looked up. What many hold, and what is too short for that, is looked for among the newest of them,
    where the list has these first; where that fills no page, since something else narrows the list as well, the list is
    read from its beginning.

    Args:
        database: where from.
        sought: the text.
        query, limit, key, also, rising: as `fetch_page` takes them.
    """
    if not sought.text:
        return await fetch_page(database, query, limit, key, also=also, rising=rising)

    async def read(way: str, **parameters: Any) -> Page:
        first, *others = [one.where(f"{sought.kind}_text{way}", **parameters) for one in (query, *also)]
        return await fetch_page(database, first, limit, key, also=others, rising=rising)

    needle = fold(sought.text)
    asked = _asked(database, sought.kind, needle)
    if _has_index(asked) and not await _are_many(database, asked):
        return await read("_indexed", **asked)
    page = None if sought.before is None else await _newest(database, asked, sought.before, read)
    return page or await read("", text_needle=needle)


async def fetch_few_holding(database: Database, statement: str, kind: str, text: str) -> list[Row]:
    """The rows of a statement about what holds a text, where few do and the index knows them; else none."""
    asked = _asked(database, kind, fold(text))
    known = _has_index(asked) and not await _are_many(database, asked)
    return await database.fetch_all(statement, **asked) if known else []


async def _are_many(database: Database, asked: dict[str, Any]) -> bool:
    row = await database.fetch_one("texts_proposed", **asked, at_most=PROPOSED_MAX + 1)
    return row is not None and row["n"] > PROPOSED_MAX


async def _newest(database: Database, asked: dict[str, Any], before: int, read: _Read) -> Page | None:
    """A page of what many hold, if the newest of them make one."""
    rows = await database.fetch_all(
        "texts_walked" if _has_index(asked) else "texts_passed",
        **asked,
        text_before=before,
        text_kept=KEPT_MAX + 2,
        at_most=transactions.SPAN + KEPT_MAX,
        text_span=transactions.SPAN,
    )
    ids, newer_than = _kept(rows)
    page = await read("_among", text_ids=json_list(ids), text_needle=asked["text_needle"], text_newer_than=newer_than)
    if newer_than == ALL:
        return page
    return None if page.omitted is None else replace(page, omitted=AtLeast(page.omitted))


def _kept(rows: Sequence[Row]) -> tuple[list[str], int]:
    """The ids of all that holds a text and is newer than a moment, and that moment."""
    ends = [row["at"] for row in rows[:1] if not row["about"]]
    found = rows[len(ends) :]
    # Of what is as old as what is left out, some may be left out itself.
    ends += [row["at"] for row in found[KEPT_MAX : KEPT_MAX + 1]]
    newer_than = max(ends, default=ALL)
    return [row["about"] for row in found if row["at"] > newer_than], newer_than


def _has_index(asked: dict[str, Any]) -> bool:
    return bool(asked["text_trigrams"])


def _asked(database: Database, kind: str, needle: str) -> dict[str, Any]:
    """A folded text, as the engine's index is asked for all of its parts: none, where it is too short for one."""
    parts: Any = trigrams(needle)
    if database.engine != "postgres":
        parts = " AND ".join('"' + part.replace('"', '""') + '"' for part in parts)
    return {"text_kind": kind, "text_needle": needle, "text_trigrams": parts}
