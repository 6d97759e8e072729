"""What a tool is: data that names it, types its arguments and its result, and points at one service call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mcp_server.domain.users import Permission
from mcp_server.services.context import LIMIT_DEFAULT, LIMIT_MAX, WAIT_SECONDS_MAX, Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import TaskView

Toolset = Literal["agents", "tasks", "state", "communication", "system"]


class Arguments(BaseModel):
    """The base of every tool's arguments: what is not named here is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Result(BaseModel):
    """The base of every tool's result. Nulls are dropped when it is sent."""

    model_config = ConfigDict(defer_build=True)


class Listing(Arguments):
    """The arguments that every list takes."""

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    cursor: str | None = None


class Waiting(Arguments):
    """The argument that every wait takes."""

    wait_seconds: float = Field(default=0, ge=0, le=WAIT_SECONDS_MAX, allow_inf_nan=False)


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Hints:
    """MCP's four annotation hints, each said explicitly."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool = False


READ = Hints(read_only=True, destructive=False, idempotent=True)
ADD = Hints(read_only=False, destructive=False, idempotent=False)
UPDATE = Hints(read_only=False, destructive=False, idempotent=True)
DESTROY = Hints(read_only=False, destructive=True, idempotent=False)


@dataclass(frozen=True, slots=True)
class Tool(Generic[A, R]):
    """One tool of the catalogue."""

    name: str
    title: str
    description: str
    toolset: Toolset
    permission: Permission
    hints: Hints
    arguments: type[A]
    result: type[R]
    run: Callable[[Desk, Call, A], Awaitable[R]]
    say: Callable[[R], str]
    """A sentence that stands for the result where only text is read."""

    ticket: Callable[[Desk, Call, A], Awaitable[TaskView]] | None = None
    """For a slow tool: what it does for a client that takes task handles, instead of `run`. Returns the task."""

    asks_person: bool = False
    """Whether the person at the client may be asked something."""

    needs_ticket: bool = False
    """Whether the tool cannot answer a client that takes no handles."""


AnyTool = Tool[Any, Any]


def listed(count: int, noun: str, omitted: int | None) -> str:
    """`3 tasks; 17 more behind next_cursor.`"""
    plural = noun if count == 1 else f"{noun}s"
    return f"{count} {plural}." if not omitted else f"{count} {plural}; {omitted} more behind next_cursor."
