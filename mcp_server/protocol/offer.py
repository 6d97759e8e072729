"""What of the catalogues this server offers. Every way to a thing asks here: a tool, a resource and its subscription, a
prompt, a completion, an event, a method of the Tasks extension.

Each belongs to one toolset, and each changes something or not. What is not offered does not exist.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from mcp_server.kernel.area import Toolset
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.protocol.prompt_catalogue import PROMPTS, PromptSpec
from resources import RESOURCES
from resources.spec import Resource
from tools import KNOWN, TOOLSETS, KnownTool


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the Tasks or the Skills extension.

    Attributes:
        name: of the method or notification.
        permission: what the caller needs at least.
        changes: whether it changes something.
        tool: the tool that does the same; without it the method does not exist either.
    """

    name: str
    permission: Permission
    changes: bool = False
    tool: str | None = None
    toolset: Toolset = "tasks"


METHODS = (
    Method("tasks/get", Permission.TASKS_READ),
    Method("notifications/tasks", Permission.TASKS_READ),
    Method("skills/list", Permission.TASKS_READ),
    Method("skills/get", Permission.TASKS_READ),
    Method("tasks/cancel", Permission.TASKS_CREATE, changes=True),
    Method("tasks/update", Permission.TASKS_APPROVE, changes=True, tool="approvals_decide"),
)
"""Whoever may create tasks may cancel its own; the tasks of others are cancelled with `tasks_control` and its right."""


@dataclass(frozen=True)
class Offer:
    """Which part of the catalogues this server offers; None means every toolset."""

    toolsets: tuple[str, ...] | None = None
    exclude_tools: tuple[str, ...] = ()
    read_only: bool = False

    def has(self, toolset: str, *, changes: bool = False) -> bool:
        """Whether something of a toolset is offered, given whether it changes anything."""
        return (self.toolsets is None or toolset in self.toolsets) and not (changes and self.read_only)

    def within(self, toolsets: frozenset[str] | None) -> "Offer":
        """What of it is there for a caller who reaches these toolsets alone; None for all."""
        if toolsets is None:
            return self
        known = self._narrower.get(toolsets)
        if known is None:
            reached = toolsets if self.toolsets is None else toolsets & frozenset(self.toolsets)
            known = self._narrower[toolsets] = Offer(tuple(sorted(reached)), self.exclude_tools, self.read_only)
        return known

    @cached_property
    def _narrower(self) -> "dict[frozenset[str], Offer]":
        return {}  # there are no more sets of toolsets than 64

    @cached_property
    def tools(self) -> tuple[KnownTool, ...]:
        """The tools offered.

        Raises:
            ValidationFailed: a toolset or tool that does not exist.
        """
        _require_known("toolset", self.toolsets or (), TOOLSETS)
        _require_known("tool", self.exclude_tools, KNOWN)
        return tuple(
            tool
            for tool in KNOWN.values()
            if self.has(tool.toolset, changes=tool.writes) and tool.name not in self.exclude_tools
        )

    def has_tools(self, *names: str) -> bool:
        """Whether all of these tools are offered."""
        return {tool.name for tool in self.tools}.issuperset(names)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The resources offered, to read and to subscribe to."""
        return tuple(resource for resource in RESOURCES if self.has(resource.toolset))

    @property
    def prompts(self) -> tuple[PromptSpec, ...]:
        """The prompts all of whose tools are offered."""
        return tuple(prompt for prompt in PROMPTS if self.has_tools(*prompt.tools))

    @cached_property
    def methods(self) -> dict[str, Method]:
        """The methods of extensions that are offered, by name."""
        return {
            method.name: method
            for method in METHODS
            if self.has(method.toolset, changes=method.changes) and (method.tool is None or self.has_tools(method.tool))
        }


def _require_known(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise ValidationFailed(
            f"There is no {what} {', '.join(unknown)}.", next=f"Choose from: {', '.join(sorted(known))}."
        )
