"""Deployments of the target `workerd`, from their definition to the answer of a Worker on this machine."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.app import open_desk
from mcp_server.config import Settings
from mcp_server.domain.deployments.service import DeploymentService
from mcp_server.domain.deployments.spec import (
    ApplyDeployment,
    ControlDeployment,
    DefineDeployment,
    PlanDeployment,
)
from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import GetDocument, SetDocument
from mcp_server.domain.tasks.commands import WaitForTask
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.call import Call
from tests.integrations.workers.programs import WORKERD, needs_workerd

pytestmark = [pytest.mark.anyio, needs_workerd]
CALL = Call(Actor(kind="user", id="local", permissions=Role.ADMIN.permissions, is_local=True), "correlation-1")
SITE = """export default { async fetch(request, env) {
  const count = (await env.COUNT.get("visits", "json") ?? 0) + 1;
  await env.COUNT.put("visits", JSON.stringify(count));
  return new Response(`%s ${env.GREETING} ${env.LIMITS.n} ${env.KEY.length} ${count}`);
} }"""
BINDINGS = {
    "COUNT": {"kv": "counts"},
    "GREETING": {"text": "hi"},
    "LIMITS": {"json": {"n": 3}},
    "KEY": {"secret": "KEY"},
}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SITE_KEY", "hush-hush-12")
    return "hush-hush-12"


class Site:
    """A desk, and one deployment of one Worker."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk = desk
        self.folder = folder
        self.id = ""

    async def define(self, greeting: str = "first", **more: Any) -> Any:
        await self.desk.state.set(CALL, SetDocument(namespace="code", key="site", value=SITE % greeting))
        service = {"name": "web", "modules": "code/site", "compatibility_date": "2026-01-01", "bindings": BINDINGS}
        service["checks"] = [{"path": "/", "contains": greeting, "attempts": 2}]
        said = {"name": "site", "environment": "dev", "target": "workerd", "services": [service | more]}
        command = DefineDeployment.model_validate(said | {"secrets": {"KEY": "env:SITE_KEY"}})
        defined = await self.desk.get(DeploymentService).define(CALL, command)
        self.id = defined.deployment.id
        return defined

    async def plan(self, **more: Any) -> Any:
        return (await self.desk.get(DeploymentService).plan(CALL, PlanDeployment(deployment_id=self.id, **more))).plan

    async def apply(self, plan_hash: str | None = None) -> Any:
        plan_hash = plan_hash or (await self.plan()).hash
        command = ApplyDeployment(deployment_id=self.id, plan_hash=plan_hash)
        return await self.ended((await self.desk.get(DeploymentService).apply(CALL, command)).task.id)

    async def control(self, **said: Any) -> Any:
        done = await self.desk.get(DeploymentService).control(CALL, ControlDeployment(deployment_id=self.id, **said))
        return await self.ended(done.task.id) if done.task is not None else done

    async def ended(self, task_id: str) -> Any:
        return (await self.desk.tasks.wait(CALL, WaitForTask(task_id=task_id, wait_seconds=20))).task

    async def seen(self) -> Any:
        return await self.desk.get(DeploymentService).get(CALL, self.id, logs=True)

    async def answer(self) -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get((await self.seen()).live["url"])).text


@asynccontextmanager
async def site(folder: Path) -> AsyncGenerator[Site]:
    said = {"database": f"sqlite:///{folder / 'desk.db'}", "workers": {"folders": str(folder), "workerd": WORKERD}}
    async with open_desk(Settings.model_validate(said)) as desk:
        one = Site(desk, folder)
        try:
            yield one
        finally:
            if one.id and (await one.seen()).live:
                await one.control(action="destroy", plan_hash=(await one.plan(destroy=True)).hash)


async def test_what_was_planned_is_deployed_answers_and_shares_state_with_agents(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        plan = await one.plan()
        assert [(step.action, step.what) for step in plan.steps] == [
            ("start", "Worker web"),
            ("bind", "COUNT of web"),
            ("set", "secret KEY of web"),
        ]
        began = time.monotonic()
        task = await one.apply(plan.hash)
        assert time.monotonic() - began < 2
        assert task.status == "completed", task.error
        assert await one.answer() == "first hi 3 12 2"  # the check was the first visitor
        document = await one.desk.state.get(CALL, GetDocument(namespace="counts", key="visits"))
        assert (document.value, document.author) == (2, "deployment:site-dev")


async def test_a_new_revision_replaces_the_one_before_and_going_back_brings_what_ran_then(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        before = (await one.seen()).live
        await one.define("second", env={"MORE": "x"})
        assert ("stop", "Worker web") in [(step.action, step.what) for step in (await one.plan()).steps]
        assert (await one.apply()).status == "completed"
        assert (await one.answer()).startswith("second")
        with pytest.raises(httpx2.ConnectError):
            async with httpx2.AsyncClient() as client:
                await client.get(before["url"])
        task = await one.control(action="rollback")
        assert (task.status, (await one.answer()).split()[0]) == ("completed", "first")


async def test_what_fails_its_check_is_ended_and_the_one_before_goes_on(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        before = (await one.seen()).live
        await one.define("second", checks=[{"path": "/", "contains": "never", "attempts": 1}])
        assert (await one.apply()).status == "failed"
        seen = await one.seen()
        assert (seen.live, seen.status) == (before, "live")
        assert (await one.answer()).startswith("first")
        assert len(list((tmp_path / "deployments" / "workerd" / one.id).glob("run_*"))) <= 1
