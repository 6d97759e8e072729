"""`completion/complete`: values that begin with what has been typed, from what the areas offer."""

from collections.abc import Mapping
from itertools import islice

from mcp_server.domain.desk import Desk
from mcp_server.kernel.area import Completion
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import Query, after_all, like
from mcp_server.kernel.privacy import seen_by

VALUES_MAX = 100


async def complete(desk: Desk, call: Call, argument: str, typed: str, known: Mapping[str, str]) -> list[str]:
    """Up to 100 values for an argument of a resource template or a prompt; none for one that no area offers values for,
    for which others must be known first, or whose toolset is not offered.

    Raises:
        PermissionDenied: the caller may not see them.
    """
    offered = desk.areas.completions.get(argument)
    if offered is None or not call.is_offered(desk.areas.completion_toolsets[argument]):
        return []
    if not known.keys() >= set(offered.needs):
        return []
    call.actor.require(offered.permission)
    if isinstance(offered.statement, str):
        return await _reached(desk, call, offered, argument, typed, known)
    named = offered.statement(desk.areas, call.actor.permissions, call.toolsets)
    return list(islice(filter(lambda value: value.startswith(typed), named), VALUES_MAX))


async def _reached(
    desk: Desk, call: Call, offered: Completion, argument: str, typed: str, known: Mapping[str, str]
) -> list[str]:
    """The values that are stored; of namespaces and what is in them, those that the caller's key reaches."""
    scope = call.actor.scope
    if scope.namespace is None:
        return await _stored(desk, call, offered, typed, known)
    if "namespace" in offered.needs and not scope.has_namespace(known["namespace"]):
        return []
    if argument != "namespace":
        return await _stored(desk, call, offered, typed, known)
    longer = max(typed, scope.namespace, key=len)
    if not longer.startswith(min(typed, scope.namespace, key=len)):
        return []
    return list(filter(scope.has_namespace, await _stored(desk, call, offered, longer, known)))


async def _stored(desk: Desk, call: Call, offered: Completion, typed: str, known: Mapping[str, str]) -> list[str]:
    """Values that begin with what was typed. Of tables that grow, statements take those between `low` and `high`, which
    an index has side by side; where case does not matter, they take a pattern, `prefix`."""
    beginning = {"prefix": like(typed, "{}%"), "low": typed, "high": after_all(typed)}
    parameters = beginning | {name: known[name] for name in offered.needs}
    query = seen_by(call, Query(str(offered.statement), parameters=tuple(parameters.items())), offered.private)
    rows = await desk.context.database.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))
    return [row["value"] for row in rows]
