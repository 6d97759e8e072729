"""Whether there is anything to do for the chores of deployments. Every server asks, so little is loaded for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_server.kernel.services import Services

if TYPE_CHECKING:
    from mcp_server.domain.deployments.mirrors import Remote


def _nobody() -> "Remote":
    raise AssertionError("nobody was told where mirrors are")


@dataclass(frozen=True, slots=True)
class Mirrors:
    """What the operator wants to be kept alike.

    Attributes:
        known: the namespace elsewhere of each namespace of state.
        open: makes what reaches them.
    """

    known: Mapping[str, str] = field(default_factory=dict[str, str])
    open: "Callable[[], Remote]" = _nobody


async def is_any_mirror(services: Services) -> bool:
    """Whether there is any mirror."""
    return bool(services.option(Mirrors).known)


async def is_any_fallen(services: Services) -> bool:
    """Whether something that should run here does not."""
    if not await services.database.fetch_all("deployments_live"):
        return False
    from mcp_server.domain.deployments.reviving import Reviving

    return bool(await services.get(Reviving).fallen())
