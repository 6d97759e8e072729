"""What the operator declares as a program, and what a deployment may fill in."""

from pathlib import Path
from typing import Any

import pytest

from mcp_server.config import load_settings
from mcp_server.deploying import programs
from mcp_server.domain.deployments.configuration import Service
from mcp_server.kernel.errors import LimitExceeded, NotFound, OpsError, ValidationFailed

DECLARED = """[targets.web]
kind = "process"
argv = ["serve", "--port={port}", "--colour={colour}"]
secrets = ["KEY"]
max_replicas = 3
ports = [20000, 20100]
arguments.colour = {type = "choice", choices = ["red", "blue"]}
"""


def read(folder: Path, text: str) -> Any:
    (folder / "desk.toml").write_text(text)
    return programs(load_settings(config=folder / "desk.toml"))


def test_what_is_declared_is_filled_in_and_its_hash_changes_with_it(tmp_path: Path):
    program = read(tmp_path, DECLARED).get("web")
    argv = program.launcher.filled({"colour": "red"}, {"port": 20_001})
    assert argv == ("serve", "--port=20001", "--colour=red")
    assert read(tmp_path, DECLARED).get("web").digest() == program.digest()
    assert read(tmp_path, DECLARED.replace("serve", "server")).get("web").digest() != program.digest()
    with pytest.raises(NotFound, match="The target other is not declared on this server"):
        read(tmp_path, DECLARED).get("other")


@pytest.mark.parametrize(
    ("service", "why", "kind"),
    [
        ({}, "The target web needs the argument colour", ValidationFailed),
        ({"arguments": {"colour": "green"}}, "takes as colour one of red, blue", ValidationFailed),
        ({"arguments": {"colour": "red", "port": "1"}}, "has no argument port", ValidationFailed),
        ({"arguments": {"colour": "red\nblue"}}, "line", ValidationFailed),
        ({"arguments": {"colour": "red"}, "secrets": ["LD_PRELOAD"]}, "takes no secret LD_PRELOAD", ValidationFailed),
        ({"arguments": {"colour": "red"}, "replicas": 4}, "allows a service 3 replicas, not 4", LimitExceeded),
        (
            {"arguments": {"colour": "red"}, "ports": [80]},
            "gives out the ports 20000 to 20100, not 80",
            ValidationFailed,
        ),
        ({"arguments": {"colour": "red"}, "ports": [20000, 20001]}, "serves each at one", ValidationFailed),
    ],
)
def test_what_is_not_left_open_is_refused(tmp_path: Path, service: dict[str, Any], why: str, kind: type[OpsError]):
    program = read(tmp_path, DECLARED).get("web")
    with pytest.raises(kind, match=why):
        program.check("web", Service.model_validate({"name": "shop"} | service))
    program.check("web", Service.model_validate({"name": "shop", "arguments": {"colour": "red"}, "ports": [20100]}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('kind = "process"\nargv = ["a", "{who}"]', r"\[targets.web\] cannot work: argv names \{who\}"),
        ('kind = "process"\nargv = ["a"]\nhealth_command = ["b", "{who}"]', r"argv names \{who\}"),
        ('kind = "process"\nargv = ["a"]\narguments.port = {}', "its argument port: the desk fills it in itself"),
        ('kind = "process"\nargv = ["a"]\nports = [30, 20]', "its ports go from 30 to 20"),
        ('kind = "process"\nargv = ["a"]\nsecrets = ["A B"]', "its secret A B is no name of a variable"),
        ('kind = "process"\nargv = ["a"]\nhealth = "/x"\nhealth_command = ["b"]', "two ways to say the same"),
        ('kind = "process"\nargv = ["a"]\nhealth_command = [""]', "its program has no name"),
        ('kind = "process"\nargv = ["a"]\nenv = { "" = "x" }', "in its env is no variable"),
        ('kind = "process"', r"targets in desk.toml, web.argv: it is missing"),
        ('kind = "process"\nargv = ["a"]\napply = ["b"]', "There is no setting targets.web.apply in desk.toml"),
        ('kind = "proces"\napply = ["a"]', "web: its kind is 'command' or 'process'"),
    ],
)
def test_declarations_that_cannot_work_are_refused_at_the_start(tmp_path: Path, text: str, why: str):
    with pytest.raises(ValidationFailed, match=why):
        read(tmp_path, f"[targets.web]\n{text}\n")


def test_the_name_process_is_the_servers_own(tmp_path: Path):
    with pytest.raises(ValidationFailed, match="this name is one of the server's own"):
        read(tmp_path, DECLARED.replace("targets.web", "targets.process"))
