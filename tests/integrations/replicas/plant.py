"""A desk with a target `process`, as a server has it: with supervisor, worker and proxies, all of them real."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from mcp_server.app import open_desk
from mcp_server.config import Settings, load_settings
from mcp_server.domain.deployments.spec import ApplyDeployment, ControlDeployment, DefineDeployment, PlanDeployment
from mcp_server.domain.deployments.views import DeploymentView
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Role
from tests.world import caller

SERVICE = Path(__file__).with_name("service.py")
ROOT = Path(__file__).parent.parent.parent.parent
CALL = caller(Role.ADMIN)
HEALTH = {"path": "/health"}


def declared(folder: Path, **more: Any) -> Path:
    """The operator's file, with the target `web`."""
    lines = {
        "kind": "process",
        "argv": [sys.executable, "-I", "-S", str(SERVICE), "{port}", "{word}"],
        "grace_seconds": 2,
        "start_seconds": 20,
        "drain_seconds": 3,
        "secrets": ["KEY"],
        "arguments": {"word": {}},
    } | more
    config = folder / "desk.toml"
    allowed = 'deployment_secrets = ["env:SHOP_*"]'
    config.write_text(
        "\n".join([allowed, "[targets.web]", *(f"{name} = {_toml(value)}" for name, value in lines.items())])
    )
    return config


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


class Plant:
    """One deployment, `shop`, and what is asked of it."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk = desk
        self.folder = folder

    async def define(self, word: str = "one", replicas: int = 1, **more: Any) -> None:
        service = {"name": "web", "arguments": {"word": word}, "replicas": replicas, "health": HEALTH} | more
        said = {"name": "shop", "environment": "dev", "target": "web", "services": [service]}
        secrets = {"secrets": {"KEY": "env:SHOP_KEY"}} if "secrets" in service else {}
        await self.desk.deployments.define(CALL, DefineDeployment.model_validate(said | secrets))

    async def apply(self, word: str = "one", replicas: int = 1, **more: Any) -> DeploymentView:
        """Define and apply, and wait for the end of that."""
        await self.define(word, replicas, **more)
        return await self.until_settled(await self.begin())

    async def begin(self) -> str:
        plan = (await self.desk.deployments.plan(CALL, PlanDeployment(deployment_id="shop"))).plan
        command = ApplyDeployment(deployment_id="shop", plan_hash=plan.hash)
        return (await self.desk.deployments.apply(CALL, command)).task.id

    async def control(self, action: Any, **more: Any) -> DeploymentView:
        command = ControlDeployment(deployment_id="shop", action=action, **more)
        done = await self.desk.deployments.control(CALL, command)
        if done.task is None:
            return done.deployment
        return await self.until_settled(done.task.id)

    async def destroy(self) -> DeploymentView:
        plan = (await self.desk.deployments.plan(CALL, PlanDeployment(deployment_id="shop", destroy=True))).plan
        return await self.control("destroy", plan_hash=plan.hash)

    async def until_settled(self, task_id: str) -> DeploymentView:
        async with asyncio.timeout(60):
            while (await self.desk.tasks.get(CALL, task_id)).status not in ("completed", "failed", "cancelled"):
                await asyncio.sleep(0.02)
            while (seen := await self.seen()).status == "changing":
                await asyncio.sleep(0.02)
        return seen

    async def seen(self, *, logs: bool = False) -> DeploymentView:
        return await self.desk.deployments.get(CALL, "shop", logs=logs)

    async def replicas(self) -> list[dict[str, Any]]:
        """What is said of the replicas that are live."""
        found = (await self.seen()).replicas or []
        return [one for one in found if "replica" in one and one["is_live"]]

    async def pids(self) -> list[int]:
        return sorted(one["pid"] for one in await self.replicas() if "pid" in one)


@asynccontextmanager
async def plant_on(url: str, folder: Path, config: Path) -> AsyncGenerator[Plant]:
    """A plant that leaves no process behind."""
    async with open_desk(settings(url, folder, config), supervises=True) as desk:
        plant = Plant(desk, folder)
        try:
            yield plant
        finally:
            with suppress(Exception):
                await plant.destroy()
            end_all(folder)


def settings(url: str, folder: Path, config: Path) -> Settings:
    return load_settings(config=config, database=url, supervisor_folder=folder / "logs")


def running(folder: Path) -> list[list[str]]:
    """The command of every process that writes into one of the folder's logs, from the system itself."""
    return [words for _, words in _running(folder)]


def _running(folder: Path) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    for output in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if output.readlink().is_relative_to(folder / "logs"):
                words = (output.parent.parent / "cmdline").read_bytes().decode().split("\0")
                found.append((int(output.parent.parent.name), words[:-1]))
    return found


def end_all(folder: Path) -> None:
    import os
    import signal

    for pid, _ in _running(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def got(url: str | None, path: str = "/", seconds: float = 60) -> str:
    """What is answered there."""
    assert url is not None
    async with httpx2.AsyncClient(trust_env=False, timeout=seconds, verify=False) as client:
        return (await client.get(url + path)).text


async def eventually(is_so: Callable[[], Any], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.05)
