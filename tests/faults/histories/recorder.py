"""Calls noted down in memory: when each began, when it was answered, and how."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.faults.chaos.fleet import Fleet, Refused, Unanswered

NEVER = math.inf
"""When a call was answered that nobody was told of: it may count at any time since it began, or not at all."""
READS = {"state_get"}


class Call(NamedTuple):
    """One call of one client, between two moments in seconds; `answer` where it was done, `refused` the code where not,
    neither where that is not known. `details` are those of the refusal."""

    client: str
    tool: str
    arguments: dict[str, Any]
    invoked: float
    returned: float = NEVER
    answer: dict[str, Any] | None = None
    refused: str | None = None
    details: dict[str, Any] = {}  # noqa: RUF012  nobody writes into it

    @property
    def is_unknown(self) -> bool:
        """Whether nobody was told what became of it."""
        return self.answer is None and self.refused is None


class Recorder:
    """Makes the calls of many clients on a fleet, and keeps them in the order in which they ended."""

    def __init__(self, fleet: Fleet, refusals: set[str], clock: Callable[[], float] = time.monotonic) -> None:
        """`refusals` are the codes that what is done here may be refused with."""
        self._fleet, self._refusals, self._clock = fleet, refusals, clock
        self.calls: list[Call] = []

    async def call(self, client: str, tool: str, **arguments: Any) -> Call:
        """Call once, at some server, as an agent where the tool writes."""
        begun = Call(client, tool, arguments, self._clock())
        try:
            speaker = {} if tool in READS else {"as_agent": client}
            answer = await self._fleet.any_seat().call(tool, **arguments, **speaker)
        except Unanswered:
            ended = begun
        except Refused as refused:
            if refused.code not in self._refusals:
                raise
            ended = begun._replace(returned=self._clock(), refused=refused.code, details=refused.details)
        else:
            ended = begun._replace(returned=self._clock(), answer=answer)
        self.calls.append(ended)
        self._fleet.happened[f"{tool} {self._said(ended)}"] += 1
        return ended

    @staticmethod
    def _said(call: Call) -> str:
        return "unknown" if call.is_unknown else call.refused or "done"
