"""The target `command` with a tool that people use: npm's wrangler, which only pretends to deploy (`--dry-run`), needs
neither an account nor a network, and is told to report nothing."""

import json
from pathlib import Path

import pytest

from mcp_server.config import load_settings
from mcp_server.deploying import Workers, targets
from mcp_server.domain.deployments.policy import DeploymentPolicy
from mcp_server.kernel.errors import Unavailable
from tests.domain.deployments.played import Stage
from tests.integrations.workers.programs import WRANGLER, needs_wrangler
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow, needs_wrangler]

MAIN = """
import { hello } from "./hello.js";
export default { async fetch(request, env) { return new Response(hello + env.GREETING); } };
"""
DESK = """
[targets.worker]
plan = ["{wrangler}", "deploy", "--dry-run", "--name", "{label}"]
apply = ["{wrangler}", "deploy", "--dry-run", "--outdir", "dist", "--name", "{label}"]
cwd = "{folder}"
env = { HOME = "{folder}/home", WRANGLER_SEND_METRICS = "false", WRANGLER_HIDE_BANNER = "true", CI = "1" }
timeout_seconds = 120
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Worker of two modules, as wrangler knows it."""
    folder = tmp_path / "project"
    folder.mkdir()
    settings = {"name": "shop", "main": "main.js", "compatibility_date": "2026-01-01", "vars": {"GREETING": "hi"}}
    (folder / "wrangler.jsonc").write_text(json.dumps(settings))
    (folder / "main.js").write_text(MAIN)
    (folder / "hello.js").write_text('export const hello = "hello ";')
    return folder


def stage(world: World, project: Path) -> Stage:
    """A desk whose operator declared wrangler."""
    text = DESK.replace("{wrangler}", str(WRANGLER)).replace("{folder}", str(project))
    desk = project.parent / "desk.toml"
    desk.write_text(text)
    settings = load_settings(config=desk, database=world.url)
    made = Stage(world)
    made.open_desk(targets(settings, Workers(settings)), DeploymentPolicy())
    return made


async def test_wrangler_shows_in_the_plan_what_it_would_do_and_does_it_at_apply(sqlite_url: str, project: Path):
    async with open_world(sqlite_url) as world:
        desk = stage(world, project)
        await desk.define(target="worker")
        plan = await desk.plan()
        assert [step.action for step in plan.steps] == ["run", "expect"]
        shown = plan.steps[-1].detail or ""
        assert "Total Upload" in shown and 'env.GREETING ("hi")' in shown and "--dry-run: exiting now." in shown
        assert f"deploy --dry-run --outdir dist --name shop-{(await desk.seen()).environment}" in plan.steps[0].what
        assert not (project / "dist").exists(), "a plan touches nothing"
        await desk.apply(plan)
        await desk.work()
        seen = await desk.seen()
        assert seen.status == "live" and seen.live["exit_code"] == 0 and "Total Upload" in seen.live["output"]
        assert 'hello = "hello "' in (project / "dist" / "main.js").read_text(), "both modules in one file"


async def test_what_wrangler_refuses_makes_no_plan_and_its_words_are_shown(sqlite_url: str, project: Path):
    (project / "main.js").write_text("export default {")
    async with open_world(sqlite_url) as world:
        desk = stage(world, project)
        await desk.define(target="worker")
        with pytest.raises(Unavailable, match=r"(?s)plan command of the target worker failed: exit code 1.*main\.js"):
            await desk.plan()


async def test_wrangler_gets_no_token_of_the_servers_that_is_not_declared(
    sqlite_url: str, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "canary-of-the-server")
    async with open_world(sqlite_url) as world:
        desk = stage(world, project)
        await desk.live(target="worker")
        assert (await desk.seen()).status == "live"
    written = [path.read_bytes() for path in project.parent.rglob("*") if path.is_file()]
    assert not any(b"canary-of-the-server" in text for text in written)
