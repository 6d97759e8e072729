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

    @abstractmethod
    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """Who calls, all at the same time; producers end with `fleet.producing`, consumers with `fleet.settled`."""

    async def wind_down(self) -> None:  # noqa: B027
        """What has to be said once nothing new is made, so that all settles."""

    async def unsettled(self) -> int:
        """How much of it has not ended yet."""
        return 0

    @abstractmethod
    async def check(self) -> None:
        """Compare what was answered with what is there, when all is settled."""
