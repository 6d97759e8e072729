"""The container image. No engine runs where this is built: its file is read, linted, and its commands are run here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from mcp_server.config import Settings
from mcp_server.config.words import words
from tests.packaging.programs import HADOLINT, ROOT, needs_hadolint
from tests.ports import free_port
from tests.protocol.test_http import http_server, tokens_file

pytestmark = pytest.mark.anyio

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """Each instruction and what follows it; continued lines are one."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


BUILT = instructions((ROOT / "Dockerfile").read_text("utf-8"))
RUN = BUILT[max(number for number, (word, _) in enumerate(BUILT) if word == "FROM") :]
"""The stage that runs."""


def said(word: str) -> str:
    (found,) = [rest for name, rest in RUN if name == word]
    return found


def health_command() -> list[str]:
    command = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def test_what_runs_is_not_root_and_keeps_its_data_in_one_volume():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said("USER"))
    assert json.loads(said("VOLUME")) == ["/data"] and said("WORKDIR") == "/data"
    assert 'DATAMCP_DATABASE="sqlite:////data/desk.db"' in said("ENV")
    last = [name for name, _ in RUN].index("USER")
    assert not [name for name, _ in RUN[last:] if name in ("RUN", "COPY", "ADD")], (
        "what it runs is not its own to write"
    )


def test_it_serves_over_http_and_needs_a_command_that_exists():
    entry, command = json.loads(said("ENTRYPOINT")), json.loads(said("CMD"))
    assert entry == ["data-mcp-server-agent"]
    assert command == ["serve", "--transport", "http", "--host", "0.0.0.0"]
    assert said("EXPOSE") == str(Settings().port)


def test_its_variables_are_settings():
    named = set(re.findall(r"DATAMCP_(\w+)", (ROOT / "Dockerfile").read_text("utf-8")))
    assert named <= {name.upper() for name in words(Settings)}


def test_bytecode_is_compiled_and_versions_are_those_that_were_tested():
    (install,) = [rest for name, rest in BUILT if name == "RUN" and "uv pip install" in rest]
    assert "--compile-bytecode" in install and "--constraint requirements-dev.lock" in install


def test_it_says_whose_server_it_is():
    name = json.loads((ROOT / "server.json").read_text("utf-8"))["name"]
    assert f'io.modelcontextprotocol.server.name="{name}"' in said("LABEL")


def test_the_context_holds_what_is_copied_and_nothing_else():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {name for word, rest in BUILT if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    assert allowed == copied and all((ROOT / name).exists() for name in allowed)


@pytest.mark.slow
async def test_its_healthcheck_asks_the_server_that_its_command_starts(sqlite_url: str, tmp_path: Path):
    tokens = str(tokens_file(tmp_path, secret="user:ann:viewer"))
    assert json.loads(said("CMD"))[3:] == ["--host", "0.0.0.0"]
    async with http_server(sqlite_url, "--host", "0.0.0.0", tokens_file=tokens) as (base, _):
        assert await _checked(base.rpartition(":")[2]) == 0
    assert await _checked(str(free_port())) != 0


async def _checked(port: str) -> int:
    return (await anyio.run_process(health_command(), env={"DATAMCP_PORT": port}, check=False)).returncode


@needs_hadolint
def test_hadolint_finds_nothing():
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
