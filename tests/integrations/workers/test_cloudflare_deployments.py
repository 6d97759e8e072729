"""Deployments of the target `cloudflare` through the desk, to a stand-in of Cloudflare: plan, apply, proof, destroy;
and mirrors as the server's own tasks."""

import json
from pathlib import Path

import pytest

pytest.importorskip("cloudflare", reason="the extra `cloudflare` is not installed")

from mcp_server.app import open_desk
from mcp_server.config import Settings
from mcp_server.domain.deployments.mirrors import MIRROR_KIND
from mcp_server.domain.state.commands import GetDocument, SetDocument
from mcp_server.domain.tasks.commands import WaitForTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.errors import Conflict, PermissionDenied, ValidationFailed
from mcp_server.wiring import refusals
from tests.integrations.workers.cloudflare_stand_in import ACCOUNT, TOKEN, cloudflare
from tests.integrations.workers.programs import ESBUILD, needs_esbuild, needs_workerd
from tests.integrations.workers.test_workerd_deployments import CALL, Site

pytestmark = pytest.mark.anyio
PROJECT = {
    "wrangler.jsonc": '{"name": "shop", "main": "src/index.ts", "compatibility_date": "2026-01-01", // the shop\n'
    ' "vars": {"GREETING": "hi"}, "triggers": {"crons": ["*/5 * * * *"]}}',
    "src/index.ts": "import { text } from './text'; export default { fetch(r: Request, env: any)"
    " { return new Response(`${text} ${env.GREETING} ${env.KEY.length}`) } }",
    "src/text.ts": "export const text: string = 'bundled'",
}


def settings(folder: Path, api: str, site: str, **more: object) -> Settings:
    account = {"api_token": TOKEN, "account_id": ACCOUNT, "base_url": api, "dev_url": site}
    workers = {"folders": str(folder / "projects"), "esbuild": ESBUILD}
    said = {"database": f"sqlite:///{folder / 'desk.db'}", "cloudflare": account, "workers": workers}
    return Settings.model_validate(said | more)


@pytest.mark.slow
@needs_workerd
@needs_esbuild
async def test_a_project_is_deployed_answers_and_is_removed_and_no_secret_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHOP_KEY", "hush-hush-12")
    for name, text in PROJECT.items():
        (tmp_path / "projects/shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "projects/shop" / name).write_text(text)
    async with cloudflare(tmp_path / "cloud") as (cloud, api, site), open_desk(settings(tmp_path, api, site)) as desk:
        one = Site(desk, tmp_path)
        service = {"name": "web", "folder": str(tmp_path / "projects/shop"), "bindings": {"KEY": {"secret": "KEY"}}}
        service["checks"] = [{"path": "/", "contains": "bundled hi 12"}]
        await one.defined("cloudflare", service, {"KEY": "env:SHOP_KEY"})
        task = await one.apply()
        assert task.status == "completed", task.error
        seen = await one.seen()
        assert (seen.status, seen.url, cloud.scripts["shop"].crons) == ("live", site, ["*/5 * * * *"])
        assert seen.live["checks"][0]["body"] == "bundled hi 12"
        cloud.scripts["shop"].crons.clear()
        assert (await one.control(action="check_drift")).deployment.drift == [
            "crons of Worker shop is not what was brought live"
        ]
        plan = await one.plan(destroy=True)
        assert (await one.control(action="destroy", plan_hash=plan.hash)).status == "completed"
        assert cloud.scripts == {}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "cloud" not in path.relative_to(tmp_path).parts]
    assert kept and not any(
        secret in path.read_bytes() for path in kept for secret in (b"hush-hush-12", TOKEN.encode())
    )


async def test_a_folder_that_the_operator_did_not_name_is_not_deployed(tmp_path: Path):
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects/link").symlink_to("/etc")
    async with open_desk(settings(tmp_path, "http://127.0.0.1:1", "")) as desk:
        for folder in ("/etc", str(tmp_path / "projects/../.."), str(tmp_path / "projects/link")):
            with pytest.raises(PermissionDenied, match="DATAMCP_WORKERS_FOLDERS"):
                await Site(desk, tmp_path).defined("cloudflare", {"name": "web", "folder": folder}, {})


@needs_workerd
async def test_a_worker_that_another_deployment_brought_live_is_not_taken_from_it(tmp_path: Path):
    for name in ("shop", "copy"):
        (tmp_path / "projects" / name).mkdir(parents=True)
        (tmp_path / "projects" / name / "wrangler.jsonc").write_text(
            '{"name": "shop", "main": "worker.js", "compatibility_date": "2026-01-01"}'
        )
        (tmp_path / "projects" / name / "worker.js").write_text("export default { fetch: () => new Response('hi') }")
    async with cloudflare(tmp_path / "cloud") as (cloud, api, site), open_desk(settings(tmp_path, api, site)) as desk:
        one, other = Site(desk, tmp_path), Site(desk, tmp_path, "other")
        await one.defined("cloudflare", {"name": "web", "folder": str(tmp_path / "projects/shop")}, {})
        assert (await one.apply()).status == "completed"
        await other.defined("cloudflare", {"name": "web", "folder": str(tmp_path / "projects/copy")}, {})
        with pytest.raises(Conflict, match="The Worker shop is that of site in dev"):
            await other.plan()
        assert len(cloud.scripts["shop"].versions) == 1 and (await one.plan()).warnings is None


async def test_mirrors_run_as_the_servers_own_task(tmp_path: Path):
    async with cloudflare(tmp_path / "cloud") as (cloud, api, site):
        said = settings(tmp_path, api, site, mirrors={"shop": {"kv": "cache"}})
        async with open_desk(said) as desk:
            await desk.state.set(CALL, SetDocument(namespace="shop", key="tea", value={"eur": 3}))
            for expected in ({"pending": 1}, {"synced": 1}):
                task = await desk.system.create(TaskSpec(title="Mirror", kind=MIRROR_KIND))
                ended = await desk.tasks.wait(CALL, WaitForTasks(task_id=task.id, wait_seconds=20))
                assert ended.task.result == {"shop": expected}
            (values,) = cloud.values.values()
            assert json.loads(values["tea"]["content"]) == {"eur": 3}
            known = await desk.state.get(CALL, GetDocument(namespace="shop.mirror", key="tea"))
            assert known.value["status"] == "synced"


def test_what_the_account_lacks_is_told_at_the_start_and_at_the_first_use(tmp_path: Path):
    lacking = Settings.model_validate({"mirrors": {"shop": {"kv": "cache"}}})
    (refusal,) = refusals(lacking)
    assert "DATAMCP_CLOUDFLARE_ACCOUNT_ID" in refusal.message
    strange = settings(tmp_path, "http://x", "", mirrors={"a b": {"kv": "cache"}})
    assert "a b" in refusals(strange)[0].message


async def test_without_an_account_the_target_says_what_the_operator_sets(tmp_path: Path):
    async with open_desk(Settings.model_validate({"database": f"sqlite:///{tmp_path / 'desk.db'}"})) as desk:
        with pytest.raises(ValidationFailed, match="DATAMCP_CLOUDFLARE_API_TOKEN"):
            await Site(desk, tmp_path).defined("cloudflare", {"name": "web", "modules": "a/b"}, {})
