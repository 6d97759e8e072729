"""The demo's last part: a small service on this machine is planned, approved, applied, asked, rolled back, removed."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import click
from mcp_types import ElicitRequestParams, ElicitResult

from mcp_server.kernel import private_files

Call = Callable[..., Awaitable[dict[str, Any]]]

_PROGRAM = """import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[2]} from revision {sys.argv[3]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""
_DECLARED = """[targets.greeter]
kind = "process"
argv = {argv}
health = "/"
arguments.greeting = {{}}

[[approve]]
tool = "deployments_apply"
environment = "production"
"""


def declared(folder: Path) -> list[str]:
    """The operator's file, in which the program stands that the demo deploys; the options that name it."""
    if sys.platform == "win32":
        return []
    program, config = folder / "greeter.py", folder / "desk.toml"
    private_files.put(program, _PROGRAM)
    argv = [sys.executable, "-I", "-S", str(program), "{port}", "{greeting}", "{revision}"]
    private_files.put(config, _DECLARED.format(argv=json.dumps(argv)))
    return ["--config", str(config)]


async def person(context: Any, params: ElicitRequestParams) -> ElicitResult:
    """The person at the client, who is shown the whole plan and approves it."""
    del context
    click.echo("      The person at the client is asked, and approves:")
    for line in params.message.splitlines()[:3]:
        click.echo(f"      | {line[:120]}")
    return ElicitResult(action="accept", content={"approve": True})


async def show_service(call: Call) -> None:
    """Deploy, ask, replace, ask, roll back, ask; and leave nothing. `call` calls a tool and shows what it answered."""
    if sys.platform == "win32":
        click.echo("\n5. (Processes are kept on Linux and macOS only: no service is deployed here.)")
        return
    click.echo("\n5. A small service is deployed by a program of the operator's. A person has to approve each change.")
    try:
        await _apply(call, "hello")
        click.echo("\n   It is replaced while it runs: the new one starts beside the old one, at the same address.")
        await _apply(call, "goodbye")
        click.echo("\n   Rolled back, which people approve as well: another revision is live then.")
        await _approved(call, await call("deployments_control", deployment_id="greeter", action="rollback"))
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(60):
            click.echo("\n   And removed.")
            plan = await call("deployments_control", deployment_id="greeter", action="destroy")
            hash_ = plan["plan"]["hash"]
            control = await call("deployments_control", deployment_id="greeter", action="destroy", plan_hash=hash_)
            await _done(call, control)


async def _apply(call: Call, greeting: str) -> None:
    service = {"name": "web", "arguments": {"greeting": greeting}}
    await call("deployments_define", name="greeter", target="greeter", environment="production", services=[service])
    plan = (await call("deployments_plan", deployment_id="greeter"))["plan"]
    for number, step in enumerate(plan["steps"], 1):
        click.echo(f"      {number}. {step['action']} {step['what']} ({step['detail']})")
    await _approved(call, await call("deployments_apply", deployment_id="greeter", plan_hash=plan["hash"]))


async def _approved(call: Call, begun: dict[str, Any]) -> None:
    await call("approvals_decide", approval_id=begun["deployment"]["run"]["approval_id"])
    await _done(call, begun)
    await _ask(call)


async def _done(call: Call, begun: dict[str, Any]) -> None:
    await call("tasks_wait", task_id=begun["task"]["id"], wait_seconds=50)


async def _ask(call: Call) -> None:
    """Fetch what is live: the proof."""
    import httpx2  # nothing else of the command line needs it

    found = (await call("deployments_find", deployment_id="greeter"))["deployment"]
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        answer = await client.get(found["url"])
    click.echo(f"      {found['url']} answers {answer.status_code}: {answer.text!r}")
