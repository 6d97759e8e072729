"""The target `process`, with real processes: what it brings live, keeps alive and takes away."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.integrations.replicas.plant import Plant, declared, eventually, got, plant_on, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def plant(url: str, tmp_path: Path) -> AsyncGenerator[Plant]:
    """On each engine in turn."""
    async with plant_on(url, tmp_path, declared(tmp_path)) as made:
        yield made


async def test_a_service_goes_live_is_replaced_rolled_back_stopped_started_and_leaves_nothing(plant: Plant):
    live = await plant.apply("one", replicas=2)
    assert (live.status, live.error) == ("live", None)
    assert (await got(live.url)).startswith("one ")
    assert len(await plant.pids()) == 2
    await plant.destroy()
    assert running(plant.folder) == []
    assert list((plant.folder / "logs").iterdir()) == []
