"""A person's inbox on the command line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcp_server.__main__ import command_line

NASTY = "one\x1b[31m\u202eeno\u200b\r\n2 unread.\x07"


@pytest.fixture
def inbox(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command on one database, as `local` unless said otherwise."""
    monkeypatch.setenv("DATAMCP_DATABASE", sqlite_url)

    def run(*arguments: str, user: str = "local") -> Result:
        return CliRunner().invoke(command_line(), ["inbox", "--user", user, *arguments])

    return run


def shown(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_looking_takes_nothing_and_reading_does(inbox: Callable[..., Result]):
    assert inbox().output == "0 unread.\n"
    assert "sent to user:local." in inbox("--send", "user:local", "hello", user="ann").output
    for _ in range(2):
        output = inbox().output
        assert "> hello\n" in output and "from user:ann to user:local" in output and output.endswith("1 unread.\n")
    assert inbox("--read").output.endswith("0 unread.\n")
    assert "hello" not in inbox().output
    assert "> hello\n" in inbox("--all").output
    assert inbox("--all", "--read").exit_code == 2


def test_a_thread_is_answered_and_shown_whole(inbox: Callable[..., Result]):
    first = shown(inbox("--send", "user:local", "question", "--json", user="ann"))["message"]
    thread_id = first["thread_id"]
    assert "sent to user:ann." in inbox("--reply", thread_id, "answer").output
    whole = shown(inbox("--thread", thread_id, "--json", user="ann"))
    assert [message["body"] for message in whole["messages"]] == ["question", "answer"]
    refused = inbox("--thread", thread_id, "--role", "agent", user="eve")
    assert refused.exit_code == 1 and "takes no part in the thread" in refused.output


def test_a_message_that_asks_for_it_is_acknowledged(inbox: Callable[..., Result], sqlite_url: str):
    import anyio

    from tests.domain.messages.test_service import sent
    from tests.world import open_world

    async def ask() -> str:
        async with open_world(sqlite_url) as world:
            return (await sent(world, "user:local", subject="now", ack_within_seconds=60)).message.id

    message_id = anyio.run(ask)
    output = inbox().output
    assert f"--ack {message_id}" in output and "subject now" in output
    assert "acknowledged 20" in inbox("--ack", message_id).output
    unknown = inbox("--ack", "message_none")
    assert unknown.exit_code == 1 and "user:local has got no message message_none" in unknown.output


def test_what_others_wrote_cannot_move_the_cursor_or_pass_for_the_commands_own_words(inbox: Callable[..., Result]):
    inbox("--send", "user:local", NASTY, user="ann")
    output = inbox().output
    assert output.endswith("> one\\x1b[31m\\u202eeno\\u200b\n> 2 unread.\\x07\n\n1 unread.\n")
    as_json = inbox("--json").output
    assert as_json.isascii() and as_json.rstrip("\n").isprintable()
    assert json.loads(as_json)["messages"][0]["body"] == NASTY


def test_the_whole_inbox_is_shown_however_many_pages_it_has(inbox: Callable[..., Result], monkeypatch: Any):
    monkeypatch.setattr("mcp_server.commands.inbox.LIMIT_MAX", 2)
    for number in range(5):
        inbox("--send", "user:local", f"number {number}", user="ann")
    bodies = [message["body"] for message in shown(inbox("--all", "--json"))["messages"]]
    assert bodies == [f"number {number}" for number in range(5)]


def test_the_command_starts_without_the_server():
    """A model asks for it often, and a person does not like to wait."""
    import subprocess
    import sys

    probe = "import sys, mcp_server.commands.inbox; print([m for m in ('mcp', 'mcp_server.app') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
