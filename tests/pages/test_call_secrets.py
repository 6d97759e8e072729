"""A link to a call and the secret to come back with are told to those who are to have them, and stand nowhere else."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client

from tests.integrations.calls.peers import Person
from tests.ports import free_port
from tests.protocol.test_http import http_server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_no_log_event_metric_or_row_holds_a_link_or_the_secret_to_come_back_with(tmp_path: Path):
    port, file, told = free_port(), tmp_path / "desk.db", list[str]()
    options: dict[str, Any] = {"LOG_LEVEL": "debug", "METRICS_PORT": str(port), "stderr": asyncio.subprocess.PIPE}
    async with http_server(f"sqlite:///{file}", **options) as (base, process):
        async with Client(f"{base}/mcp") as client, httpx2.AsyncClient(timeout=60) as http:

            async def call(tool: str, **arguments: Any) -> Any:
                return (await client.call_tool(tool, arguments)).structured_content

            opened = (await call("calls_open", purpose="Why"))["call"]
            link = opened["join_url"]
            person = Person()
            asked = {"offer": {"type": "offer", "sdp": await person.offer()}}
            answer = (await http.post(f"{link}/join", json=asked)).json()
            await person.accept(answer["answer"]["sdp"])
            await person.opened.wait()
            for wrong in (f"{link}x", f"{link}/nothing", f"{link}?{link}"):
                await http.get(wrong)
            for body in (b"{", json.dumps(asked).encode(), json.dumps(asked | {"resume": "another"}).encode()):
                await http.post(f"{link}/join", content=body)
            told += [json.dumps(await call(tool)) for tool in ("events_read", "tasks_find")]
            told += [(await http.get(url)).text for url in (f"http://127.0.0.1:{port}/metrics", f"{base}/health")]
            await call("calls_control", call_id=opened["id"], action="end")
            await person.close()
        told += [one.read_bytes().decode("latin-1") for one in tmp_path.glob("desk.db*")]
        assert process.process.stderr is not None
        reading = asyncio.create_task(process.process.stderr.read())
    told.append((await reading).decode())
    assert opened["id"] in told[0] and "datamcp" in told[-1].lower()
    for secret in (link.rpartition(".")[2], answer["resume"]):
        assert len(secret) > 20 and not any(secret in one for one in told)
