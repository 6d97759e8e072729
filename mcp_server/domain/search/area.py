"""How the texts by which things are found are wired into the house. The engine itself writes them, with the row that
they tell of; the areas say which of their columns they are made of."""

from mcp_server.domain.search.service import INDEX_KIND, index_texts, is_behind
from mcp_server.kernel.area import Area, Chore, SystemKind, Table

AREA = Area(
    name="search",
    # Derived, so it goes nowhere: an import makes it anew. A replay compares it with the rows that it is made of, since
    # the events of documents do not hold that.
    tables=(Table("texts", exported=False, rebuilt=None), Table("text_spans", key=2, exported=False, rebuilt=None)),
    kinds=(SystemKind(INDEX_KIND, index_texts, at_once=1, seconds_max=3600),),
    chores=(Chore("Index what can be searched", INDEX_KIND, times=15, wanted=is_behind),),
)
