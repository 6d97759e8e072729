"""The use case of commits: several writes of any area in one transaction, all or none."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.transactions import land, try_out
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.composing import Composed, Composing, landed, warned
from mcp_server.kernel.services import Services
from mcp_server.kernel.views import View, dumped
from mcp_server.kernel.writes import Undone


class Committed(View):
    """What each call answered, in order; of a repeat, which calls they were, and what each had made; of a dry run, what
    each would do."""

    results: list[dict[str, Any]]
    warnings: list[str] | None = None
    replayed: bool | None = None
    dry_run: bool | None = None


class CommitService:
    """Lets calls land together."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._composing = services.option(Composing)

    async def commit(self, call: Call, command: CommitCalls) -> Committed:
        """Make all the calls in one transaction, or none; with `dry_run`, make them and undo them in the same one.

        Raises:
            OpsError: what the first one that was refused says, naming it; nothing was changed.
        """
        call.actor.require(Permission.COMMIT)
        changes = await self._composing.compose(self._services, call, command.calls, "calls")
        frame = partial(try_out if command.dry_run else land, command)
        try:
            done = await landed(self._services, call, changes, frame)
        except Undone:
            return Committed(results=_foreseen(changes), warnings=warned(changes), dry_run=True)
        if done.told is not None:
            return Committed(results=done.told.told(), replayed=True)
        return Committed(results=[dumped(view) for view in done.views], warnings=warned(changes))


def _foreseen(changes: Sequence[Composed]) -> list[dict[str, Any]]:
    """What each call would do. The ids of what it would make are others when it lands, so none is told."""
    return [{"tool": one.tool, "would": one.says} for one in changes]
