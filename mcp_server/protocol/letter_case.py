"""Agents that a call names in other letters: `pia`, where the only one called so whatever the case is `Pia`. Looked at
once a call has found nobody by the name as it stands, so that a name always means its own agent first."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, cast

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.desk import Desk
from mcp_server.domain.messages.model import PARTY
from mcp_server.kernel.meaning import AGENT
from mcp_server.kernel.mending import put_at
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.taking import taken
from mcp_server.protocol.strangers import named_things
from tools import KNOWN
from tools.spec import AnyTool, Shared

_KINDS = frozenset((AGENT.words, PARTY.words))
_SHARED = shape_of(Shared)


async def in_their_letters(
    desk: Desk, tool: AnyTool, own: dict[str, Any], shared: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A call's own arguments and the shared ones with agents named as they are called; None where that changes
    nothing."""
    letters = _Letters(await desk.get(Speaking).names())
    put = letters.of_call(tool, own), letters.of_agents(_SHARED, shared)
    return None if letters.changes == 0 else put


class _Letters:
    """How agents are written."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._alike = defaultdict[str, list[str]](list)
        for name in self._names:
            self._alike[name.casefold()].append(name)
        self.changes = 0

    def of_call(self, tool: AnyTool, own: dict[str, Any]) -> dict[str, Any]:
        """A call's own arguments, and those of the calls that it holds."""
        shape = shape_of(tool.arguments)
        put = self.of_agents(shape, taken(shape, own))
        for name in ("calls", "also"):
            if name in shape.members and isinstance(put.get(name), list):
                put[name] = list(map(self._of_part, put[name]))
        return put

    def of_agents(self, shape: Shape, given: dict[str, Any]) -> dict[str, Any]:
        """Arguments with the agents in them."""
        for loc, _, text in list(named_things(shape, given, _KINDS)):
            alike = self._alike.get(text.casefold(), ())
            if text not in self._names and len(alike) == 1:
                given = put_at(given, loc, lambda _, name=alike[0]: name)
                self.changes += 1
        return given

    def _of_part(self, part: Any) -> Any:
        said: dict[str, Any] = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        known, arguments = KNOWN.get(str(said.get("tool"))), said.get("arguments")
        if known is None or not isinstance(arguments, dict):
            return cast("Any", part)
        own = self.of_call(known.whole(), cast("dict[str, Any]", arguments))
        return said | {"arguments": self.of_agents(_SHARED, own) if known.writes else own}
