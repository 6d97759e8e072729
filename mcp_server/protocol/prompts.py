"""`prompts/*`: ways of working that a person can start from the client's menu."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.lines import fenced
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named
from mcp_server.protocol.seam import RequestContext, Seam, protocol_error
from tools import TOOLS


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a prompt."""

    name: str
    description: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One prompt of the catalogue."""

    name: str
    title: str
    description: str
    tools: tuple[str, ...]
    """Those that it speaks of; it is offered where they all are."""

    arguments: tuple[Argument, ...]
    render: Callable[[Mapping[str, str]], str]


def _plan_project(given: Mapping[str, str]) -> str:
    return (
        f"Plan this goal as tasks on the operations desk:\n\n{fenced(given['goal'])}\n\n"
        "1. Look at agents_find and tasks_find first, so that nothing is planned twice.\n"
        "2. Write the plan: each task with a title that says what is done when it is done, the capability it needs, "
        "and what it depends on.\n"
        "3. Show me the plan and wait for my yes.\n"
        "4. Then call tasks_create once with all of them, using #n references for dependencies, and an "
        "idempotency_key per task.\n"
        "5. Tell me which tasks can be claimed now and which wait, and for what."
    )


def _triage_failures(given: Mapping[str, str]) -> str:
    kind = f" of kind {named(given['kind'])}" if given.get("kind") else ""
    return (
        f"Go through the failed tasks{kind} on the operations desk.\n\n"
        "1. List them: tasks_find with status failed, then with status timed_out.\n"
        "2. Read each one in full and its trail: events_read with its id as aggregate_id.\n"
        "3. Group them by cause, with the evidence.\n"
        "4. Propose per group: retry, discard, or what to mend first. Change nothing before I agree; then use "
        "tasks_control with a reason."
    )


def _hand_over(given: Mapping[str, str]) -> str:
    agent_id = named(given["agent_id"])
    return (
        f"Write a hand-over of agent {agent_id}'s work for whoever takes over.\n\n"
        "1. Read the agent (agents_find), its running tasks (tasks_find with agent_id) and its newest events "
        "(events_read).\n"
        "2. Write: what is done, what is under way and how far, what waits and for what, what went wrong, and the next "
        "three steps.\n"
        f"3. Store it with state_set under namespace handover, key {agent_id}, and tell me its version."
    )


PROMPTS = (
    PromptSpec(
        name="plan-project",
        title="Plan a project",
        description="Turn a goal into tasks with dependencies, show the plan, then create them.",
        tools=("agents_find", "tasks_find", "tasks_create"),
        arguments=(Argument("goal", "What should be true at the end"),),
        render=_plan_project,
    ),
    PromptSpec(
        name="triage-failures",
        title="Triage failures",
        description="Group the failed tasks by cause and propose what to do with each group.",
        tools=("tasks_find", "events_read", "tasks_control"),
        arguments=(Argument("kind", "Only tasks of this kind", required=False),),
        render=_triage_failures,
    ),
    PromptSpec(
        name="hand-over",
        title="Hand over",
        description="Write down where an agent's work stands, for its successor.",
        tools=("agents_find", "tasks_find", "events_read", "state_set"),
        arguments=(Argument("agent_id", "Whose work"),),
        render=_hand_over,
    ),
)


class Prompts:
    """The prompts that this server offers. A caller that may not use all the tools of one has no use for it."""

    def __init__(self, seam: Seam, prompts: tuple[PromptSpec, ...]) -> None:
        self._seam = seam
        self._prompts = {spec.name: spec for spec in prompts}

    async def list_prompts(
        self, ctx: RequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """The prompts that the caller can use."""
        del params
        actor = self._seam.actor_of(ctx)
        return types.ListPromptsResult(
            prompts=[_listed(spec) for spec in self._prompts.values() if _needs(spec) <= actor.permissions]
        )

    async def get_prompt(self, ctx: RequestContext, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """One prompt, filled in.

        Raises:
            MCPError: unknown prompt, unknown argument, a required argument is missing, or the caller lacks a right.
        """
        spec = self._prompts.get(params.name)
        if spec is None:
            names = ", ".join(self._prompts)
            meant = did_you_mean(near(params.name, self._prompts))
            message = f"Unknown prompt: {named(params.name)}. {meant}This server offers: {names}."
            raise MCPError(code=INVALID_PARAMS, message=message)
        try:
            for permission in sorted(_needs(spec)):
                self._seam.actor_of(ctx).require(permission)
        except OpsError as error:
            raise protocol_error(error, spec.name) from error
        given = params.arguments or {}
        _require_right(spec, given)
        text = spec.render(given)
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=spec.description, messages=[message])


def _needs(spec: PromptSpec) -> set[Permission]:
    return {tool.permission for tool in TOOLS if tool.name in spec.tools}


def _listed(spec: PromptSpec) -> types.Prompt:
    return types.Prompt(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        arguments=[
            types.PromptArgument(name=a.name, description=a.description, required=a.required) for a in spec.arguments
        ],
    )


def _require_right(spec: PromptSpec, given: Mapping[str, str]) -> None:
    known = {argument.name for argument in spec.arguments}
    wrong = [f"missing {a.name}" for a in spec.arguments if a.required and not given.get(a.name)]
    wrong += [f"unknown {named(name)}" for name in sorted(given.keys() - known)]
    if wrong:
        takes = ", ".join(
            f"{a.name} ({a.description.lower()}{'' if a.required else ', optional'})" for a in spec.arguments
        )
        message = f"Prompt {spec.name}: {', '.join(wrong)}. It takes: {takes}."
        raise MCPError(code=INVALID_PARAMS, message=message)
