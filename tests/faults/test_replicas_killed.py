"""A server that is killed in any phase of a replacement: requests go on, and the next server brings it to its end with
no process over and none missing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.areas import AREAS
from mcp_server.domain.deployments.views import DeploymentView
from mcp_server.persistence.database import Database
from tests.integrations.replicas.plant import CALL, HEALTH, declared, end_all, eventually, got, running
from tests.integrations.replicas.traffic import traffic_to
from tests.processes import RawClient, server, start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Shop:
    """One deployment on servers that may be killed, as a bystander sees it who runs nothing."""

    def __init__(self, url: str, folder: Path, config: Path) -> None:
        self.url = url
        self.folder = folder
        self.options = ("--config", str(config), "--supervisor-folder", str(folder / "logs"))

    @asynccontextmanager
    async def seen_by_bystander(self) -> AsyncGenerator["Shop"]:
        database = await Database.open(self.url, AREAS)
        self._desk = desk_on(database)
        try:
            yield self
        finally:
            await database.close()
            end_all(self.folder)

    def server(self) -> Any:
        return server(self.url, *self.options)

    async def doomed(self) -> RawClient:
        client = await start(self.url, *self.options)
        await client.initialize()
        return client

    async def begin(self, client: RawClient, word: str, replicas: int = 2, **more: Any) -> None:
        service = {"name": "web", "arguments": {"word": word}, "replicas": replicas, "health": HEALTH} | more
        said = {"name": "shop", "environment": "dev", "target": "web", "services": [service]}
        await client.call("deployments_define", **said)
        plan = (await client.call("deployments_plan", deployment_id="shop"))["plan"]
        await client.call("deployments_apply", deployment_id="shop", plan_hash=plan["hash"])

    async def seen(self) -> DeploymentView:
        return await self._desk.deployments.get(CALL, "shop")

    async def settled(self) -> DeploymentView:
        async def is_over() -> bool:
            run = (await self.seen()).run
            return run is not None and run.ended_at is not None

        await eventually(is_over, 120)
        return await self.seen()

    async def is_in(self, phase: str) -> None:
        """Until a phase has begun, or is over already."""

        async def has_begun() -> bool:
            run = (await self.seen()).run
            return run is not None and (phase in [one.phase for one in run.phases or []] or run.ended_at is not None)

        async with asyncio.timeout(60):
            while not await has_begun():
                await asyncio.sleep(0.005)

    def programs(self) -> tuple[int, int]:
        """How many replicas and how many proxies run, as the system knows."""
        commands = running(self.folder)
        return tuple(
            sum(any(name in word for word in one) for one in commands) for name in ("service.py", "processes.proxy")
        )


WRONG = [{"path": "/", "contains": "what no revision answers", "attempts": 1}]
"""What undoes a run without anything to wait for: how long a start may take decides nothing here."""


def patient(folder: Path) -> Path:
    """The operator's file, with times that no load of the machine uses up."""
    return declared(folder, start_seconds=90, drain_seconds=60)


async def kill(client: RawClient) -> None:
    client.process.kill()
    await client.process.wait()
    client.process._transport.close()


KILLED = [("sqlite", phase) for phase in ("build", "deploy", "check", "promote", "revert")] + [("postgres", "promote")]
"""What is left behind does not depend on the engine, so the other one is killed where most is under way."""


@pytest.mark.parametrize(("engine", "phase"), KILLED)
async def test_killed_in_any_phase_a_replacement_ends_as_if_nothing_had_been_and_no_request_fails(
    engine: str, phase: str, request: pytest.FixtureRequest, tmp_path: Path
):
    shop = Shop(request.getfixturevalue(f"{engine}_url"), tmp_path, patient(tmp_path))
    async with shop.seen_by_bystander():
        async with shop.server() as first:
            await shop.begin(first, "one")
            live = await shop.settled()
            assert live.status == "live", live
        doomed = await shop.doomed()
        async with traffic_to(live.url) as traffic:
            await shop.begin(doomed, "two", replicas=3, checks=WRONG if phase == "revert" else [])
            await shop.is_in(phase)
            await kill(doomed)
            assert (await got(live.url)).split()[0] in ("one", "two")
            async with shop.server() as other:
                seen = await shop.settled()
                word = "one" if phase == "revert" else "two"
                assert (seen.status, seen.live_revision) == ("live", 1 if phase == "revert" else 2), seen
                assert (await got(live.url)).startswith(word) and seen.url == live.url
                assert shop.programs() == (2 if phase == "revert" else 3, 1)
                plan = await other.call("deployments_plan", deployment_id="shop", destroy=True)
        assert traffic.failures == [] and word in traffic.words
        async with shop.server() as last:
            assert await destroyed(shop, last, plan["plan"]["hash"])
        assert running(tmp_path) == [] and list((tmp_path / "logs").iterdir()) == []


async def destroyed(shop: Shop, client: RawClient, plan_hash: str) -> bool:
    await client.call("deployments_control", deployment_id="shop", action="destroy", plan_hash=plan_hash)
    return (await shop.settled()).status == "destroyed"


async def test_another_server_applies_than_supervises_and_goes_on_when_that_is_killed(url: str, tmp_path: Path):
    shop = Shop(url, tmp_path, patient(tmp_path))
    async with shop.seen_by_bystander():
        doomed = await shop.doomed()  # it is alone, so it supervises
        await shop.begin(doomed, "one")
        live = await shop.settled()
        async with shop.server() as other, traffic_to(live.url) as traffic:
            await shop.begin(other, "two", replicas=1)
            assert (await shop.settled()).live_revision == 2
            await kill(doomed)
            await shop.begin(other, "three", replicas=2)
            seen = await shop.settled()
            assert (seen.status, seen.live_revision, shop.programs()) == ("live", 3, (2, 1)), seen
        assert traffic.failures == [] and "three" in traffic.words
