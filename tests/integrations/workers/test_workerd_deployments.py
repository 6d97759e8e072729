"""Deployments of the target `workerd`, from their definition to the answer of a Worker on this machine."""

import asyncio
import contextlib
import json
import os
import signal
import sys
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
from mcp_server.domain.tasks.commands import WaitForTasks
from mcp_server.integrations.workers.starter import FILE_BYTES_MAX
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, InvalidTransition, OpsError, ValidationFailed
from tests.integrations.workers.programs import WORKERD, needs_workerd
from tests.patience import Stopwatch

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

    def __init__(self, desk: Desk, folder: Path, name: str = "site") -> None:
        self.desk = desk
        self.name = name
        self.folder = folder
        self.id = ""

    async def define(self, greeting: str = "first", **more: Any) -> Any:
        await self.desk.state.set(CALL, SetDocument(namespace="code", key="site", value=SITE % greeting))
        service = {"name": "web", "modules": "code/site", "compatibility_date": "2026-01-01", "bindings": BINDINGS}
        service["checks"] = [{"path": "/", "contains": greeting, "attempts": 2}]
        return await self.defined("workerd", service | more, {"KEY": "env:SITE_KEY"})

    async def defined(self, target: str, service: dict[str, Any], secrets: dict[str, str]) -> Any:
        said = {"name": self.name, "environment": "dev", "target": target, "services": [service], "secrets": secrets}
        made = await self.desk.get(DeploymentService).define(CALL, DefineDeployment.model_validate(said))
        self.id = made.deployment.id
        return made

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
        return (await self.desk.tasks.wait(CALL, WaitForTasks(task_id=task_id, wait_seconds=20))).task

    async def seen(self) -> Any:
        return await self.desk.get(DeploymentService).get(CALL, self.id, logs=True)

    async def runs(self) -> list[str]:
        """The operations of every run."""
        rows = await self.desk.context.database.fetch_all("events_after", xid=0, seq=0, limit=1000)
        decided = [json.loads(row["data"]) for row in rows if row["type"] == "deployment_run.decided"]
        return [one["operation"] for one in decided]

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
        began = Stopwatch()
        task = await one.apply(plan.hash)
        assert began.seconds < 2
        assert task.status == "completed", task.error
        assert await one.answer() == "first hi 3 12 2"  # the check was the first visitor
        document = await one.desk.state.get(CALL, GetDocument(namespace="counts", key="visits"))
        assert (document.value, document.author) == (2, "deployment:site-dev")


@pytest.mark.slow
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


@pytest.mark.slow
async def test_a_worker_that_hangs_fails_its_check_and_the_one_before_goes_on(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        hangs = "export default { async fetch() { await new Promise(done => setTimeout(done, 600_000)) } }"
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="hangs", value=hangs))
        check = {"path": "/", "attempts": 1, "timeout_seconds": 0.5}
        service = {"name": "web", "modules": "code/hangs", "compatibility_date": "2026-01-01", "checks": [check]}
        await one.defined("workerd", service, {})
        assert (await one.apply()).status == "failed"
        seen = await one.seen()
        assert (seen.run.status, seen.live_revision, seen.status) == ("rolled_back", 1, "live")
        assert "no answer" in seen.error and (await one.answer()).startswith("first")


async def test_a_plan_whose_source_has_moved_since_is_stale_and_nothing_is_done(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        plan = await one.plan()
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="site", value=SITE % "swapped"))
        with pytest.raises(Conflict, match="sources/web"):
            await one.apply(plan.hash)
        assert (await one.seen()).live is None


async def test_what_dies_is_told_as_drift_and_started_again_where_it_was(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        live = (await one.seen()).live
        assert (await one.control(action="check_drift")).deployment.drift is None
        os.killpg(live["pids"]["web"], signal.SIGKILL)
        async with asyncio.timeout(60):
            while (await one.control(action="check_drift")).deployment.drift != ["Worker web does not run"]:
                await asyncio.sleep(0.02)
        assert (await one.control(action="start")).status == "completed"
        assert (await one.answer()).startswith("first")
        assert (await one.control(action="check_drift")).deployment.drift is None
        assert (await one.control(action="stop")).status == "completed"
        with pytest.raises(httpx2.ConnectError):
            await one.answer()


async def test_what_died_after_promotion_is_named_and_started_again_by_the_server(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        await one.desk.housekeeping.begin_chores()
        assert await one.runs() == ["apply"], "what runs is left alone"
        os.killpg((await one.seen()).live["pids"]["web"], signal.SIGKILL)
        async with asyncio.timeout(60):
            while (await one.seen()).drift != ["Worker web does not run"]:
                await asyncio.sleep(0.02)
            await one.desk.housekeeping.begin_chores()
            while (await one.runs())[-1] != "start" or (await one.seen()).run.status == "running":
                await asyncio.sleep(0.02)
        seen = await one.seen()
        assert (seen.status, seen.drift, seen.run.status) == ("live", None, "succeeded")
        assert (await one.answer()).startswith("first")


async def unserved(client: httpx2.AsyncClient, url: str) -> None:
    """It runs on, and nobody serves its state."""
    with contextlib.suppress(httpx2.RemoteProtocolError):  # workerd may end the connection instead
        assert (await client.get(url)).status_code == 500


async def test_a_worker_finds_its_state_again_after_the_server_was_started_anew(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        url, deployment = (await one.seen()).live["url"], one.id
        one.id = ""
    async with httpx2.AsyncClient() as client:
        await unserved(client, url)
        async with site(tmp_path) as one:
            one.id = deployment
            assert (await client.get(url)).text == "first hi 3 12 2"


async def test_no_secret_stands_in_anything_that_is_kept_or_told(tmp_path: Path, secret: str):
    async with site(tmp_path) as one:
        await one.define()
        told = [await one.plan(), await one.apply(), await one.seen()]
        assert secret not in str(told)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and not any(secret.encode() in path.read_bytes() for path in kept)


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({"bindings": {"JOBS": {"queue": "jobs"}, "DB": {"d1": "main"}}}, "queue JOBS; D1 database DB"),
        ({"crons": ["* * * * *"]}, "cron trigger"),
        ({"modules": "code/none"}, "no document"),
        ({"main": "other.js", "modules": "code/object"}, "main module other.js"),
        ({"modules": "code/number"}, "holds no Worker"),
        ({"compatibility_date": None}, "compatibility_date"),
    ],
)
async def test_what_makes_no_worker_here_is_refused_before_anything_is_touched(
    tmp_path: Path, service: dict[str, Any], why: str
):
    async with site(tmp_path) as one:
        for key, value in (("object", {"worker.js": "x"}), ("number", 5)):
            await one.desk.state.set(CALL, SetDocument(namespace="code", key=key, value=value))
        await one.define(bindings={}, **{name: value for name, value in service.items() if name == "none"})
        said = {"name": "web", "modules": "code/site", "compatibility_date": "2026-01-01"} | service
        with pytest.raises(OpsError, match=why):
            await one.defined("workerd", {name: value for name, value in said.items() if value is not None}, {})
            assert "modules" in service, "what the source does not decide is refused as it is defined"
            await one.plan()
        assert not (tmp_path / "deployments").exists()


@pytest.mark.parametrize("service", [{}, {"folder": "/x", "modules": "a/b"}])
async def test_a_worker_has_one_source(tmp_path: Path, service: dict[str, Any]):
    async with site(tmp_path) as one:
        with pytest.raises(ValidationFailed, match="one source"):
            await one.defined("workerd", {"name": "web"} | service, {})


async def test_code_that_does_not_start_ends_the_run_with_what_workerd_says(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="site", value="export default {"))
        task = await one.apply()
        assert task.status == "failed" and "SyntaxError" in str(task.error)
        assert (await one.seen()).status == "failed"


async def test_nobody_goes_back_to_what_a_source_has_become_since(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        await one.control(action="destroy", plan_hash=(await one.plan(destroy=True)).hash)
        with pytest.raises(InvalidTransition, match=r"go back to revision 1 of site.*deployments_plan"):
            await one.control(action="rollback", revision=1)
        assert (await one.apply()).status == "completed", "which shows what it is by now"


async def test_what_failed_as_a_revision_is_not_what_one_goes_back_to(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="site", value=SITE % "ill"))
        assert (await one.apply()).status == "failed", "the same revision of another source"
        await one.define("second", env={"MORE": "x"})
        assert (await one.apply()).status == "completed"
        assert (await one.control(action="rollback")).status == "completed"
        assert (await one.answer()).startswith("first")


async def test_what_a_worker_wrote_before_its_check_failed_is_told_until_the_next_run(tmp_path: Path):
    async with site(tmp_path) as one:
        source = "export default { fetch() { console.log('the reason'); return new Response('', {status: 500}) } }"
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="ill", value=source))
        check = {"path": "/", "attempts": 1}
        service = {"name": "web", "modules": "code/ill", "compatibility_date": "2026-01-01", "checks": [check]}
        await one.defined("workerd", service, {})
        assert (await one.apply()).status == "failed"
        assert "== web (not live)" in (await one.seen()).logs and "the reason" in (await one.seen()).logs
        await one.defined("workerd", service | {"checks": [check | {"status": 500}]}, {})
        assert (await one.apply()).status == "completed" and "not live" not in (await one.seen()).logs


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the limits of a process")
async def test_a_worker_cannot_fill_the_disk_with_its_log(tmp_path: Path):
    async with site(tmp_path) as one:
        await one.define()
        await one.apply()
        (pid,) = (await one.seen()).live["pids"].values()
        limits = Path(f"/proc/{pid}/limits").read_text("utf-8").splitlines()
        (size,) = [line.split()[3] for line in limits if line.startswith("Max file size")]
        assert int(size) == FILE_BYTES_MAX


@pytest.mark.slow
async def test_a_worker_that_logs_without_end_goes_on_answering(tmp_path: Path):
    async with site(tmp_path) as one:
        source = "const long = 'x'.repeat(1e6); export default { async fetch(request) {" + (
            " if (request.url.endsWith('/go')) for (let n = 0; n < 100; n++) console.log(long);"
            " return new Response('first') } }"
        )
        await one.desk.state.set(CALL, SetDocument(namespace="code", key="loud", value=source))
        service = {"name": "web", "modules": "code/loud", "compatibility_date": "2026-01-01", "checks": ["/go"]}
        await one.defined("workerd", service, {})
        assert (await one.apply()).status == "completed" and await one.answer() == "first"
        (log,) = (tmp_path / "deployments").rglob("web/log")
        assert log.stat().st_size <= FILE_BYTES_MAX
