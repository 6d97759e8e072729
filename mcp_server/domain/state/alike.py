"""Documents that somebody may have meant who named one that there is not."""

from collections.abc import Awaitable, Callable, Sequence

from mcp_server.domain.state.commands import Addressed, ListKeys
from mcp_server.domain.state.model import document_id
from mcp_server.domain.state.views import NamespaceView
from mcp_server.kernel.call import Call
from mcp_server.kernel.near import near
from mcp_server.kernel.store import Row

ALIKE_MAX = 1000
"""Among so many keys of a namespace one is looked for that is nearly the one that was asked for."""


async def alike(
    keys: Callable[[Call, ListKeys], Awaitable[Sequence[Row]]],
    namespaces: Callable[[Call], Awaitable[Sequence[NamespaceView]]],
    call: Call,
    document: Addressed,
) -> list[str]:
    """Documents of the namespace that are called nearly so; namespaces that are, where it has none.

    Args:
        keys: lists those of a namespace.
        namespaces: lists those that the caller sees.
        call: who asks.
        document: the one that there is not.
    """
    # A resource's address may name as a namespace what is none.
    rows = await keys(call, ListKeys.model_construct(namespace=document.namespace, limit=ALIKE_MAX))
    if rows:
        return [document_id(document.namespace, key) for key in near(document.key, [row["key"] for row in rows])]
    spaces = [one.namespace for one in await namespaces(call)]
    return [document_id(space, "") for space in near(document.namespace, spaces)]
