"""What every tool's arguments have in common. A command is the arguments as service and transaction take them."""

from pydantic import Field

from mcp_server.kernel.paging import LIMIT_DEFAULT, LIMIT_MAX
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.waiting import WAIT_SECONDS_MAX


class Listing(Frozen):
    """What every list takes."""

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    cursor: str | None = None


class Waiting(Frozen):
    """What every wait takes."""

    wait_seconds: float = Field(default=0, ge=0, le=WAIT_SECONDS_MAX, allow_inf_nan=False)
