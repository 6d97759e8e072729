"""The environment of an instance: what it names, what every program needs, and nothing else of the server's."""

from pathlib import Path

import pytest

from mcp_server.domain.agents.launchers import ArgumentRule, Launcher, Launchers
from mcp_server.domain.processes.model import Process, Want
from mcp_server.domain.processes.running import Command, NotStarted
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.runtime.launching import SECRET_BYTES_MAX, Launching

pytestmark = pytest.mark.anyio
ENVIRONMENT = {"PATH": "/bin", "HOME": "/home/me", "KEY": "hush", "DATAMCP_SMTP_PASSWORD": "hush", "AWS_SECRET": "hush"}
KNOWN = {"agent_id": "agent_a", "agent_name": "fleet", "agent_kind": "llm", "instance": "supervised-0", "slot": 0}


async def resolved(launcher: Launcher, **arguments: str) -> Command:
    spec = RawJson(dump_json({"launcher": "it", "arguments": arguments, "known": KNOWN}))
    process, _ = Process.first_wanted(Want("instance_a", "agent", "agent_a", 0, "launcher:it", spec), 0)
    return await Launching(Launchers({"it": launcher}), "sqlite:////db", ENVIRONMENT)(process)


async def test_an_instance_inherits_no_secret_that_it_does_not_name():
    command = await resolved(Launcher(("run", "{instance}"), env={"MODE": "batch", "MINE": "env:KEY"}))
    assert command.argv == ("run", "supervised-0")
    assert command.env == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "DATAMCP_AGENT": "agent_a",
        "DATAMCP_INSTANCE": "supervised-0",
        "MODE": "batch",
        "MINE": "hush",
    }
    assert "hush" not in repr(command)


async def test_the_database_is_told_to_those_alone_that_share_it():
    assert (await resolved(Launcher(("run",), share_database=True))).env["DATAMCP_DATABASE"] == "sqlite:////db"


async def test_a_secret_comes_from_a_file_as_it_is_at_the_start(tmp_path: Path):
    file = tmp_path / "key"
    file.write_text("one\n")
    launcher = Launcher(("run",), env={"KEY": f"file:{file}"})
    assert (await resolved(launcher)).env["KEY"] == "one"
    file.write_bytes(b"\xef\xbb\xbftwo\r\n")  # as editors on Windows write it
    assert (await resolved(launcher)).env["KEY"] == "two"


@pytest.mark.parametrize("content", [b"\xff", b"a\x00b", b"x" * (SECRET_BYTES_MAX + 1), None])
async def test_a_reference_that_leads_nowhere_is_told_by_its_name(tmp_path: Path, content: bytes | None):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotStarted, match=f"KEY is to come from the file {file}"):
        await resolved(Launcher(("run",), env={"KEY": f"file:{file}"}))
    with pytest.raises(NotStarted, match="KEY is to come from the variable NONE, which the server does not have"):
        await resolved(Launcher(("run",), env={"KEY": "env:NONE"}))


async def test_one_more_instance_than_is_allowed_is_not_started_whoever_asked_for_it():
    with pytest.raises(NotStarted, match="allows an agent 0 instances"):
        await resolved(Launcher(("run",), max_instances=0))


async def test_a_launcher_that_takes_other_arguments_by_now_starts_nothing_and_says_so():
    with pytest.raises(NotStarted, match="has no argument size"):
        await resolved(Launcher(("run",)), size="s")
    with pytest.raises(NotStarted, match="needs the argument size"):
        await resolved(Launcher(("run", "{size}"), arguments={"size": ArgumentRule()}))
