"""`prompts/*`: ways of working that a person can start from the client's menu."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mcp_server.protocol.seam import RequestContext


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
    arguments: tuple[Argument, ...]
    render: Callable[[Mapping[str, str]], str]


def _plan_project(given: Mapping[str, str]) -> str:
    return (
        f"Plan this goal as tasks on the operations desk: {given['goal']}\n\n"
        "1. Look at agents_find and tasks_find first, so that nothing is planned twice.\n"
        "2. Write the plan: each task with a title that says what is done when it is done, the capability it needs, "
        "and what it depends on.\n"
        "3. Show me the plan and wait for my yes.\n"
        "4. Then call tasks_create once with all of them, using #n references for dependencies, and an "
        "idempotency_key per task.\n"
        "5. Tell me which tasks can be claimed now and which wait, and for what."
    )


def _triage_failures(given: Mapping[str, str]) -> str:
    kind = f" of kind {given['kind']}" if given.get("kind") else ""
    return (
        f"Go through the failed tasks{kind} on the operations desk.\n\n"
        "1. List them: tasks_find with status failed, then with status timed_out.\n"
        "2. Read each one in full and its trail: events_read with its id as aggregate_id.\n"
        "3. Group them by cause, with the evidence.\n"
        "4. Propose per group: retry, discard, or what to mend first. Change nothing before I agree; then use "
        "tasks_control with a reason."
    )


def _hand_over(given: Mapping[str, str]) -> str:
    return (
        f"Write a hand-over of agent {given['agent_id']}'s work for whoever takes over.\n\n"
        "1. Read the agent (agents_find), its running tasks (tasks_find with agent_id) and its newest events.\n"
        "2. Write: what is done, what is under way and how far, what waits and for what, what went wrong, and the next "
        "three steps.\n"
        f"3. Store it with state_set under namespace handover, key {given['agent_id']}, and tell me its version."
    )


PROMPTS = (
    PromptSpec(
        name="plan-project",
        title="Plan a project",
        description="Turn a goal into tasks with dependencies, show the plan, then create them.",
        arguments=(Argument("goal", "What should be true at the end"),),
        render=_plan_project,
    ),
    PromptSpec(
        name="triage-failures",
        title="Triage failures",
        description="Group the failed tasks by cause and propose what to do with each group.",
        arguments=(Argument("kind", "Only tasks of this kind", required=False),),
        render=_triage_failures,
    ),
    PromptSpec(
        name="hand-over",
        title="Hand over",
        description="Write down where an agent's work stands, for its successor.",
        arguments=(Argument("agent_id", "Whose work"),),
        render=_hand_over,
    ),
)


async def list_prompts(ctx: RequestContext, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    """Every prompt."""
    del ctx, params
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=spec.name,
                title=spec.title,
                description=spec.description,
                arguments=[
                    types.PromptArgument(name=a.name, description=a.description, required=a.required)
                    for a in spec.arguments
                ],
            )
            for spec in PROMPTS
        ]
    )


def _require_right(spec: PromptSpec, given: Mapping[str, str]) -> None:
    known = {argument.name for argument in spec.arguments}
    wrong = [f"missing {a.name}" for a in spec.arguments if a.required and not given.get(a.name)]
    wrong += [f"unknown {name}" for name in sorted(given.keys() - known)]
    if wrong:
        raise MCPError(code=INVALID_PARAMS, message=f"Prompt {spec.name}: {', '.join(wrong)}.")


async def get_prompt(ctx: RequestContext, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    """One prompt, filled in.

    Raises:
        MCPError: unknown prompt, unknown argument, or a required argument is missing.
    """
    del ctx
    spec = next((spec for spec in PROMPTS if spec.name == params.name), None)
    if spec is None:
        names = ", ".join(spec.name for spec in PROMPTS)
        raise MCPError(code=INVALID_PARAMS, message=f"Unknown prompt: {params.name}. This server offers: {names}.")
    given = params.arguments or {}
    _require_right(spec, given)
    text = spec.render(given)
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(description=spec.description, messages=[message])
