"""`call`: one tool, from a script or a shell."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, cast

import click

from mcp_server.commands.options import SettingsCommand, words_of
from mcp_server.config import Group

GROUPS = (Group.STORE, Group.IDENTITY, Group.SERVING, Group.MAIL, Group.DEPLOYING, Group.CALLS)
HANDSHAKE = (
    {
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "data-mcp-server-agent call", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
)


@click.command("call", cls=SettingsCommand, groups=GROUPS)
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option("--get", "path", metavar="PATH", help="Print one value of the answer: tasks.0.id.")
@click.option("--text", is_flag=True, help="Print the words that a model reads, instead of JSON.")
def call(tool: str, arguments: str, path: str | None, text: bool, **flags: Any) -> None:
    """Call TOOL with the JSON object ARGUMENTS (- reads it from stdin), and print what it answers as JSON.

    What a client on stdio would get from a server with these settings. A refusal is told on stderr, with exit code 1.

    data-mcp-server-agent call tasks_create '{"tasks": [{"title": "Write the release notes"}]}'
    """
    given = _parsed(sys.stdin.read() if arguments == "-" else arguments)
    answer = answered(tool, given, _variables(flags))
    if answer.get("isError", True):
        click.echo(answer["content"][0]["text"], err=True)
        sys.exit(1)
    content = answer["structuredContent"]
    click.echo(answer["content"][0]["text"] if text else _json(content if path is None else _found(content, path)))


def answered(tool: str, arguments: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """What a server of its own answers; where it does not start, or knows no such tool, its words as a refusal."""
    request = {"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    lines = [json.dumps({"jsonrpc": "2.0"} | message) for message in (*HANDSHAKE, request)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "mcp_server", "serve", "--transport", "stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "DATAMCP_LOG_LEVEL": "error", **variables},
            encoding="utf-8",
        )
        with server:
            message = _answer(server, lines)
        said.seek(0)
        words = said.read().strip()
    if message is not None:
        return message.get("result") or _refused(message["error"]["message"])
    return _refused(words or f"The server ended with exit code {server.returncode}, and did not answer.")


def _answer(server: "subprocess.Popen[str]", lines: list[str]) -> dict[str, Any] | None:
    """What it answers, if it does. Its input stays open until then: a server whose client has gone waits no longer."""
    assert server.stdin is not None and server.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        server.stdin.write("\n".join(lines) + "\n")
        server.stdin.flush()
    return next((message for line in server.stdout if (message := json.loads(line)).get("id") == 1), None)


def _refused(words: str) -> dict[str, Any]:
    """A refusal in the form of a tool."""
    return {"isError": True, "content": [{"type": "text", "text": words}]}


def _parsed(text: str) -> dict[str, Any]:
    """The arguments as they were typed.

    Raises:
        UsageError: they are no JSON object.
    """
    try:
        given: Any = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"ARGUMENTS are not JSON: {error}.") from None
    if not isinstance(given, dict):
        raise click.UsageError('ARGUMENTS are a JSON object, such as {"task_id": "task_..."}.')
    return cast("dict[str, Any]", given)


def _variables(flags: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, as the variables that say the same."""
    given = {word.variable: flags.get(word.name) for word in words_of(GROUPS)}
    return {variable: str(value) for variable, value in given.items() if value is not None}


def _found(content: Any, path: str) -> Any:
    """The value at a dotted path.

    Raises:
        ClickException: there is none; says what is there instead.
    """
    for step in path.split("."):
        inside = _inside(content)
        if step not in inside:
            there = ", ".join(inside) or "nothing inside"
            raise click.ClickException(f"{path}: there is no {step}; there is {there}.")
        content = inside[step]
    return content


def _inside(value: Any) -> dict[str, Any]:
    """The members of an object by name, those of a list by number."""
    if isinstance(value, list):
        return {str(place): member for place, member in enumerate(cast("list[Any]", value))}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _json(value: Any) -> str:
    """A value as it is printed: a text stands for itself."""
    return value if isinstance(value, str) else json.dumps(value, indent=2)
