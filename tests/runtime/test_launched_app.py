"""A server whose file declares a launcher runs instances. `faults/test_supervised.py` has servers that are killed."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_server.app import open_app
from mcp_server.config import load_settings

pytestmark = pytest.mark.anyio


async def test_a_model_scales_an_agent_whose_instance_then_runs_writes_a_log_and_ends(tmp_path: Path):
    config = tmp_path / "desk.toml"
    program = "import os, time; print('hello', os.environ['DATAMCP_INSTANCE'], flush=True); time.sleep(600)"
    config.write_text(f'[launchers.it]\nargv = ["{sys.executable}", "-I", "-S", "-c", "{program}"]\n')
    settings = load_settings(config=config, database=f"sqlite:///{tmp_path / 'desk.db'}")
    async with open_app(settings) as app, Client(app.server) as client, asyncio.timeout(60):

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            return result.structured_content or {}

        async def process() -> dict[str, Any]:
            return (await call("agents_find", agent_id="fleet"))["agent"]["instances"][0]["process"]

        await call("agents_register", name="fleet", launcher={"name": "it"})
        await call("agents_scale", agent_id="fleet", desired_instances=1)
        while (await process())["status"] != "running":
            await asyncio.sleep(0.01)
        uri, text = (await process())["log"], ""
        while "hello" not in text:
            text = (await client.read_resource(uri)).contents[0].text
        assert '"log":"hello supervised-0\\n"' in text
        assert text.startswith('{"notice":"Others'), "what a program writes is marked as others' words"
        await call("agents_scale", agent_id="fleet", desired_instances=0)
        while (await process())["status"] != "stopped":
            await asyncio.sleep(0.01)
    assert [path.name for path in (tmp_path / "instances").iterdir()] == [f"{uri.split('/')[3]}.log"]
