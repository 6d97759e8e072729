"""What a part of the chaos is: workers that call, and an oracle over what they were answered."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.fleet import Fleet


class Part(ABC):
    """One area's share of the chaos, on a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    async def prepare(self) -> None:  # noqa: B027  most parts need nothing
        """What has to be there before the chaos begins."""

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Who makes new work, all at the same time; they end with `fleet.producing`."""
        return []

    def consumers(self) -> list[Coroutine[Any, Any, None]]:
        """Who does it, beside them; they end with `fleet.settled`."""
        return []

    @abstractmethod
    def has_enough(self) -> bool:
        """Whether each thing that is looked at has happened at least once."""

    async def wind_down(self) -> None:  # noqa: B027
        """What has to be said once nothing new is made, so that all settles."""

    async def unsettled(self) -> int:
        """How much of it has not ended yet."""
        return 0

    @abstractmethod
    async def check(self) -> None:
        """Compare what was answered with what is there, when all is settled."""
