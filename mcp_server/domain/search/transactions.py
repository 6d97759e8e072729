"""Transaction functions of the index of texts."""

from mcp_server.kernel.store import Transaction

SPAN = 512
"""Texts whose numbers, divided by this, are the same are one span: between which moments lies what they tell of is
known. So it was when the migration 0021 filled `text_spans`."""
TEXTS_AT_ONCE = 500
CHARACTERS_AT_ONCE = 100_000
"""Some ten milliseconds of a writer's time; one text alone may be longer."""


def index_some(tx: Transaction) -> int:
    """Let the index take in the oldest texts that it does not have; how many."""
    rows, characters = tx.all("texts_new", limit=TEXTS_AT_ONCE), 0
    for count, row in enumerate(rows):
        characters += row["characters"]
        if count and characters > CHARACTERS_AT_ONCE:
            del rows[count:]
            break
    if rows:
        upto = rows[-1]["number"]
        tx.run("texts_index", upto=upto)
        tx.run("texts_spanned", upto=upto, text_span=SPAN)
        tx.run("texts_indexed", upto=upto)
    return len(rows)
