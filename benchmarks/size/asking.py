"""What is asked: every list, resource, completion, empty claim and look of the timer."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from mcp.client import Client

from mcp_server.app import App
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.call import Call
from mcp_server.protocol.completions import complete

Ask = Callable[[], Awaitable[Any]]
CALL = Call(SYSTEM, "benchmark")
SECONDS_MAX = 6.0
"""After so long nothing is asked again."""

TASKS: list[dict[str, Any]] = [
    {},
    *({"status": status} for status in ("pending", "queued", "running", "paused", "completed", "failed", "cancelled")),
    {"status": "timed_out"},
    {"ready": True},
    {"ready": False},
    {"blocked": True},
    {"schedules": True},
    {"include_system": True},
    *({"agent_id": name} for name in ("painter", "rare", "idle")),
    *({"kind": kind} for kind in ("build", "rare")),
    *({"tag": tag} for tag in ("nightly", "rare", "none")),
    {"kind": "rare", "status": "failed"},
    *({"text": text} for text in ("old work", "under way", "nowhere")),
]
EVENTS: list[dict[str, Any]] = [
    {},
    {"newest_first": True},
    *(
        {"type": type_, "newest_first": newest}
        for newest in (False, True)
        for type_ in ("task.paused", "lock.released")
    ),
    {"type": "deployment.*"},
    {"actor": "rare"},
    {"actor": "rare", "newest_first": True},
    {"actor": "user:nobody"},
    {"correlation_id": "none"},
    {"aggregate_id": "notes/page-0"},
    {"since": "-1h"},
    {"since": "1h", "newest_first": True},
    {"until": "2020-01-01T00:00:00Z", "newest_first": True},
]
TOOLS: dict[str, list[dict[str, Any]]] = {
    "tasks_find": TASKS,
    "tasks_claim": [
        {"agent_id": "idle"},
        {"agent_id": "idle", "kinds": ["none"]},
        {"agent_id": "idle", "max_tasks": 10},
    ],
    "agents_find": [
        {},
        {"agent_id": "painter"},
        {"status": "idle"},
        {"capability": "nothing"},
        {"tag": "night"},
        {"for_task": "$queued"},
    ],
    "state_find": [
        {},
        {"namespace": "notes"},
        {"prefix": "page-1"},
        {"prefix": "zz"},
        {"tag": "page"},
        {"tag": "rare"},
        {"deleted": True},
        {"text": "xxx"},
        {"text": "nowhere"},
    ],
    "state_get": [{"namespace": "notes", "key": "page-0"}],
    "state_history": [{"namespace": "notes", "key": "page-0", "diff": True}],
    "locks_find": [{}, {"prefix": "src/2"}, {"agent_id": "painter"}, {"agent_id": "rare"}],
    "events_read": EVENTS,
    "messages_read": [
        {"agent_id": "painter", "unread_only": False},
        {"agent_id": "idle"},
        {"agent_id": "rare", "sent": True},
        {"agent_id": "painter", "unacknowledged": True},
        {"agent_id": "painter", "text": "unread"},
        {"agent_id": "painter", "text": "message"},
        {"agent_id": "rare", "text": "nowhere"},
    ],
    "email_find": [{}, {"status": "sent"}, {"status": "failed"}, {"to": "rare@example.org"}, {"template": "none"}],
    "approvals_find": [{}, {"status": "pending"}, {"status": "rejected"}, {"approver": "rare@example.org"}],
    "deployments_find": [{}, {"name": "site-1"}, {"status": "live"}, {"environment": "test"}, {"target": "none"}],
    "tasks_wait": [{"task_id": "$queued", "wait_seconds": 0}],
}
RESOURCES = ("ops://health", "ops://tasks", "ops://agents", "ops://events", "ops://locks", "ops://state/notes/page-0")
COMPLETIONS: list[tuple[str, str, dict[str, str]]] = [
    *(("task_id", typed, {}) for typed in ("", "task_", "task_z", "nothing")),
    ("kind", "", {}),
    ("kind", "ra", {}),
    ("agent_id", "p", {}),
    ("capability", "", {}),
    ("namespace", "", {}),
    ("namespace", "not", {}),
    ("key", "page-1", {"namespace": "notes"}),
    ("key", "zz", {"namespace": "notes"}),
    ("approval_id", "", {}),
    ("email_id", "zz", {}),
    ("deployment_id", "", {}),
]


async def asks(app: App, client: Client) -> dict[str, Ask]:
    """Everything that is asked, by what it is called."""
    queued = (await client.call_tool("tasks_find", {"kind": "build", "status": "queued"})).structured_content or {}
    some_id = queued["tasks"][0]["id"]
    found: dict[str, Ask] = {}
    for tool, several in TOOLS.items():
        for arguments in several:
            said = ", ".join(f"{name}={value}" for name, value in arguments.items())
            filled = {name: some_id if value == "$queued" else value for name, value in arguments.items()}
            found[f"{tool} {said}".rstrip()] = _tool(client, tool, filled)
    for uri in RESOURCES:
        found[uri] = _resource(client, uri)
    for argument, typed, known in COMPLETIONS:
        found[f"complete {argument} {typed!r}"] = _completion(app, argument, typed, known)
    return found | _behind(app)


def _tool(client: Client, tool: str, arguments: dict[str, Any]) -> Ask:
    async def ask() -> None:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, (tool, arguments, result.content)

    return ask


def _resource(client: Client, uri: str) -> Ask:
    async def ask() -> None:
        await client.read_resource(uri, cache_mode="bypass")

    return ask


def _completion(app: App, argument: str, typed: str, known: dict[str, str]) -> Ask:
    async def ask() -> None:
        await complete(app.desk, CALL, argument, typed, known)

    return ask


def _behind(app: App) -> dict[str, Ask]:
    """What no caller asks: the timer, the chores, the looks of hooks."""
    desk, fetch_all = app.desk, app.desk.context.database.fetch_all

    async def chores() -> None:
        for chore in desk.areas.chores:
            await chore.wanted(desk)

    async def rightings() -> None:
        now = desk.housekeeping.clock()
        for righting in desk.areas.rightings:
            await fetch_all(righting.rows, now=now, ahead=now + 60_000_000)

    return {
        "timer: next_due": desk.housekeeping.next_due,
        "timer: settle": desk.housekeeping.settle,
        "chores: wanted": chores,
        "clock set: rightings": rightings,
        "system worker: ready": lambda: fetch_all("system_ready", kinds='["system.email.file"]'),
        "autoscaler: ready_by_queue": lambda: fetch_all("ready_by_queue", at_most=100),
        "hook: work_glance": lambda: fetch_all("work_glance", agent_id="agent_x", skills='["nothing"]', limit=5),
        "hook: inbox_count": lambda: fetch_all("inbox_count", party="user:nobody"),
        "hook: approvals_glance_open": lambda: fetch_all("approvals_glance_open", limit=5),
    }


class Taken(NamedTuple):
    """How long something took, in milliseconds: at the median, and at least."""

    median: float
    least: float


async def milliseconds(both: Sequence[Ask], rounds: int) -> list[Taken]:
    """The time that the same takes in each of two databases, asked in turns: a machine that others use changes its
    speed within seconds, and what it took at least says most."""
    for ask in both:
        await ask()
    taken: list[list[float]] = [[] for _ in both]
    for _ in range(rounds):
        for ask, times in zip(both, taken, strict=True):
            started = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - started) * 1000)
        if sum(map(sum, taken)) > SECONDS_MAX * 1000:
            break
    return [Taken(statistics.median(times), min(times)) for times in taken]
