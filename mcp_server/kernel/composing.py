"""Calls of tools as data: several that land together, now or once people have said yes.

Which tools there are is known above the domain; the areas that take calls are given what makes changes of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeVar, cast

from pydantic import Field, WithJsonSchema, model_validator

from mcp_server.kernel.call import Call, Grant
from mcp_server.kernel.errors import OpsError, Unavailable
from mcp_server.kernel.near import near
from mcp_server.kernel.renaming import STRANGE_MAX
from mcp_server.kernel.services import Services
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.writes import Change, Frame, Together, bare, write_together

CALLS_MAX = 20
T = TypeVar("T")


_OF_CALLS = ("tool", "name", "arguments", "args", "parameters", "params", "input")


class CalledTool(Frozen):
    """One call: a tool, and the arguments that it takes on its own."""

    tool: str = Field(max_length=64, examples=["state_set"])
    arguments: dict[str, Any] = Field(
        default={}, examples=[{"namespace": "notes", "key": "today", "value": {"done": True}}]
    )

    @model_validator(mode="before")
    @classmethod
    def _in_other_forms(cls, given: Any) -> Any:
        """`{"state_set": {...}}`, and arguments beside the tool instead of in their object."""
        said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if len(said) > STRANGE_MAX:
            return cast("Any", given)
        strange = {name: value for name, value in said.items() if _is_none_of_calls(name)}
        if len(said) == len(strange) == 1:
            return _by_its_tool(*strange.popitem())
        if strange and said.keys() - strange.keys() == {"tool"}:
            return {"tool": said["tool"], "arguments": strange}
        return cast("Any", given)


def _is_none_of_calls(name: str) -> bool:
    """Whether a name is none that a call has, nor like one."""
    return name not in _OF_CALLS and not near(name, ("arguments",))


def _by_its_tool(name: str, value: Any) -> dict[str, Any]:
    """The call of which all that is said stands under the name of its tool."""
    return {"tool": name, "arguments": value} if isinstance(value, dict) else {name: value}


Calls = Annotated[
    tuple[CalledTool, ...],
    Field(max_length=CALLS_MAX),
    WithJsonSchema({"type": "array", "items": {"type": "object"}, "description": "[{tool, arguments}]"}),
]


@dataclass(frozen=True, slots=True)
class Composed(Change):
    """The change that a call comes to.

    Attributes:
        tool: by name.
        arguments: as they were understood: complete, and again good for a call.
        says: in words for people, on one line; what others wrote stands in quotes.
        is_private: whether it holds what not everybody sees who may see approvals.
        content: what it comes to beyond its arguments, by what these name, such as a template; None where that is all.
        asked: the command as it was called, where `command` is that with its content put in.
        lasts_seconds: for how long at most people may be asked about it.
        warnings: what its caller may not have meant.
    """

    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    says: str = ""
    is_private: bool = False
    content: Any = None
    asked: Any = None
    lasts_seconds: float | None = None
    warnings: Sequence[str] = ()

    def shown(self) -> dict[str, Any]:
        """The call as data."""
        return {"tool": self.tool, "arguments": self.arguments}


class Compose(Protocol):
    """Makes changes of calls, each authorised as if it were made on its own. Nothing is changed by that."""

    async def __call__(
        self, services: Services, call: Call, calls: Sequence[CalledTool], argument: str, *, later: Grant | None = None
    ) -> list[Composed]:
        """The changes, in order.

        Args:
            services: of this server.
            call: who has them land.
            calls: what is called.
            argument: where they stand, for refusals.
            later: where they land once people have said yes, who is asked; then no lease may be named.

        Raises:
            OpsError: one of them makes no sense, is not offered, or not for this caller; it is named.
        """
        ...


async def _no_tools(
    services: Services, call: Call, calls: Sequence[CalledTool], argument: str, *, later: Grant | None = None
) -> list[Composed]:
    del services, call, calls, argument, later
    raise Unavailable("This process knows no tools.", next="Have a server do it.")


def _uncounted(what: str, outcome: str, seconds: float) -> None:
    del what, outcome, seconds


@dataclass(slots=True)
class Composing:
    """What makes changes of calls, and what counts them as calls of their own."""

    compose: Compose = _no_tools
    called: Callable[[str, str, float], None] = _uncounted


def warned(changes: Sequence[Composed]) -> list[str] | None:
    """What callers may not have meant."""
    return [warning for one in changes for warning in one.warnings] or None


async def landed(services: Services, call: Call, changes: Sequence[Composed], frame: Frame[T] = bare) -> Together[T]:
    """Let composed changes land in one transaction; each is counted as a call of its tool.

    Raises:
        OpsError: as `write_together` does.
    """
    called, started = services.option(Composing).called, time.perf_counter()
    try:
        done = await write_together(call, services.context, changes, frame)
    except OpsError as error:
        if "tool" in error.details:
            called(str(error.details["tool"]), error.code, time.perf_counter() - started)
        raise
    for change in changes[: len(done.views)]:
        called(change.tool, "ok", time.perf_counter() - started)
    return done
