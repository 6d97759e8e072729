"""No child of any kind finds a secret in its environment that nobody named for it."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mcp_server.commands.worker import environment_of, worker
from mcp_server.domain.agents.launchers import Launcher, Launchers
from mcp_server.hooks import ending, git
from mcp_server.integrations.kept import Command, Kept, run_once
from mcp_server.integrations.targets import docker_compose
from mcp_server.integrations.targets.command import CommandTarget
from mcp_server.integrations.targets.declared import Declared
from mcp_server.integrations.workers import bundling
from mcp_server.kernel.environment import USUAL, passed_on
from mcp_server.persistence.database import without_credentials
from mcp_server.runtime import groups
from mcp_server.runtime.command_run import CommandRun
from mcp_server.runtime.launching import Launching

pytestmark = pytest.mark.anyio
CANARY = "canary-7f3a"
SECRETS = (
    *("DATAMCP_SMTP_PASSWORD", "DATAMCP_SENDGRID_API_KEY", "DATAMCP_CLOUDFLARE_API_TOKEN", "DATAMCP_TOKENS_FILE"),
    *("CLOUDFLARE_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SMTP_PASSWORD", "HTTPS_PROXY", "ANYTHING"),
)
TELLS = "import json, os, sys; print(json.dumps(dict(os.environ)))"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch):
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)


def assert_none(env: Mapping[str, str]) -> None:
    assert [name for name, value in env.items() if CANARY in value] == []
    assert env.get("PATH"), "what everything needs is there"


def test_the_usual_variables_hold_none_and_more_is_there_by_its_name_alone():
    assert_none(passed_on())
    assert not {name for name in USUAL if any(word in name for word in ("PASS", "TOKEN", "KEY", "SECRET", "DATAMCP"))}
    assert passed_on({"A": "1", "AB": "2", "HOME": "/h"}, named=("A",)) == {"A": "1", "HOME": "/h"}
    assert passed_on({"A": "1", "AB": "2", "B": "3"}, prefixes=("A",)) == {"A": "1", "AB": "2"}


async def test_a_workers_command_has_what_is_named_for_it_alone():
    run = await CommandRun.start((sys.executable, "-c", TELLS), environment_of(()))
    said, failure = await run.finish("{}", lambda _: None)
    assert failure is None
    assert_none(said)
    run = await CommandRun.start((sys.executable, "-c", TELLS), environment_of(("ANYTHING",)))
    said, _ = await run.finish("{}", lambda _: None)
    assert {name for name, value in said.items() if value == CANARY} == {"ANYTHING"}


def test_a_worker_is_not_started_without_a_variable_that_is_named():
    done = CliRunner().invoke(worker, ["builder", "--env", "MISSING", "--", "true"])
    assert done.exit_code == 2
    assert "There is no MISSING in the environment of this worker (--env)" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:////home/a@b/desk.db", "sqlite:////home/a@b/desk.db"),
        ("postgresql://desk:s3cret@db.example.org/desk", "postgresql://db.example.org/desk"),
        ("postgresql://db/desk?user=desk&password=s3cret", "postgresql://db/desk"),
        ("postgresql://a:b@c@db/desk", "postgresql://db/desk"),
    ],
)
def test_which_database_it_is_is_told_without_its_password(url: str, told: str):
    assert without_credentials(url) == told


async def test_an_instance_has_what_its_launcher_names():
    launchers = Launchers({"it": Launcher(argv=("x",), env={"NEEDED": "env:ANYTHING"})})
    launching = Launching(launchers, "postgresql://desk:s3cret@db/desk")
    env = launching._env(launchers.known["it"], {"agent_id": "agent_1", "instance": "i"})
    assert env.pop("NEEDED") == CANARY
    assert_none(env)
    assert "DATAMCP_DATABASE" not in env


async def test_commands_of_targets_and_what_only_looks_have_what_is_declared(tmp_path: Path):
    target = CommandTarget("shop", Declared({"apply": ("x",)}, env={"NEEDED": "env:ANYTHING"}), tmp_path)
    env, hidden = target._environment({})
    assert (env.pop("NEEDED"), hidden) == (CANARY, {"NEEDED": CANARY})
    assert_none(env)
    assert_none(docker_compose._inherited())
    assert_none(bundling._environment())
    command = Command((sys.executable, "-c", TELLS), None, env, "", 20)
    assert_none(json.loads((await run_once(command)).stdout))
    assert_none(json.loads((await Kept(tmp_path / "kept").run(command)).stdout))


def program(folder: Path, name: str) -> Path:
    """A program that writes down its environment."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport json, os\nprint(json.dumps(dict(os.environ)))\n")
    path.chmod(0o700)
    return path


def test_git_has_its_own_variables_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path, "git")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_INDEX_FILE", "/the/index")
    said = json.loads(git._git("status"))
    assert said["GIT_INDEX_FILE"] == "/the/index"
    assert_none(said)


def test_what_gives_back_at_the_end_of_a_session_has_the_database_and_no_password_of_mails(
    monkeypatch: pytest.MonkeyPatch,
):
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("subprocess.Popen", lambda argv, **how: started.append((argv, how["env"])))
    settings = SimpleNamespace(database="postgresql://desk:s3cret@db/desk", user="me")
    ending._give_back(SimpleNamespace(settings=settings), "agent_1", 0, None, is_alone=True)  # type: ignore[arg-type]
    ((argv, env),) = started
    assert "s3cret" not in " ".join(argv), "whoever lists processes would read it"
    assert env["DATAMCP_DATABASE"] == settings.database
    assert_none(env)


async def test_programs_of_the_system_have_none(tmp_path: Path):
    out = tmp_path / "said"
    await groups._run(sys.executable, "-c", f"import json, os; json.dump(dict(os.environ), open({str(out)!r}, 'w'))")
    assert_none(json.loads(out.read_text()))
