"""A Worker is deployed once and found again, at whatever moment the process that deploys it is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.targets import Facts, Phase, Subject, Work
from mcp_server.integrations.targets.workerd import WorkerdTarget
from mcp_server.integrations.workers.source import Sources
from tests.integrations.workers.programs import WORKERD, needs_workerd

pytestmark = [pytest.mark.anyio, pytest.mark.slow, needs_workerd]
SOURCE = "export default { fetch(request, env) { return new Response(`%s ${env.KEY}`) } }"
PHASES: tuple[Phase, ...] = ("build", "deploy", "promote")
CHILD = """import asyncio, json, sys
from pathlib import Path
from tests.faults.test_workers_killed import act
print(json.dumps(asyncio.run(act(Path(sys.argv[1]), **json.loads(sys.argv[2])))))
"""


async def _nothing(*_: Any) -> None:
    pass


async def act(folder: Path, run: str, phase: Phase, done: dict[str, Facts], live: Facts | None) -> Facts:
    """One phase of a run that deploys a Worker whose answer names the run."""

    async def document(namespace: str, key: str) -> str:
        return SOURCE % run

    async def no_kv() -> str:
        raise AssertionError

    target = WorkerdTarget(folder, Sources((), document, None, WORKERD), no_kv, bytes)
    bindings = {"KEY": {"secret": "KEY"}}
    service = {"name": "web", "modules": "code/x", "compatibility_date": "2026-01-01", "bindings": bindings}
    config = Config.model_validate({"services": [service], "secrets": {"KEY": "env:KEY"}})
    subject = Subject("deployment_x", "site", "dev", "workerd", 1, config, live and 1, config, live)
    return await target.act(Work(subject, "apply", phase, run, True, done, lambda name: "hush", _nothing, _nothing))


def killed(folder: Path, after_seconds: float, **told: Any) -> Facts | None:
    """A phase in a process of its own that is killed at some moment; what it told, if it came to its end."""
    command = [sys.executable, "-c", CHILD, str(folder), json.dumps(told)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    time.sleep(after_seconds)
    child.send_signal(signal.SIGKILL)
    said, _ = child.communicate()
    return json.loads(said) if said.endswith(b"}\n") else None


def running(folder: Path) -> list[int]:
    """The processes of workerd that serve what lies in a folder."""
    found = list[int]()
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if (
            words
            and words[0] == os.fsencode(str(WORKERD))
            and any(word.startswith(os.fsencode(folder)) for word in words)
        ):
            found.append(int(process.name))
    return found


async def test_killed_at_any_moment_a_rollout_ends_with_one_worker_that_answers(tmp_path: Path):
    chance, live = random.Random(7), None
    try:
        for number in range(6):
            run, done = f"run_{number}", dict[str, Facts]()
            for phase in PHASES:
                told = {"run": run, "phase": phase, "done": done, "live": live}
                killed(tmp_path, chance.uniform(0.25, 0.8), **told)
                assert len(running(tmp_path)) <= 2
                done[phase] = await act(tmp_path, run, phase, done, live)
            live = {name: value for facts in done.values() for name, value in facts.items()}
            assert len(running(tmp_path)) == 1
            async with httpx2.AsyncClient() as client:
                assert (await client.get(live["url"])).text == f"{run} hush"
        told = {"run": "run_x", "phase": "build", "done": {}, "live": live}
        for phase in ("build", "deploy"):
            killed(tmp_path, chance.uniform(0.25, 0.8), **(told | {"phase": phase}))
        await act(tmp_path, "run_x", "revert", {}, live)
        assert len(running(tmp_path)) == 1
        async with httpx2.AsyncClient() as client:
            assert (await client.get(live["url"])).text == "run_5 hush"
    finally:
        await act(tmp_path, "run_end", "destroy", {}, live)
    assert running(tmp_path) == [] and not (tmp_path / "deployment_x").exists()
