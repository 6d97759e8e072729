"""`call`: one tool from a shell."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_server.commands import call as command


def called(*arguments: str, folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    database = f"sqlite:///{folder}/desk.db"
    line = [sys.executable, "-m", "mcp_server", "call", *arguments, "--database", database]
    return subprocess.run(line, input=given, capture_output=True, encoding="utf-8", timeout=120)


@pytest.mark.slow
def test_it_prints_what_a_tool_answers_one_value_of_it_or_the_words(tmp_path: Path):
    created = called("tasks_create", "-", "--get", "tasks.0.id", folder=tmp_path, given='{"tasks": [{"title": "a"}]}')
    assert created.returncode == 0, created.stderr
    task_id = created.stdout.strip()
    found = called("tasks_find", json.dumps({"task_id": task_id}), folder=tmp_path)
    assert json.loads(found.stdout)["task"]["title"] == "a"
    refused = called("tasks_find", '{"task_id": "task_nothing"}', "--text", folder=tmp_path)
    assert refused.returncode == 1 and refused.stderr.startswith("not_found:") and not refused.stdout


@pytest.mark.slow
def test_it_waits_as_long_as_the_tool_does(tmp_path: Path):
    made = called("tasks_create", '{"tasks": [{"title": "a"}]}', "--get", "tasks.0.id", folder=tmp_path)
    wait = json.dumps({"task_id": made.stdout.strip(), "wait_seconds": 1.5})
    began = time.monotonic()
    assert called("tasks_wait", wait, "--get", "reached", folder=tmp_path).stdout.strip() == "false"
    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize(
    ("arguments", "words"), [("[1]", "ARGUMENTS are a JSON object"), ("{", "ARGUMENTS are not JSON: ")]
)
def test_arguments_that_are_no_object_are_refused_before_anything_starts(arguments: str, words: str):
    result = CliRunner().invoke(command.call, ["tasks_find", arguments])
    assert result.exit_code == 2 and words in result.output


ANSWER = {"isError": False, "content": [{"type": "text", "text": "said"}], "structuredContent": {"a": [{"b": 5}]}}


@pytest.mark.parametrize(
    ("options", "output", "code"),
    [
        (["--get", "a.0.b"], "5\n", 0),
        (["--text"], "said\n", 0),
        (["--get", "a.1"], "Error: a.1: there is no 1; there is 0.\n", 1),
        (["--get", "x"], "Error: x: there is no x; there is a.\n", 1),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(
    options: list[str], output: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command, "answered", lambda *_: ANSWER)
    result = CliRunner().invoke(command.call, ["tasks_find", *options])
    assert result.exit_code == code and result.output.startswith(output)


def test_flags_reach_the_server_as_the_variables_that_say_the_same(monkeypatch: pytest.MonkeyPatch):
    given: list[dict[str, str]] = []
    monkeypatch.setattr(command, "answered", lambda tool, arguments, variables: given.append(variables) or ANSWER)
    line = ["tasks_find", "--read-only", "--toolsets", "tasks,state", "--agent", "ann"]
    assert CliRunner().invoke(command.call, line).exit_code == 0
    assert given == [{"DATAMCP_READ_ONLY": "True", "DATAMCP_TOOLSETS": "tasks,state", "DATAMCP_AGENT": "ann"}]


@pytest.mark.slow
def test_a_server_that_does_not_start_is_told_in_its_own_words(tmp_path: Path):
    done = called("tasks_find", "--toolsets", "nonsense", folder=tmp_path)
    assert done.returncode == 1 and "nonsense" in done.stderr and "Traceback" not in done.stderr
