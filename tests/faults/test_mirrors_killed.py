"""A mirror is brought up to date at whatever moment the servers that do it are killed: no value is lost, none is taken
for another, and what both sides changed stays a conflict."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cloudflare", reason="the extra `cloudflare` is not installed")

from mcp_server.domain.deployments.mirrors import MIRROR_KIND
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.times import system_clock
from mcp_server.upkeep.replay import replay
from tests.integrations.workers.cloudflare_stand_in import ACCOUNT, TOKEN, Cloudflare, cloudflare
from tests.processes import start
from tests.world import open_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KEYS, KILLS = 150, 6


def told(folder: Path, api: str) -> Path:
    """The operator's file."""
    account = f'api_token = "{TOKEN}"\naccount_id = "{ACCOUNT}"\nbase_url = "{api}"'
    config = folder / "desk.toml"
    config.write_text(f'[mirrors.shop]\nkv = "cache"\n[cloudflare]\n{account}\n')
    return config


def remote(cloud: Cloudflare) -> dict[str, Any]:
    (values,) = cloud.values.values()
    return {key: json.loads(one["content"]) for key, one in values.items()}


async def asked(cloud: Cloudflare, before: int) -> None:
    while len(cloud.seen) == before:
        await asyncio.sleep(0.002)


async def test_killed_at_any_moment_a_mirror_ends_with_both_sides_alike_and_conflicts_untouched(
    url: str, tmp_path: Path
):
    async with cloudflare(tmp_path / "cloud") as (cloud, api, _), open_world(url) as world:
        world.clock.now = system_clock()
        cloud.namespaces["n"], cloud.values["n"] = {"id": "n", "title": "cache"}, {}
        for number in range(KEYS):
            key = f"here{number:03}"
            await world.desk.state.set(world.call, SetDocument(namespace="shop", key=key, value={"n": number}))
            cloud.values["n"][f"there{number:03}"] = {"content": b'{"n":%d}' % number}
        await world.desk.state.set(world.call, SetDocument(namespace="shop", key="both", value={"said": "here"}))
        cloud.values["n"]["both"] = {"content": b'{"said":"there"}'}
        config, chance = str(told(tmp_path, api)), random.Random(15)
        for turn in range(KILLS + 1):
            world.clock.now = system_clock()
            task = await world.desk.system.create(TaskSpec(title="Mirror", kind=MIRROR_KIND))
            before = len(cloud.seen)
            server = await start(url, "--config", config)
            try:
                await server.initialize()
                await asyncio.wait_for(asked(cloud, before), 60)
                if turn < KILLS:
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    continue
                answer = await server.call("tasks_wait", task_id=task.id, wait_seconds=45)
                assert answer["reached"]
                again = await world.desk.system.create(TaskSpec(title="Mirror", kind=MIRROR_KIND))
                done = (await server.call("tasks_wait", task_id=again.id, wait_seconds=45))["task"]
                assert done["result"] == {"shop": {"synced": 2 * KEYS, "conflict": 1}}, done
            finally:
                server.process.kill()
                await server.process.wait()
        everything = {f"{side}{number:03}": {"n": number} for side in ("here", "there") for number in range(KEYS)}
        assert remote(cloud) == everything | {"both": {"said": "there"}}
        for key, value in (everything | {"both": {"said": "here"}}).items():
            found = await world.read("shop", key)
            assert (found.value, found.version) == (value, 1), "nothing was written twice"
    assert replay(url).differences == ()
