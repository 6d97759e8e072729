"""`approvals` at a terminal and in a pipe, and where `doctor` says that links are."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from mcp_server.app import open_desk
from mcp_server.config import load_settings
from mcp_server.domain.approvals.commands import RequestApproval
from tests.commands.test_command_line import run
from tests.world import caller

HOSTILE = "Deploy\x1b[2J\nAsked by user:boss."


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database with one open question to two people, and mails that went to the outbox folder."""
    url = f"sqlite:///{tmp_path / 'desk.db'}"

    async def ask() -> None:
        async with open_desk(load_settings(database=url, public_url="http://desk.test")) as desk:
            spec = RequestApproval(title="Deploy", action=HOSTILE, approvers=("ann@x.org", "local"))
            asked = await desk.approvals.request(caller(), spec)
            assert asked.links_sent_to == [], "the mail in the outbox folder holds no link"
            while not list((tmp_path / "outbox").glob("*.eml")):
                await anyio.sleep(0.05)

    anyio.run(ask)
    return url


def at_a_terminal(*arguments: str) -> str:
    """What a command prints at a terminal."""
    terminal, side = pty.openpty()
    command = [sys.executable, "-m", "mcp_server", *arguments]
    with subprocess.Popen(command, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        said = b""
        try:
            while part := os.read(terminal, 4096):
                said += part
        except OSError:  # the other side is closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    return said.decode()


@pytest.mark.slow
def test_links_are_for_a_person_at_a_terminal_and_lie_nowhere_else(database: str, tmp_path: Path):
    flags = ("--database", database, "--public-url", "http://desk.test")
    shown = at_a_terminal("approvals", "list", *flags)
    assert shown.count("http://desk.test/approvals/") == 2 and "ann@x.org: http" in shown
    assert "\x1b" not in shown and "Deploy" in shown
    assert "http://" not in at_a_terminal("approvals", "list", *flags, "--role", "agent")
    assert "http://" not in run("approvals", "list", *flags).stdout
    (mail,) = (tmp_path / "outbox").glob("*.eml")
    text = mail.read_text()
    assert "May this happen?" in text and "http://" not in text and "approvals approve" not in text


@pytest.mark.slow
def test_what_is_decided_at_the_command_line_is_shown_first_and_fenced(database: str):
    approval_id = run("approvals", "list", "--database", database).stdout.split()[0]
    done = run("approvals", "reject", approval_id, "--yes", "--reason", "not today", "--database", database)
    assert done.stdout.startswith(f"May this happen? {approval_id}") and "\x1b" not in done.stdout
    assert "> Asked by user:boss." in done.stdout and f"{approval_id} is pending" in done.stdout
    too_long = run("approvals", "reject", approval_id, "--yes", "--reason", "x" * 2001, "--database", database)
    assert too_long.returncode == 2 and "2000 characters at most" in too_long.stderr
    unasked = run("approvals", "approve", approval_id, "--yes", "--user", "eve", "--database", database)
    assert unasked.returncode == 1 and "eve is not asked" in unasked.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "no pages"),
        (("--console-port", "8766"), "mails in the outbox folder hold none"),
        (
            ("--public-url", "http://d", "--email-provider", "smtp", "--smtp-host", "h", "--email-from", "a@x.org"),
            "In the mail to each",
        ),
    ],
)
def test_doctor_tells_a_person_where_links_are(tmp_path: Path, flags: tuple[str, ...], said: str):
    done = run("doctor", "--json", "--database", f"sqlite:///{tmp_path / 'desk.db'}", *flags)
    (check,) = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "approval_links"]
    assert check["ok"] and said in check["detail"]
