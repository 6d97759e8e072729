"""`demo`: the main job, shown to a person: a real server process, a real client over stdio, a throw-away database."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

import anyio
import click
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

from mcp_server.commands.demo_service import declared, person, show_service
from mcp_server.kernel import private_files
from mcp_server.kernel.environment import passed_on


class DemoFailed(Exception):
    """A step did not do what it should."""


class Desk:
    """The demo's client: calls a tool, shows what the server said, hands on the result."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, tool: str, *, refused: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Call a tool and print the first line of its answer.

        Args:
            tool: its name.
            refused: the error code that is expected, if a refusal is.
            arguments: the tool's arguments.

        Raises:
            DemoFailed: the answer is not the expected one.
        """
        result = await self._client.call_tool(tool, arguments)
        content: dict[str, Any] = result.structured_content or {}
        text = next((block.text for block in result.content if block.type == "text"), "")
        click.echo(f"    {tool}: {text.splitlines()[0]}")
        if content.get("error", {}).get("code") != refused:
            raise DemoFailed(f"{tool} answered {text!r}")
        return content


@click.command("demo")
def demo() -> None:
    """Show the main job: a real server and client on a throw-away database."""
    sys.exit(run_demo())


def run_demo() -> int:
    """Run the demo; the exit code."""
    exit_code = 0
    with tempfile.TemporaryDirectory(prefix="datamcp-demo-") as folder:
        path = Path(folder) / "server.log"
        try:
            with os.fdopen(private_files.create(path), "w") as log:
                anyio.run(_demo, Path(folder) / "demo.db", log)
        except* DemoFailed as failures:
            click.echo(f"The demo failed: {failures.exceptions}", err=True)
            exit_code = 1
        except* MCPError as failures:
            click.echo(_last_words(path) or f"The demo failed: {failures.exceptions}", err=True)
            exit_code = 1
    return exit_code


def _last_words(log: Path) -> str | None:
    """What a server that could not go on said of it: the line that its command ends with."""
    said = log.read_text("utf-8", "replace").splitlines()
    return next((line for line in reversed(said) if line.startswith("data-mcp-server-agent: ")), None)


async def _demo(database: Path, log: TextIO) -> None:
    click.echo("A server process starts on an empty database, and a client connects over stdio.")
    url = f"sqlite:///{database}"
    arguments = ["-m", "mcp_server", "serve", "--database", url, *declared(database.parent)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=passed_on())
    async with Client(stdio_client(server, errlog=log), elicitation_callback=person) as client:
        desk = Desk(client)
        tools = (await client.list_tools()).tools
        click.echo(f"    {len(tools)} tools on offer: {', '.join(tool.name for tool in tools)}")
        agent_id = await _agent(desk)
        await _work(desk, agent_id)
        await _state(desk)
        await _trail(desk)
        await show_service(desk.call)
    click.echo("\nDone. Connect your own client: see README.md.")


async def _agent(desk: Desk) -> str:
    click.echo("\n1. An agent registers, with what it can do.")
    capabilities = [{"name": "research"}, {"name": "write"}]
    found = await desk.call(
        "agents_register", name="scribe", capabilities=capabilities, instance={"label": "demo session"}
    )
    return found["agent"]["id"]


async def _work(desk: Desk, agent_id: str) -> None:
    click.echo("\n2. Somebody creates two tasks; the second waits for the first.")
    tasks = [
        {"title": "Collect three sources", "required_capabilities": ["research"], "input": {"topic": "tides"}},
        {"title": "Write the summary", "depends_on": ["#0"], "priority": "high"},
    ]
    await desk.call("tasks_create", tasks=tasks)
    for progress in ("two of three found", "half a page"):
        click.echo("\n   The agent claims a task, reports and finishes it.")
        claim = (await desk.call("tasks_claim", agent_id=agent_id))["claims"][0]
        task_id, token = claim["task"]["id"], claim["lease_token"]
        click.echo(f"      it is {claim['task']['title']!r}")
        report = {"percent": 60, "message": progress}
        await desk.call("tasks_report", task_id=task_id, lease_token=token, progress=report)
        await desk.call("tasks_finish", task_id=task_id, lease_token=token, outcome="completed", result={"ok": True})
    click.echo("\n   A late repeat with a stale token is refused, and nothing is done twice.")
    await desk.call(
        "tasks_finish",
        refused="lease_lost",
        task_id=task_id,
        lease_token="lease_of_nobody",  # noqa: S106 - it is none
        outcome="completed",
        result=None,
    )
    await desk.call("tasks_claim", agent_id=agent_id)


async def _state(desk: Desk) -> None:
    click.echo("\n3. Two writers share a document; the slower one is refused instead of overwriting.")
    address = {"namespace": "demo", "key": "outline"}
    await desk.call("state_set", **address, value={"title": "Tides"}, expected_version=0, note="first")
    await desk.call("state_set", **address, value={"title": "Tides", "pages": 1}, expected_version=1)
    await desk.call("state_set", refused="conflict", **address, value={"title": "The sea"}, expected_version=1)
    current = await desk.call("state_get", **address)
    click.echo(f"      it holds {current['document']['value']}")


async def _trail(desk: Desk) -> None:
    click.echo("\n4. Every change is one event in the trail.")
    for event in (await desk.call("events_read", limit=100))["events"]:
        click.echo(f"      {event['seq']:>3}  {event['type']:<20} {event['aggregate_id']}  by {event['actor']}")
