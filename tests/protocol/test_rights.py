"""Who can reach what, and by which way: one table for tools, resources, subscriptions, prompts, completions, methods of
the Tasks extension and events, and one walk through all of them for every role and every offer.

A row says: the way, the thing, its toolset, the least role that may use it, whether it changes something, and the tool
without which it is not there either. What is not offered does not exist; what a role may not do is refused.
"""

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference

from mcp_server.app import App, open_app
from mcp_server.config import load_settings
from mcp_server.domain.areas import AREAS
from mcp_server.domain.processes.model import Want
from mcp_server.domain.processes.transactions import want
from mcp_server.domain.speaking import Voices
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import EVERYWHERE, Actor, Role, Scope
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.json_text import RawJson
from mcp_server.protocol.offer import METHODS, Offer
from mcp_server.protocol.prompt_catalogue import PROMPTS
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from resources import RESOURCES
from resources.skills import SKILLS
from tests.protocol.tasks_client import TasksClient, ask, watching
from tests.telling import plain
from tests.world import on_file
from tools import TOOLS, TOOLSETS

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]

TABLE = """
tool        agents_register                 agents         agent     changes
tool        agents_find                     agents         viewer    -
tool        agents_control                  agents         operator  changes
tool        agents_scale                    agents         operator  changes
tool        tasks_create                    tasks          agent     changes
tool        tasks_find                      tasks          viewer    -
tool        tasks_claim                     tasks          agent     changes
tool        tasks_report                    tasks          agent     changes
tool        tasks_finish                    tasks          agent     changes
tool        tasks_control                   tasks          operator  changes
tool        tasks_wait                      tasks          viewer    -
tool        state_get                       state          viewer    -
tool        state_set                       state          agent     changes
tool        state_patch                     state          agent     changes
tool        state_history                   state          viewer    -
tool        state_restore                   state          agent     changes
tool        state_find                      state          viewer    -
tool        locks_acquire                   state          agent     changes
tool        locks_release                   state          agent     changes
tool        locks_find                      state          viewer    -
tool        deployments_define              deployments    agent     changes
tool        deployments_find                deployments    viewer    -
tool        deployments_plan                deployments    agent     changes
tool        deployments_apply               deployments    agent     changes
tool        deployments_control             deployments    operator  changes
tool        messages_send                   communication  agent     changes
tool        messages_read                   communication  agent     changes
tool        email_send                      communication  agent     changes
tool        email_find                      communication  viewer    -
tool        approvals_request               communication  agent     changes
tool        approvals_decide                communication  operator  changes
tool        approvals_find                  communication  viewer    -
tool        calls_open                      communication  agent     changes
tool        calls_control                   communication  agent     changes
tool        events_read                     system         viewer    -
tool        commit                          system         agent     changes
resource    ops://agents{?cursor}           agents         viewer    -
resource    ops://agents/{agent_id}         agents         viewer    -
resource    ops://processes/{process_id}/log agents        operator  -
resource    ops://tasks{?cursor}            tasks          viewer    -
resource    ops://tasks/{task_id}           tasks          viewer    -
resource    ops://state/{namespace}/{+key}{?version} state viewer    -
resource    ops://locks                     state          viewer    -
resource    ops://deployments/{deployment_id} deployments  viewer    -
resource    ops://approvals/{approval_id}   communication  viewer    -
resource    ops://emails/{email_id}         communication  viewer    -
resource    ops://calls/{call_id}           communication  viewer    -
resource    ops://calls/{call_id}/transcript{?after} communication viewer -
resource    ops://calls/{call_id}/recording{?from_seconds} communication viewer -
resource    ops://events{?after}            system         viewer    -
resource    ops://health                    system         viewer    -
resource    skill://worker-loop/SKILL.md    tasks          viewer    -
resource    skill://planner/SKILL.md        tasks          viewer    -
resource    skill://operator/SKILL.md       tasks          viewer    -
prompt      plan-project             agents+tasks+state    agent     changes \
            agents_find+tasks_find+state_find+tasks_create
prompt      triage-failures                 tasks+system   operator  changes  tasks_find+events_read+tasks_control
prompt      hand-over     agents+tasks+system+state      operator  changes \
            agents_find+tasks_find+locks_find+events_read+state_set+agents_control
prompt      incident      agents+tasks+system+state+communication+deployments  agent     changes \
            events_read+tasks_find+agents_find+locks_find+deployments_find+email_find+state_set
prompt      daily-brief   agents+tasks+system+communication+deployments  agent  changes \
            events_read+tasks_find+agents_find+deployments_find+approvals_find+email_find+messages_read
completion  agent_id                        agents         viewer    -
completion  to_agent                        agents         viewer    -
completion  capability                      agents         viewer    -
completion  kind                            tasks          viewer    -
completion  event_type                      system         viewer    -
completion  process_id                      agents         viewer    -
completion  task_id                         tasks          viewer    -
completion  namespace                       state          viewer    -
completion  key                             state          viewer    -
completion  deployment_id                   deployments    viewer    -
completion  approval_id                     communication  viewer    -
completion  email_id                        communication  viewer    -
completion  call_id                         communication  viewer    -
method      skills/list                     tasks          viewer    -
method      skills/get                      tasks          viewer    -
method      tasks/get                       tasks          viewer    -
method      notifications/tasks             tasks          viewer    -
method      tasks/cancel                    tasks          agent     changes
method      tasks/update              tasks+communication  operator  changes  approvals_decide
events      agent                           agents+system  viewer    -        events_read
events      instance                        agents+system  viewer    -        events_read
events      process                         agents+system  viewer    -        events_read
events      usage                           agents+system  viewer    -        events_read
events      task                            tasks+system   viewer    -        events_read
events      document                        state+system   viewer    -        events_read
events      lock                            state+system   viewer    -        events_read
events      deployment                deployments+system   viewer    -        events_read
events      deployment_revision       deployments+system   viewer    -        events_read
events      deployment_plan           deployments+system   viewer    -        events_read
events      deployment_run            deployments+system   viewer    -        events_read
events      message                communication+system    operator  -        events_read
events      approval                        communication+system viewer -     events_read
events      commit                          system         viewer    -        events_read
events      email                  communication+system    operator  -        events_read
events      call                   communication+system    operator  -        events_read
events      user                            system         operator  -        events_read
events      key                             system         operator  -        events_read
events      rules                           system         operator  -        events_read
events      database                        system         operator  -        events_read
"""
NEVER_WAS = "_that_never_was"
"""How what the walk looks for is called: nobody took part in it, so that private events are control's alone."""


def slow(role: str) -> Any:
    """A role whose walk is left to the slow suite: the others' take long enough."""
    return pytest.param(role, marks=pytest.mark.slow)


ROLES = ("nobody", "viewer", "agent", "operator", "admin")
SERVED, REFUSED, UNKNOWN = "served", "refused", "unknown"
OFFERS = (
    Offer(),
    Offer(read_only=True),
    Offer(("state", "system")),
    *(Offer((toolset,)) for toolset in TOOLSETS),
)


class Row(NamedTuple):
    """One line of the table."""

    way: str
    name: str
    toolsets: frozenset[str]
    least: str
    changes: bool
    tools: frozenset[str]

    def expected(self, role: str, offer: Offer) -> str:
        """What becomes of it."""
        tools = self.tools | ({self.name} if self.way == "tool" else set())
        if not tools.isdisjoint(offer.exclude_tools) or (self.changes and offer.read_only):
            return UNKNOWN
        if offer.toolsets is not None and not self.toolsets <= set(offer.toolsets):
            return UNKNOWN
        role = min(role, "viewer", key=ROLES.index) if offer.read_only else role
        return SERVED if ROLES.index(role) >= ROLES.index(self.least) else REFUSED


def _row(line: str) -> Row:
    way, name, toolsets, least, changes, *tools = line.split()
    needed = frozenset(tool for some in tools for tool in some.split("+"))
    return Row(way, name, frozenset(toolsets.split("+")), least, changes == "changes", needed)


ROWS = [_row(line) for line in TABLE.strip().splitlines()]


def rows(way: str) -> list[Row]:
    return [row for row in ROWS if row.way == way]


def test_everything_that_can_be_reached_stands_in_the_table_once():
    reached = {
        "tool": [tool.name for tool in TOOLS],
        "resource": [resource.uri_template for resource in RESOURCES],
        "prompt": [prompt.name for prompt in PROMPTS],
        "completion": list(AREAS.completions),
        "method": [method.name for method in METHODS],
        "events": list(AREAS.aggregates),
    }
    for way, names in reached.items():
        assert sorted(row.name for row in rows(way)) == sorted(names), way


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_a_prompt_names_the_tools_that_it_speaks_of(prompt: Any):
    text = prompt.render({argument.name: "x" for argument in prompt.arguments})
    assert set(prompt.tools) == {tool.name for tool in TOOLS if tool.name in text}


@dataclass
class House:
    """A desk with one of everything, and what each is called."""

    app: App
    task_id: str
    own: dict[str, str]
    heard: TasksClient

    def server(self, role: str, offer: Offer, scope: Scope = EVERYWHERE) -> Any:
        permissions = frozenset() if role == "nobody" else Role(role).permissions
        actor = Actor(kind="user", id="tester", permissions=permissions, is_local=True, scope=scope)
        actor = actor.narrowed(read_only=offer.read_only)
        seam = Seam(lambda ctx: actor, self.app.desk.get(Voices), new_id, self.app.metrics, offer.toolsets)
        return make_server(self.app.desk, seam, offer)

    @asynccontextmanager
    async def client(
        self, role: str, offer: Offer, mode: Any = "auto", scope: Scope = EVERYWHERE
    ) -> AsyncGenerator[Client]:
        heard, server = TasksClient(), self.server(role, offer, scope)
        self.heard = heard
        async with Client(server, mode=mode, extensions=[heard], message_handler=heard.hear) as client:
            yield client

    async def place(self) -> int:
        row = await self.app.desk.context.database.fetch_one("events_end")
        return 0 if row is None else row["seq"]


def everything_happens(tx: Any, origin: Origin) -> None:
    """One event of every type that there is."""
    for kind, aggregate in AREAS.aggregates.items():
        for type_, telling in aggregate.tells().items():
            data = {name: plain(kind, name) for name in telling.always}
            tx.append(origin, Event(type_, kind, f"{kind}{NEVER_WAS}", 1, data))


@asynccontextmanager
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"), user="tester")) as app:
        async with Client(app.server) as client:

            async def step(tool: str, **arguments: Any) -> dict[str, Any]:
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, result.content
                return result.structured_content or {}

            await step("agents_register", name="worker", capabilities=[{"name": "python"}])
            await step("state_set", namespace="n", key="k", value=1)
            web = [{"name": "web", "image": "web"}]
            await step("deployments_define", name="d", target="compose", environment="dev", services=web)
            asked = await step("approvals_request", title="t", action="a", approvers=["local"])
            later = "2999-01-01T00:00:00Z"  # so that nothing happens by itself meanwhile
            sent = await step("email_send", to="ann@example.org", subject="s", text="t", send_at=later)
            called = (await step("calls_open", purpose="p", participants=["worker"]))["call"]
            await step("calls_control", call_id=called["id"], action="end")
            await step("tasks_wait", task_id=called["task_id"], wait_seconds=20)
            made = await step("tasks_create", tasks=[{"title": "t", "run_at": later}])
        origin = Origin(0, "user:tester", "walk")
        await app.desk.context.database.write(everything_happens, origin)
        place = Want("instance_walked", "walk", "owner", 0, "walk", RawJson("{}"))
        await app.desk.context.database.write(want, origin, place)
        own = {
            "ops://approvals/{approval_id}": f"ops://approvals/{asked['approval']['id']}",
            "ops://emails/{email_id}": f"ops://emails/{sent['email']['id']}",
            "ops://calls/{call_id}": f"ops://calls/{called['id']}",
            "ops://calls/{call_id}/transcript{?after}": f"ops://calls/{called['id']}/transcript",
            "ops://calls/{call_id}/recording{?from_seconds}": f"ops://calls/{called['id']}/recording",
        }
        yield House(app, made["tasks"][0]["id"], own, TasksClient())


def outcome(error: MCPError) -> str:
    """What an error says of the thing asked for."""
    if "lacks the permission" in error.error.message:
        return REFUSED
    code = error.error.data.get("code") if isinstance(error.error.data, dict) else None
    unknown = ("Unknown tool", "Unknown prompt", "There is no resource", "Method not found")
    return UNKNOWN if error.error.message.startswith(unknown) and code is None else SERVED


async def tool_outcome(client: Client, name: str) -> str:
    """A call that is refused for its arguments was let in."""
    try:
        result = await client.call_tool(name, {"no such argument": 1})
    except MCPError as error:
        return outcome(error)
    return REFUSED if (result.structured_content or {})["error"]["code"] == "permission_denied" else SERVED


def uri_of(template: str) -> str:
    named = template.replace("{namespace}/{+key}", "n/k").split("{?")[0]
    return re.sub(r"\{[^}]*\}", "none", named)


async def reads(client: Client, what: Any) -> str:
    try:
        await what
    except MCPError as error:
        return outcome(error)
    return SERVED


async def completion_outcome(client: Client, argument: str) -> str:
    ref = ResourceTemplateReference(uri="ops://agents/{agent_id}", type="ref/resource")
    try:
        found = await client.complete(ref, {"name": argument, "value": ""}, context_arguments={"namespace": "n"})
    except MCPError as error:
        return outcome(error)
    return SERVED if found.completion.values else UNKNOWN


async def method_outcome(client: Client, house: House, name: str) -> str:
    if name == "notifications/tasks":
        house.heard.acknowledged.clear()
        async with watching(client, house.heard, house.task_id):
            return SERVED if house.heard.honored.get("taskIds") == [house.task_id] else UNKNOWN
    if name.startswith("skills/"):
        return await reads(client, ask(client, name, **({"uri": SKILLS[0].uri} if name == "skills/get" else {})))
    params = {"inputResponses": {}} if name == "tasks/update" else {}
    task_id = house.task_id if name == "tasks/get" else "task_none"
    return await reads(client, ask(client, name, taskId=task_id, **params))


async def subscribed(client: Client, uris: Iterable[str]) -> set[str]:
    """The resources that a stream of 2026-07-28 takes up."""
    async with client.listen(resource_subscriptions=list(uris)) as stream:
        return set(stream.honored.resource_subscriptions or ())


async def event_types(client: Client) -> set[str]:
    seen: set[str] = set()
    after = None
    while True:
        result = await client.call_tool("events_read", {"limit": 100} | ({"after": after} if after else {}))
        if result.is_error or not (result.structured_content or {})["events"]:
            return seen
        events = result.structured_content["events"]
        seen |= {event["type"] for event in events if event["aggregate_id"].endswith(NEVER_WAS)}
        after = result.structured_content["cursor"]


async def walked(house: House, client: Client) -> dict[tuple[str, str], str]:
    """What becomes of everything, by the way and the name."""
    found: dict[tuple[str, str], str] = {}
    for row in rows("tool"):
        found["tool", row.name] = await tool_outcome(client, row.name)
    for row in rows("resource"):
        found["resource", row.name] = await reads(client, client.read_resource(uri_of(row.name)))
    for row in rows("prompt"):
        found["prompt", row.name] = await reads(client, client.get_prompt(row.name, {"no such argument": "x"}))
    for row in rows("completion"):
        found["completion", row.name] = await completion_outcome(client, row.name)
    for row in rows("method"):
        found["method", row.name] = await method_outcome(client, house, row.name)
    seen = await event_types(client) if found["tool", "events_read"] != UNKNOWN else set()
    for row in rows("events"):
        whole = AREAS.aggregates[row.name].tells().keys()
        assert whole <= seen or whole.isdisjoint(seen), row
        found["events", row.name] = SERVED if whole <= seen else UNKNOWN
    return found


async def listed(client: Client) -> dict[str, set[str]]:
    """What a client is told that there is."""
    resources = {str(one.uri) for one in (await client.list_resources()).resources}
    templates = {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
    return {
        "tool": {tool.name for tool in (await client.list_tools()).tools},
        "prompt": {prompt.name for prompt in (await client.list_prompts()).prompts},
        "resource": {
            one.uri_template for one in RESOURCES if {one.uri_template, one.plain_uri} & (templates | resources)
        },
    }


def wanted(role: str, offer: Offer) -> dict[tuple[str, str], str]:
    """What the table says. Where a thing only is there or not, a refusal looks as if it were not."""
    told = {("events", row.name) for row in rows("events")} | {("method", "notifications/tasks")}
    expected = {(row.way, row.name): row.expected(role, offer) for row in ROWS}
    return {key: UNKNOWN if key in told and is_ == REFUSED else is_ for key, is_ in expected.items()}


@pytest.mark.parametrize("role", ROLES)
async def test_every_way_asks_the_same_question(tmp_path: Path, role: str):
    async with house(tmp_path) as built:
        before = await built.place()
        for offer in OFFERS:
            expected = wanted(role, offer)
            async with built.client(role, offer) as client:
                assert await walked(built, client) == expected, offer
                for way, names in (await listed(client)).items():
                    assert names == {name for (kind, name), is_ in expected.items() if kind == way and is_ == SERVED}
                uris = {built.own.get(row.name, uri_of(row.name)): row for row in rows("resource")}
                honored = await subscribed(client, uris)
                assert honored == {uri for uri, row in uris.items() if row.expected(role, offer) == SERVED}
        assert await built.place() == before, "asking changed something"


@pytest.mark.parametrize("role", ["operator", *map(slow, ("nobody", "viewer", "agent", "admin"))])
async def test_a_key_of_some_toolsets_finds_what_a_server_that_offers_them_alone_has(tmp_path: Path, role: str):
    async with house(tmp_path) as built:
        for toolsets in (("state", "system"), *((toolset,) for toolset in TOOLSETS)):
            offer, scope = Offer(toolsets), Scope(toolsets=frozenset(toolsets))
            expected = wanted(role, offer)
            async with built.client(role, Offer(), scope=scope) as client:
                assert await walked(built, client) == expected, toolsets
                for way, names in (await listed(client)).items():
                    assert names == {name for (kind, name), is_ in expected.items() if kind == way and is_ == SERVED}
                uris = {built.own.get(row.name, uri_of(row.name)): row for row in rows("resource")}
                honored = await subscribed(client, uris)
                assert honored == {uri for uri, row in uris.items() if row.expected(role, offer) == SERVED}
        async with built.client(role, Offer(("tasks", "state")), scope=Scope(toolsets=frozenset(("state",)))) as client:
            assert await walked(built, client) == wanted(role, Offer(("state",)))


async def test_calls_that_land_together_are_of_the_keys_toolsets_too(tmp_path: Path):
    async with house(tmp_path) as built:
        scope = Scope(toolsets=frozenset(("system", "state", "communication")))
        call = {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t"}]}}
        async with built.client("admin", Offer(), scope=scope) as client:
            for tool, arguments in (
                ("commit", {"calls": [call]}),
                ("approvals_request", {"title": "t", "calls": [call]}),
            ):
                result = await client.call_tool(tool, arguments)
                error = (result.structured_content or {})["error"]
                assert error["code"] == "validation" and "no such tool is offered" in error["message"], tool


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "agent", *map(slow, ("nobody", "operator", "admin"))])
async def test_subscriptions_and_unknown_methods_of_earlier_clients_ask_it_too(tmp_path: Path, role: str):
    async with house(tmp_path) as built:
        for offer in OFFERS:
            async with built.client(role, offer, "legacy") as client:
                for row in rows("resource"):
                    is_ = await reads(client, client.subscribe_resource(uri_of(row.name)))
                    assert is_ == row.expected(role, offer), (row, offer)
                for row in rows("tool"):
                    assert await tool_outcome(client, row.name) == row.expected(role, offer), (row, offer)
                for method in ("tasks/get", "tasks/cancel", "tasks/update"):
                    assert await reads(client, ask(client, method, taskId=built.task_id, inputResponses={})) == UNKNOWN


async def test_a_tool_that_is_excluded_takes_away_every_way_to_do_the_same(tmp_path: Path):
    async with house(tmp_path) as built:
        for tool in TOOLS:
            offer = Offer(exclude_tools=(tool.name,))
            async with built.client("operator", offer) as client:
                assert await tool_outcome(client, tool.name) == UNKNOWN
                expected = wanted("operator", offer)
                for row in (*rows("prompt"), *rows("method")):
                    is_ = await (
                        reads(client, client.get_prompt(row.name, {"no such argument": "x"}))
                        if row.way == "prompt"
                        else method_outcome(client, built, row.name)
                    )
                    assert is_ == expected[row.way, row.name], (row, tool.name)


async def test_without_tasks_control_one_cancels_ones_own_tasks_only(tmp_path: Path):
    async with house(tmp_path) as built:
        async with built.client("operator", Offer(exclude_tools=("tasks_control",))) as client:
            others = (await built.app.desk.system.create(TaskSpec(title="t", kind="system.other"))).id
            with pytest.raises(MCPError, match="There is no task"):
                await ask(client, "tasks/cancel", taskId=others)
            await ask(client, "tasks/cancel", taskId=built.task_id)
            assert (await ask(client, "tasks/get", taskId=built.task_id))["status"] == "cancelled"
        async with built.client("operator", Offer()) as client:
            await ask(client, "tasks/cancel", taskId=others)
            assert (await ask(client, "tasks/get", taskId=others))["status"] == "cancelled"


async def test_where_no_task_methods_are_offered_a_slow_tool_gives_its_ordinary_answer(tmp_path: Path):
    async with house(tmp_path) as built, built.client("operator", Offer(("communication",))) as client:
        sent = await client.call_tool("email_send", {"to": "bob@example.org", "subject": "s", "text": "t"})
        assert (sent.structured_content or {})["email"]["status"] in ("queued", "sent")


async def test_health_counts_tasks_only_where_they_are_offered(tmp_path: Path):
    async with house(tmp_path) as built:
        for offer, counted in ((Offer(("system",)), False), (Offer(), True)):
            async with built.client("operator", offer) as client:
                (content,) = (await client.read_resource("ops://health")).contents
                assert ('"tasks"' in content.text) is counted
