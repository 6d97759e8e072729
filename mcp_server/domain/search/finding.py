"""How a list is narrowed to what holds a text."""

from typing import Any

from mcp_server.kernel.paging import Query
from mcp_server.kernel.searching import fold, trigrams
from mcp_server.kernel.store import Database

PROPOSED_MAX = 5_000
"""Of a text that more hold than that, a page is found sooner by reading one after the other."""


async def holding(database: Database, query: Query, kind: str, text: str | None) -> Query:
    """A list with what holds a text alone.

    Args:
        database: where from.
        query: the list, which has the filters `<kind>_text` and `<kind>_text_indexed`.
        kind: what is listed, as its events call it.
        text: as the caller typed it; nothing narrows nothing.
    """
    if not text:
        return query
    needle = fold(text)
    parts = trigrams(needle)
    if parts:
        asked = _asked(database, parts)
        row = await database.fetch_one("texts_proposed", text_trigrams=asked, at_most=PROPOSED_MAX + 1)
        if row is not None and row["n"] <= PROPOSED_MAX:
            return query.where(f"{kind}_text_indexed", text_kind=kind, text_needle=needle, text_trigrams=asked)
    return query.where(f"{kind}_text", text_needle=needle)


def _asked(database: Database, parts: list[str]) -> Any:
    """Parts of a text, as the engine's index is asked for all of them."""
    if database.engine == "postgres":
        return parts
    return " AND ".join('"' + part.replace('"', '""') + '"' for part in parts)
