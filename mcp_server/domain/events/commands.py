"""What is asked of the event log."""

from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from mcp_server.kernel.arguments import Waiting
from mcp_server.kernel.meaning import EVENT_TYPE
from mcp_server.kernel.times import Micros, micros
from mcp_server.kernel.values import Time


def _joined(given: Any) -> Any:
    """Several as one text."""
    several = cast("list[Any]", given) if isinstance(given, list) else []
    return ",".join(several) if several and all(isinstance(one, str) for one in several) else cast("Any", given)


def types_of(text: str) -> list[str]:
    """What is divided by commas, each once."""
    return list(dict.fromkeys(one for part in text.split(",") if (one := part.strip())))


class ReadEvents(Waiting):
    """Events are read after a cursor, narrowed by what is given; or the chain that led to one."""

    after: str | None = Field(default=None, description="Cursor of an earlier answer")
    since: Time | None = None
    until: Time | None = None
    type: Annotated[str | None, BeforeValidator(_joined), EVENT_TYPE] = Field(
        default=None, description="Such as task.completed, task.* or *.failed; several with commas"
    )
    aggregate_id: str | None = Field(default=None, description="Id, namespace/key or lock name")
    actor: Annotated[str | None, BeforeValidator(_joined)] = Field(
        default=None, description="Agents, user:NAME, or as in `actor`"
    )
    correlation_id: str | None = None
    newest_first: bool = False
    led_to: int | None = Field(default=None, ge=1, description="Instead: the chain that led to the event of this seq")
    limit: int = Field(default=20, ge=1, le=100)

    def types(self) -> list[str]:
        """The types that are asked for, each once."""
        return types_of(self.type or "")

    def actors(self) -> list[str]:
        """The actors that are asked for, each once."""
        return types_of(self.actor or "")

    def is_over(self, now: Micros) -> bool:
        """Whether nothing is to come that was asked for: what came last, or before a time that has passed."""
        return self.newest_first or (self.until is not None and micros(self.until) <= now)
