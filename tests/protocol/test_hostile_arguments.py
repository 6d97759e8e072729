"""Whatever stands in whichever argument of whichever tool, on whichever engine: it is refused or done, and is never
a failure of the server's. The arguments are made from the tools' own schemas, so that a new tool is in by itself."""

import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.protocol.schemas import input_schema
from resources import RESOURCES
from tests.protocol.guessing import Guesser, cursor
from tests.turns import in_turns
from tools import TOOLS
from tools.spec import Shared

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[tuple[Client, list[Any]]]:
    """A client of a desk that holds a little, and what it holds by name."""
    async with (
        open_app(load_settings(database=url)) as app,
        Client(app.server) as client,
    ):
        agent = await client.call_tool("agents_register", {"name": "a", "instance": {"label": "l"}})
        made = await client.call_tool("tasks_create", {"tasks": [{"title": "t"}, {"title": "u"}]})
        await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": {"a": [1, 2]}})
        tasks = [task["id"] for task in (made.structured_content or {})["tasks"]]
        yield client, [(agent.structured_content or {})["agent"]["id"], "a", *tasks, "n", "k", "t"]


@pytest.mark.parametrize(("url", "seed"), in_turns([0], range(1, 9)), indirect=["url"])
async def test_no_value_of_any_argument_of_any_tool_is_a_failure_of_the_servers(url: str, seed: int):
    rounds = 5 if seed == 0 else 150
    async with opened(url) as (client, known):
        guesser = Guesser(random.Random(seed), lambda _: known)
        for tool in (tool for _ in range(rounds) for tool in TOOLS):
            arguments = guesser.arguments(input_schema(tool.arguments, Shared if tool.writes else None))
            result = await client.call_tool(tool.name, arguments)
            error = (result.structured_content or {}).get("error", {})
            told = (tool.name, json.dumps(arguments)[:1000], error)
            assert "internal error" not in error.get("message", ""), told
            not_set_up = "operator sets" in error.get("message", "")  # no page to call people to
            assert tool.asks_person or not_set_up or error.get("code") not in ("unavailable", "busy"), told


async def test_no_part_of_a_resources_uri_is_a_failure_of_the_servers(url: str):
    async with opened(url) as (client, _):
        for resource in RESOURCES:
            for text in ("\x00", "a\x00b", "x" * 3_000, "\U0010ffff", "%", "9" * 40, "-1", cursor(2**70, "a")):
                part = quote(text, safe="")
                uri = resource.uri_template.replace("{namespace}/{+key}", f"{part}/{part}").replace("{n}", "9" * 30)
                uri = uri.split("{?")[0] + f"?cursor={part}&after={part}" if "{?" in uri else uri
                uri = uri.split("{")[0] + part if "{" in uri else uri
                try:
                    await client.read_resource(uri)
                except MCPError as error:
                    assert "internal error" not in error.error.message, (uri[:200], error.error.message)
