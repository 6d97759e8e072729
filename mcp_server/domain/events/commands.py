"""What is asked of the event log."""

from pydantic import Field

from mcp_server.kernel.arguments import Waiting


class ReadEvents(Waiting):
    """Events are read after a cursor, narrowed by what is given; or the chain that led to one."""

    after: str | None = Field(default=None, description="Cursor of an earlier answer")
    type: str | None = Field(default=None, description="Such as task.completed or task.*")
    aggregate_id: str | None = Field(default=None, description="Id, namespace/key or lock name")
    actor: str | None = None
    correlation_id: str | None = None
    newest_first: bool = False
    led_to: int | None = Field(default=None, ge=1, description="Instead: the chain that led to the event of this seq")
    limit: int = Field(default=20, ge=1, le=100)
