"""The prompts: ways of working that a person can start from the client's menu, in a few lines each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_server.kernel.lines import fenced
from mcp_server.kernel.quoting import named


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a prompt. Values for those of a name that an area knows are completed."""

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
    able = f" Plan for agents with the capability {named(given['capability'])}." if given.get("capability") else ""
    return (
        f"Plan this goal as tasks on the operations desk:\n\n{fenced(given['goal'])}\n\n"
        f"1. Look at agents_find, tasks_find and state_find first, so that nothing is planned twice.{able}\n"
        "2. Write the plan: each task with a title that says what is done when it is done, the capability it needs, "
        "what it depends on, and whether a person must approve it (mail that leaves, deployments, deletions).\n"
        "3. Show me the plan and wait for my yes.\n"
        "4. Then call tasks_create once with all of them, using #n references for dependencies, and an "
        "idempotency_key per task.\n"
        "5. Tell me its warnings, which tasks can be claimed now, and which wait, and for what."
    )


def _triage_failures(given: Mapping[str, str]) -> str:
    kind = f" of kind {named(given['kind'])}" if given.get("kind") else ""
    return (
        f"Go through the failed tasks{kind} on the operations desk.\n\n"
        "1. List them: tasks_find with status failed, then with status timed_out.\n"
        "2. Read each one in full and its trail: events_read with its id as aggregate_id.\n"
        "3. Group them by cause, with the evidence.\n"
        "4. Propose per group: retry, edit and retry, discard, assign to another agent, or what to mend first. Change "
        "nothing before I agree; then use tasks_control with a reason."
    )


def _hand_over(given: Mapping[str, str]) -> str:
    agent_id = named(given["agent_id"])
    heir = named(given["to_agent"]) if given.get("to_agent") else "whoever takes over"
    return (
        f"Write a hand-over of agent {agent_id}'s work for {heir}.\n\n"
        "1. Read the agent (agents_find), its tasks (tasks_find with agent_id), its locks (locks_find) and its newest "
        "events (events_read).\n"
        "2. Write: what is done, what is under way and how far, what waits and for what, what went wrong, and the next "
        "three steps.\n"
        f"3. Store it with state_set under namespace handover, key {agent_id}, and tell me its version.\n"
        "4. Only if I say so: agents_control with action terminate and to_agent, which hands over tasks, locks, unread "
        "messages and open questions."
    )


def _incident(given: Mapping[str, str]) -> str:
    since = f" since {named(given['since'])}" if given.get("since") else " of the last hours"
    kind = f" of type {named(given['event_type'])}" if given.get("event_type") else ""
    return (
        f"Find out what went wrong:\n\n{fenced(given['symptom'])}\n\n"
        f"1. Read what happened{since}{kind}: events_read; follow what led to an event with led_to.\n"
        "2. Look at what stands still: tasks_find with status failed and with blocked, agents_find, locks_find, "
        "deployments_find, and mail that failed with email_find.\n"
        "3. Tell me the cause with the evidence (ids and times), what it affects, and the smallest step that helps. "
        "Change nothing before I agree.\n"
        "4. Keep the account with state_set under namespace incidents, and name its version."
    )


def _daily_brief(given: Mapping[str, str]) -> str:
    since = named(given["since"]) if given.get("since") else "24 hours ago"
    return (
        f"Brief me on the operations desk since {since}, in at most fifteen lines.\n\n"
        "1. What happened: events_read since then; name outcomes, not events.\n"
        "2. Where things stand: tasks_find (counts, then what is running, failed or blocked and why), agents_find, "
        "deployments_find.\n"
        "3. What waits for a person: approvals_find with status pending, email_find with status failed, and "
        "messages_read with unacknowledged.\n"
        "4. End with what needs a decision today, the most urgent first. Change nothing."
    )


PROMPTS = (
    PromptSpec(
        name="plan-project",
        title="Plan a project",
        description="Turn a goal into tasks with dependencies, show the plan, then create them.",
        tools=("agents_find", "tasks_find", "state_find", "tasks_create"),
        arguments=(
            Argument("goal", "What should be true at the end"),
            Argument("capability", "What the agents must be able to do", required=False),
        ),
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
        tools=("agents_find", "tasks_find", "locks_find", "events_read", "state_set", "agents_control"),
        arguments=(
            Argument("agent_id", "Whose work, by name or id"),
            Argument("to_agent", "Who takes over", required=False),
        ),
        render=_hand_over,
    ),
    PromptSpec(
        name="incident",
        title="Investigate an incident",
        description="Find out what went wrong, from the trail and from what stands still now.",
        tools=(
            *("events_read", "tasks_find", "agents_find", "locks_find", "deployments_find", "email_find"),
            "state_set",
        ),
        arguments=(
            Argument("symptom", "What was noticed"),
            Argument("since", "From when on", required=False),
            Argument("event_type", "Only events such as task.failed", required=False),
        ),
        render=_incident,
    ),
    PromptSpec(
        name="daily-brief",
        title="Daily brief",
        description="What happened, where things stand, and what waits for a person.",
        tools=(
            *("events_read", "tasks_find", "agents_find", "deployments_find", "approvals_find", "email_find"),
            "messages_read",
        ),
        arguments=(Argument("since", "From when on; by default 24 hours ago", required=False),),
        render=_daily_brief,
    ),
)
