"""A server that is killed in the midst of a run: another goes on, and no command runs twice."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_server.integrations.kept import IS_POSSIBLE
from tests.processes import RawClient, server, start

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(not IS_POSSIBLE, reason="needs process groups")]

SCRIPT = """
import json, os, sys, time
what = sys.argv[1]
with open("ran", "a") as ran:
    ran.write(what + "\\n")
while os.path.exists(what + ".waits"):
    time.sleep(0.05)
sys.exit(1 if os.path.exists(what + ".fails") else 0)
"""


def declared(folder: Path) -> Path:
    (folder / "script.py").write_text(SCRIPT)
    lines = [f"{name} = {[sys.executable, 'script.py', name]}" for name in ("build", "apply", "check", "rollback")]
    config = folder / "desk.toml"
    config.write_text("\n".join(["[targets.shop]", f"cwd = {str(folder)!r}", *lines]))
    return config


def ran(folder: Path) -> list[str]:
    path = folder / "ran"
    return path.read_text().split() if path.exists() else []


async def applied(client: RawClient, services: int) -> str:
    """Define a revision with so many services, plan it and have it applied; the id of the task."""
    said = [{"name": f"web{number}"} for number in range(services)]
    await client.call("deployments_define", name="d", target="shop", environment="dev", services=said)
    plan = await client.call("deployments_plan", deployment_id="d")
    done = await client.call("deployments_apply", deployment_id="d", plan_hash=plan["plan"]["hash"])
    return done["task"]["id"]


async def ended(client: RawClient, task_id: str) -> dict[str, Any]:
    for _ in range(4):
        told = await client.call("tasks_wait", task_id=task_id, wait_seconds=40)
        if told["reached"]:
            break
    return (await client.call("deployments_find", deployment_id="d"))["deployment"]


async def reaches(folder: Path, what: str) -> None:
    while what not in ran(folder):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("killed_in", "status"), [("apply", "live"), ("rollback", "live")])
async def test_another_server_goes_on_where_one_was_killed_and_no_command_runs_twice(
    sqlite_url: str, tmp_path: Path, killed_in: str, status: str
):
    config = str(declared(tmp_path))
    async with server(sqlite_url, "--config", config) as first:
        await ended(first, await applied(first, 1))
    (tmp_path / "ran").unlink()
    (tmp_path / f"{killed_in}.waits").touch()
    if killed_in == "rollback":
        (tmp_path / "check.fails").touch()
    killed = await start(sqlite_url, "--config", config)
    await killed.initialize()
    task_id = await applied(killed, 2)
    await reaches(tmp_path, killed_in)
    killed.process.kill()
    await killed.process.wait()
    async with server(sqlite_url, "--config", config) as other:
        (tmp_path / f"{killed_in}.waits").unlink()
        seen = await ended(other, task_id)
    back = killed_in == "rollback"
    assert ran(tmp_path) == ["build", "apply", "check", *(["rollback"] if back else [])]
    assert (seen["status"], seen["live_revision"]) == (status, 1 if back else 2)
    assert seen["run"]["status"] == ("rolled_back" if back else "succeeded")
