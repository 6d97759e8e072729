"""Subscriptions: every process's change reaches every subscriber, once, in both eras."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate
from mcp_types import ResourceUpdatedNotification

from mcp_server.app import App, open_app
from mcp_server.config import load_settings
from mcp_server.domain.agents.commands import InstanceSpec, Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.speaking import Voices
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.limits import Limits, Most, Thing
from mcp_server.persistence.feed import BACKLOG_MAX
from mcp_server.protocol import subscriptions
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from resources import RESOURCES
from tests.processes import server as server_process
from tests.protocol.tasks_client import ask
from tests.world import caller, on_file

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]


@asynccontextmanager
async def opened(tmp_path: Path, **flags: Any) -> AsyncGenerator[App]:
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"), **flags)) as app:
        yield app


class Subscriber:
    """A client of either era, and what it has been told."""

    def __init__(self, app: App, mode: Any) -> None:
        self.updated: asyncio.Queue[str] = asyncio.Queue()
        self.mode = mode
        self.client = Client(app.server, mode=mode, message_handler=self._take)
        self._stack = AsyncExitStack()

    async def _take(self, message: Any) -> None:
        if self.mode == "legacy" and isinstance(message, ResourceUpdatedNotification):
            self.updated.put_nowait(str(message.params.uri))

    async def subscribe(self, *uris: str) -> list[str]:
        """Returns the URIs that the server took up."""
        if self.mode == "legacy":
            for uri in uris:
                await self.client.subscribe_resource(uri)
            return list(uris)
        stream = await self._stack.enter_async_context(self.client.listen(resource_subscriptions=uris))
        pump = asyncio.create_task(self._read(stream))
        self._stack.callback(pump.cancel)
        return list(stream.honored.resource_subscriptions or ())

    async def _read(self, stream: Any) -> None:
        async for event in stream:
            self.updated.put_nowait(event.uri)

    async def next(self) -> str:
        async with asyncio.timeout(60):
            return await self.updated.get()

    async def __aenter__(self) -> "Subscriber":
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *why: Any) -> None:
        await self._stack.aclose()
        await self.client.__aexit__(*why)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


async def write(app: App, key: str, value: Any) -> None:
    await app.desk.state.set(caller(), SetDocument(namespace="n", key=key, value=value))


async def test_a_change_is_told_to_those_who_subscribed_to_its_resource_and_to_no_others(tmp_path: Path, era: Any):
    async with opened(tmp_path) as app, Subscriber(app, era) as mine, Subscriber(app, era) as other:
        await mine.subscribe("ops://state/n/k", "ops://tasks")
        await other.subscribe("ops://agents")
        await write(app, "else", 1)
        await write(app, "k", 1)
        assert await mine.next() == "ops://state/n/k"
        await app.desk.tasks.create(caller(), CreateTasks(tasks=(TaskSpec(title="t"),)))
        assert await mine.next() == "ops://tasks"
        assert mine.updated.empty() and other.updated.empty()


@pytest.mark.slow
async def test_the_change_of_another_process_is_told_too(tmp_path: Path, era: Any):
    async with opened(tmp_path) as app, Subscriber(app, era) as mine:
        await mine.subscribe("ops://state/n/k")
        async with server_process(app.settings.database_url) as other:
            await other.call("state_set", namespace="n", key="k", value=1)
            assert await mine.next() == "ops://state/n/k"
        assert mine.updated.empty()


async def test_a_burst_of_changes_to_one_resource_is_told_in_few_words(
    tmp_path: Path, era: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriptions, "COALESCE_SECONDS", 0.2)
    async with opened(tmp_path) as app, Subscriber(app, era) as mine:
        await mine.subscribe("ops://state/n/k", "ops://state/n/last")
        await asyncio.gather(*(write(app, "k", number) for number in range(200)))
        await write(app, "last", 1)  # told after "k" within a round
        told = []
        while "ops://state/n/last" not in told:
            told.append(await mine.next())
        assert 1 <= told.count("ops://state/n/k") <= 5


@pytest.mark.parametrize("key", ["a b", "ü/x", "100%", "q?a"])
async def test_a_key_is_subscribed_to_in_its_escaped_form_and_told_of_in_the_same(tmp_path: Path, era: Any, key: str):
    uri = f"ops://state/n/{quote(key)}"
    async with opened(tmp_path) as app, Subscriber(app, era) as mine:
        await mine.subscribe(uri)
        await write(app, key, 1)
        assert await mine.next() == uri


async def test_events_agents_and_instances_are_told_of(tmp_path: Path, era: Any):
    async with opened(tmp_path) as app, Subscriber(app, era) as mine:
        await mine.subscribe("ops://agents", "ops://events")
        agent = (await app.desk.agents.register(caller(), Register(name="a"))).agent
        assert {await mine.next(), await mine.next()} == {"ops://agents", "ops://events"}
        await mine.subscribe(f"ops://agents/{agent.id}")
        await app.desk.agents.register(caller(), Register(name="a", instance=InstanceSpec(label="l")))
        assert "ops://agents" in {await mine.next(), await mine.next()}


async def test_one_who_unsubscribed_hears_nothing_more(tmp_path: Path):
    async with opened(tmp_path) as app, Subscriber(app, "legacy") as mine:
        await mine.subscribe("ops://state/n/a", "ops://state/n/b")
        await mine.client.unsubscribe_resource("ops://state/n/a")
        await mine.client.unsubscribe_resource("ops://state/n/never")
        await write(app, "a", 1)
        await write(app, "b", 1)
        assert await mine.next() == "ops://state/n/b"


async def test_subscribing_to_many_at_once_opens_one_stream(tmp_path: Path):
    async with opened(tmp_path) as app, Subscriber(app, "legacy") as mine:
        keys = [f"k{number}" for number in range(20)]
        await asyncio.gather(*(mine.client.subscribe_resource(f"ops://state/n/{key}") for key in keys))
        await asyncio.gather(*(write(app, key, 1) for key in keys))
        assert sorted([await mine.next() for _ in keys]) == sorted(f"ops://state/n/{key}" for key in keys)
        await write(app, "k0", 2)
        assert await mine.next() == "ops://state/n/k0"
        assert mine.updated.empty()


async def test_only_resources_that_exist_and_may_be_read_are_taken_up(tmp_path: Path):
    async with opened(tmp_path, toolsets=["state"]) as app, Subscriber(app, "auto") as mine:
        assert await mine.subscribe("ops://state/n/k", "ops://tasks", "other://x") == ["ops://state/n/k"]
    async with opened(tmp_path) as app, Subscriber(app, "legacy") as mine:
        with pytest.raises(MCPError, match="There is no resource other://x"):
            await mine.subscribe("other://x")


async def test_of_what_is_private_only_those_are_told_who_may_read_it(tmp_path: Path, era: Any):
    allowed = {"email_allow": ["*@inside.org"], "email_approvers": ["boss"]}
    mail = SendEmail.model_validate({"to": ["a@outside.org"], "subject": "s", "text": "t"})
    async with opened(tmp_path, role="viewer", **allowed) as app, Subscriber(app, era) as mine:
        for sender, is_own in (("another", False), ("local", True)):
            sent = (await app.desk.emails.send(caller(id=sender), mail)).email
            for uri in (f"ops://emails/{sent.id}", f"ops://approvals/{sent.approval_id}"):
                try:
                    assert await mine.subscribe(uri) == ([uri] if is_own else [])
                except MCPError as refused:
                    assert (era, is_own) == ("legacy", False) and "There is no" in refused.error.message
                else:
                    assert era == "auto" or is_own


def test_every_resource_of_what_is_private_asks_of_a_subscriber_what_reading_asks():
    private = {uri for one in AREAS.aggregates.values() if one.private is not None for uri in one.uris("x")}
    asking = [UriTemplate.parse(resource.uri_template) for resource in RESOURCES if resource.private]
    assert private and all(any(template.match(uri) for template in asking) for uri in private)


async def test_one_that_never_reads_slows_no_writer_and_hears_afterwards_that_it_missed_something(tmp_path: Path):
    async with opened(tmp_path) as app:
        async with app.desk.changes.listen() as silent, app.desk.changes.listen() as awake:
            seen = 0
            for _ in range(4):
                await asyncio.gather(*(write(app, "k", number) for number in range(BACKLOG_MAX // 3)))
                seen += BACKLOG_MAX // 3
                while seen > 0:
                    seen -= len(await awake.wait(60))
            assert len(await silent.wait(0)) == BACKLOG_MAX
            assert silent.take_overflow() and not silent.take_overflow()
            assert not awake.take_overflow()


async def test_two_hundred_subscribers_hear_of_one_change_once_each(tmp_path: Path):
    async with opened(tmp_path) as app, Subscriber(app, "auto") as mine:
        for number in range(200):
            await mine.subscribe("ops://state/n/k", f"ops://state/n/{number}")
        await write(app, "k", 1)
        assert [await mine.next() for _ in range(200)] == ["ops://state/n/k"] * 200
        await write(app, "7", 1)
        assert await mine.next() == "ops://state/n/7"
        assert mine.updated.empty()


async def test_streams_and_what_they_watch_are_counted_and_a_flood_of_them_is_refused(tmp_path: Path):
    few = {
        "limits_streams": 1,
        "limits_uris": 1,
        "limits_uris_per_stream": 3,
    }  # the local user may have four times that
    async with opened(tmp_path, **few) as app, Subscriber(app, "auto") as mine, Subscriber(app, "legacy") as old:
        await mine.subscribe("ops://state/n/k", "ops://tasks")
        await old.subscribe("ops://tasks", "ops://tasks", "ops://agents")
        with pytest.raises(MCPError, match="has 4 resources watched here, and may have 4.*Watch fewer") as refused:
            await old.subscribe("ops://locks")
        assert refused.value.error.data["code"] == "limit_exceeded"
        assert refused.value.error.data["details"]["retry_after_seconds"] == 5
        with pytest.raises(MCPError, match="One stream watches at most 3 resources, and this one would watch 4"):
            await mine.subscribe(*(f"ops://state/n/{key}" for key in "abcd"))
        await old.client.unsubscribe_resource("ops://agents")
        await mine.subscribe("ops://locks")
        await mine.subscribe()
        with pytest.raises(MCPError, match="user:local has 4 subscription streams open here, and may have 4.*Close"):
            await ask(mine.client, "subscriptions/listen", notifications={})
        assert (app.limits.held(Thing.STREAMS), app.limits.held(Thing.URIS)) == (4, 4)
    assert (app.limits.held(Thing.STREAMS), app.limits.held(Thing.URIS)) == (0, 0)


async def test_one_principal_leaves_room_for_the_streams_of_others(tmp_path: Path):
    speaks = ["eve"]

    def actor(ctx: Any) -> Actor:
        del ctx
        return Actor(kind="user", id=speaks[0], permissions=Role.VIEWER.permissions)

    async with opened(tmp_path) as app:
        limits = Limits(Most(streams=2))  # eight for all
        seam = Seam(actor, app.desk.get(Voices), new_id, app.metrics, limits=limits)
        async with Client(make_server(app.desk, seam, Offer())) as client, AsyncExitStack() as streams:

            async def opens(name: str) -> int:
                speaks[0] = name
                for opened_ones in range(9):
                    try:
                        await streams.enter_async_context(client.listen(resource_subscriptions=["ops://tasks"]))
                    except MCPError as refused:
                        assert f"user:{name} has {opened_ones} " in refused.error.message
                        return opened_ones
                raise AssertionError("nobody counted")

            assert [await opens(name) for name in ("eve", "ann", "bob", "cid", "dan")] == [2, 2, 2, 1, 1]
            assert await opens("fay") == 0
            await streams.aclose()
            assert await opens("dan") == 2
