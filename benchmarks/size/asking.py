"""Everything that is asked, and how long it takes: what stands in the table, the looks of the timer, of hooks and of
probes, and a task from beginning to end."""

import re
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mcp.client import Client

from benchmarks.size.sweeping import steps
from benchmarks.size.table import COMPLETIONS, RESOURCES, TOOLS, WRITTEN
from mcp_server.app import App
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import encode_cursor
from mcp_server.protocol.completions import complete

Ask = Callable[[], Awaitable[Any]]
CALL = Call(SYSTEM, "benchmark")
SECONDS_MAX = 6.0
"""After so long nothing is asked again."""


async def asks(app: App, client: Client) -> dict[str, Ask]:
    """Everything that is asked, by what it is called; what is written comes last."""
    ids = await _ids(app, client)
    found: dict[str, Ask] = {"resources/list": lambda: client.list_resources(cache_mode="bypass")}
    for tool, several in TOOLS.items():
        for arguments in several:
            found[_named(tool, arguments)] = _tool(client, tool, _filled(arguments, ids))
    for uri in RESOURCES:
        found[uri] = _resource(client, _filled(uri, ids))
    for argument, typed, known in COMPLETIONS:
        found[f"complete {argument} {typed!r}"] = _completion(app, argument, typed, known)
    written = {_named("write:", {tool: said}): _tool(client, tool, _filled(said, ids)) for tool, said in WRITTEN}
    return (
        found
        | _behind(app, ids["$away"])
        | steps(app)
        | written
        | {"write: create, claim, report, finish": _cycle(client)}
    )


async def _ids(app: App, client: Client) -> dict[str, Any]:
    """What stands in the table's place of ids."""

    async def first(tool: str, listed: str, **arguments: Any) -> Any:
        result = await client.call_tool(tool, {"limit": 1, **arguments})
        assert not result.is_error, (tool, arguments, result.content)
        content: dict[str, Any] = result.structured_content or {}
        return content[listed][0]

    async def letter(agent: str) -> Any:
        return await first("messages_read", "messages", agent_id=agent, unread_only=False)

    tasks = {
        "$queued": {"kind": "build", "status": "queued"},
        "$whole": {"kind": "task"},
        "$parent": {"text": "parent", "status": "queued"},
        "$done": {"kind": "rare", "status": "completed"},
    }
    ids = {name: (await first("tasks_find", "tasks", **asked))["id"] for name, asked in tasks.items()}
    done = await app.desk.context.database.fetch_one("task_by_id", id=ids["$done"])
    assert done is not None
    return ids | {
        "$oldest": encode_cursor("tasks", [done["created_at"], done["id"]]),
        "$event": (await first("events_read", "events", newest_first=True))["seq"],
        "$thread": (await letter("away"))["thread_id"],
        "$small_thread": (await letter("painter"))["thread_id"],
        "$away": (await first("agents_find", "agents", name="away"))["id"],
        "$email": (await first("email_find", "emails", to="rare@example.org"))["id"],
        "$approval": (await first("approvals_find", "approvals", approver="rare@example.org"))["id"],
        "$deployment": (await first("deployments_find", "deployments", name="site-1"))["id"],
    }


def _named(tool: str, arguments: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"{tool} {said}".rstrip()


def _filled(said: Any, ids: Mapping[str, Any]) -> Any:
    """Arguments with ids in them."""
    if isinstance(said, str):
        return ids[said] if said in ids else re.sub(r"\$\w+", lambda found: str(ids[found[0]]), said)
    if isinstance(said, Mapping):
        return {name: _filled(value, ids) for name, value in cast("Mapping[str, Any]", said).items()}
    return [_filled(one, ids) for one in cast("list[Any]", said)] if isinstance(said, list) else said


def _tool(client: Client, tool: str, arguments: dict[str, Any]) -> Ask:
    async def ask() -> None:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, (tool, arguments, result.content)

    return ask


def _cycle(client: Client) -> Ask:
    """A task that is made, and done at once."""

    async def call(tool: str, **arguments: Any) -> Any:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, (tool, arguments, result.content)
        return result.structured_content or {}

    first = {"title": "New", "kind": "build", "priority": "urgent", "required_capabilities": ["python"]}

    async def ask() -> None:
        await call("tasks_create", tasks=[first])
        claims = (await call("tasks_claim", agent_id="rare", kinds=["build"]))["claims"]
        held = {"task_id": claims[0]["task"]["id"], "lease_token": claims[0]["lease_token"]}
        await call("tasks_report", **held, progress={"percent": 50})
        await call("tasks_finish", **held, outcome="completed", result={"ok": True})

    return ask


def _resource(client: Client, uri: str) -> Ask:
    async def ask() -> None:
        await client.read_resource(uri, cache_mode="bypass")

    return ask


def _completion(app: App, argument: str, typed: str, known: dict[str, str]) -> Ask:
    async def ask() -> None:
        await complete(app.desk, CALL, argument, typed, known)

    return ask


def _behind(app: App, away: str) -> dict[str, Ask]:
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
        "/health": lambda: desk.tasks.counts(CALL),
        "/health: log_held_back": desk.log_held_back,
        "timer: next_due": desk.housekeeping.next_due,
        "timer: settle": desk.housekeeping.settle,
        "chores: wanted": chores,
        "clock set: rightings": rightings,
        "system worker: ready": lambda: fetch_all("system_ready", kinds='["system.email.file"]'),
        "autoscaler: ready_by_queue": lambda: fetch_all("ready_by_queue", at_most=100),
        "hook: work_glance": lambda: fetch_all("work_glance", agent_id="agent_x", skills='["nothing"]', limit=5),
        "hook: leases_glance": lambda: fetch_all("leases_glance", agent_id="agent_x", limit=5),
        "hook: inbox_glance": lambda: fetch_all("inbox_glance", party=away, limit=5),
        "hook: inbox_count": lambda: fetch_all("inbox_count", party=away),
        "hook: approvals_glance": lambda: fetch_all(
            "approvals_glance", party="user:local", oldest=0, since=2**62, limit=5
        ),
        "hook: approvals_glance_people": lambda: fetch_all("approvals_glance_people", limit=100),
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
