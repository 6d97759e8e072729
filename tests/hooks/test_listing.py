"""`approvals list` in a pipe: the same as the command itself says, from a process that loads next to nothing."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_server.__main__ import command_line
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.hooks import entry, listing
from tests.world import caller, open_world

pytestmark = pytest.mark.anyio


def light(database: str, capsysbinary: pytest.CaptureFixture[bytes], *more: str) -> str | None:
    line = entry.understood(["approvals", "list", "--database", database, *more])
    assert line is not None
    code = entry.run(line)
    return None if code is None else capsysbinary.readouterr().out.decode()


async def test_a_pipe_reads_the_same_lines_as_the_command_prints(sqlite_url, capsysbinary, monkeypatch):
    import anyio

    monkeypatch.setattr(listing, "SHOWN_MAX", 2)
    arguments = ["approvals", "list", "--database", sqlite_url]
    async with open_world(sqlite_url) as world:
        assert light(sqlite_url, capsysbinary) == "Nothing waits for an approval.\n"
        for number, title in enumerate(("Deploy", "Caf\u00e9 \u202e", "Third")):
            world.clock.advance(number)
            await world.desk.approvals.request(caller(), RequestApproval(title=title, action="x", approvers=("ann",)))
        said = light(sqlite_url, capsysbinary)
        assert said is not None and said.endswith("... and 1 more\n")
        monkeypatch.setattr(listing, "SHOWN_MAX", 100)
        said = light(sqlite_url, capsysbinary)
    whole = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command_line(), arguments))
    assert said == whole.output and said.count("\n") == 3


async def test_what_only_the_command_knows_is_left_to_it(absent_sqlite_url: str, capsysbinary, monkeypatch):
    assert light(absent_sqlite_url, capsysbinary) is None, "it makes the database"
    async with open_world(absent_sqlite_url):
        assert light(absent_sqlite_url, capsysbinary, "--role", "viewer") is None, "some questions are private"
        assert light(absent_sqlite_url, capsysbinary, "--role", "king") is None
    assert light("mysql://x", capsysbinary) is None
    assert light(absent_sqlite_url, capsysbinary, "--config", "/nowhere.toml") is None
    Path(absent_sqlite_url.removeprefix("sqlite:///")).write_text("no database")
    assert light(absent_sqlite_url, capsysbinary) is None
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert entry.understood(["approvals", "list"]) is None, "a person sees links"
