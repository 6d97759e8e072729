"""What is private: who takes part in a thing sees it, and who has control over all of its kind."""

from collections.abc import Iterable
from typing import NamedTuple

from mcp_server.kernel.authority import VIA, Permission, principal_of
from mcp_server.kernel.call import Call
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import Query, like
from mcp_server.kernel.searching import lower_ascii


class Private(NamedTuple):
    """Things that not everybody sees who may see such things at all.

    Attributes:
        control: who has it sees all of them.
        filter: the filter that lets through what a caller takes part in; see `reader`.
    """

    control: Permission
    filter: str


def reader(call: Call) -> dict[str, str]:
    """What filters of private things know of a caller: the party that it is, the names of its principal in a label,
    how the labels of those end that spoke for it, what JSON lists of people hold that name this user, and how the party
    stands in JSON. What is looked for by LIKE is escaped: names may hold `%` and `_`."""
    principal = call.actor.label
    named = lower_ascii(call.actor.id) if call.actor.kind == "user" else ""
    return {
        "reader_asked": like(dump_json(named)) or "",
        "reader_party": call.party,
        "reader_json": like(dump_json(call.party), "{}") or "",
        "reader_label": principal_of(call.label),
        "reader_principal": principal,
        "reader_via": f"{VIA}{principal}",
    }


def seen_by(call: Call, query: Query, privates: Iterable[Private]) -> Query:
    """A list without what is hidden from a caller."""
    for private in privates:
        if not call.actor.may(private.control):
            query = query.where(private.filter, **reader(call))
    return query
