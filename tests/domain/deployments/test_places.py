"""Places of a deployment's processes, without any process: what a run changes, and that who is late changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcp_server.domain.deployments.places import At, Place, PlaceSpec, arrange, clear, dismiss, switch
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.targets import Work
from mcp_server.kernel.errors import LeaseLost
from mcp_server.upkeep.replay import replay
from tests.domain.deployments.played import Stage
from tests.world import World

pytestmark = pytest.mark.anyio
PROXY = PlaceSpec(kind="proxy", target="web", service="web")


def wished(release: str, replicas: int = 2) -> list[PlaceSpec]:
    numbers = range(1, replicas + 1)
    return [
        PROXY,
        *(PlaceSpec(kind="replica", target="web", service="web", release=release, number=n) for n in numbers),
    ]


class Scene:
    """A deployment whose target does in each phase what the test says."""

    def __init__(self, world: World) -> None:
        self.stage = Stage(world)
        self.places = self.stage.desk.get(Places)
        self.works: list[Work] = []

    async def run(self, **does: Callable[[At], Awaitable[Any]]) -> None:
        async def during(work: Work) -> None:
            self.works.append(work)
            if work.phase in does:
                await does[work.phase](at(work))

        self.stage.target.during = during
        await self.stage.live()

    async def there(self) -> list[Place]:
        return await self.places.of(self.works[0].subject.id)


def at(work: Work) -> At:
    return At(work.subject.id, work.run_id, work.phase)


@pytest.fixture
async def scene(world: World) -> Scene:
    return Scene(world)


async def test_what_is_wished_for_is_wanted_once_on_one_host_and_what_ended_is_forgotten(scene: Scene):
    async def deploy(now: At) -> None:
        for _ in range(2):
            await scene.places.write(arrange, now, wished(now.run_id), "here")
        assert [(one.label, one.process.slot, one.process.host) for one in await scene.there()] == [
            ("web proxy", 0, "here"),
            ("web 1", 1, "here"),
            ("web 2", 2, "here"),
        ]

    async def promote(now: At) -> None:
        proxy, first, second = await scene.there()
        await scene.places.write(switch, now, now.run_id, {proxy.id: {"path": "/", "status": 200}})
        await scene.places.write(dismiss, now, [second.id], "enough")
        await scene.places.write(clear, now, [first.id, second.id])

    await scene.run(deploy=deploy, promote=promote)
    proxy, first = await scene.there()
    assert (proxy.spec.release, proxy.spec.health) == (first.spec.release, {"path": "/", "status": 200})
    assert first.process.wanted and first.process.status == "starting"
    assert replay(scene.stage.world.url).differences == ()


async def test_who_comes_late_changes_nothing(scene: Scene):
    async def deploy(now: At) -> None:
        await scene.places.write(arrange, now, wished(now.run_id), "here")
        with pytest.raises(LeaseLost):
            await scene.places.write(dismiss, now._replace(phase="promote"), [], "too early")

    await scene.run(deploy=deploy)
    before = await scene.there()
    ids = [one.id for one in before]
    for phase in ("deploy", "promote"):
        late = at(scene.works[0])._replace(phase=phase)
        for change in ((dismiss, late, ids, "late"), (arrange, late, wished("other"), "here"), (clear, late, ids)):
            with pytest.raises(LeaseLost, match="is not in its phase"):
                await scene.places.write(*change)
    assert await scene.there() == before


async def test_what_was_stopped_is_wanted_again_with_the_port_that_it_had(scene: Scene):
    async def deploy(now: At) -> None:
        await scene.places.write(arrange, now, wished("r", 1), "here")
        for place in await scene.there():
            await scene.places.allot(place, 20_000 + place.process.slot)
        await scene.places.write(dismiss, now, [one.id for one in await scene.there()], "stopped")
        assert [one.process.status for one in await scene.there()] == ["stopped", "stopped"]
        await scene.places.write(arrange, now, wished("r", 1), "here")

    await scene.run(deploy=deploy)
    assert [(one.process.status, one.spec.port) for one in await scene.there()] == [
        ("starting", 20_000),
        ("starting", 20_001),
    ]
    assert await scene.places.ports() == set(), "they are another host's"


async def test_a_port_is_given_only_to_what_has_not_been_touched_since(scene: Scene):
    async def deploy(now: At) -> None:
        await scene.places.write(arrange, now, wished("r", 1), "here")

    await scene.run(deploy=deploy)
    proxy, _ = await scene.there()
    await scene.places.allot(proxy, 20_001)
    with pytest.raises(LeaseLost):
        await scene.places.allot(proxy, 20_002)
    assert (await scene.there())[0].spec.port == 20_001


def test_a_proxy_stays_where_no_other_port_is_asked_for():
    proxy = PROXY.changed(asked=8080, port=8080)
    assert proxy.is_place_of(PROXY) and proxy.is_place_of(PROXY.changed(asked=8080))
    assert not proxy.is_place_of(PROXY.changed(asked=8081))
    assert PROXY.changed(port=8080).is_place_of(PROXY.changed(asked=8080)), "it was given what is asked for now"
