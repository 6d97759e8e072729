"""Whatever stands in whichever argument of whichever tool, on whichever engine: it is refused or done, and is never
a failure of the server's. The arguments are made from the tools' own schemas, so that a new tool is in by itself."""

import base64
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
from tools import TOOLS
from tools.spec import Shared

pytestmark = pytest.mark.anyio


def cursor(*parts: Any) -> str:
    """Parts as a cursor that some list could have given out."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


NUMBERS = [2**63, -(2**63) - 1, 2**64, 10**30, -1, 0, 1e308, -1e308, 1.5, True, False]
TEXTS = [
    *("", " ", "\x00", "a\x00b", "x" * 70_000, "\u00e9" * 5_000, "\U0010ffff", "\u202e", "\ufffd"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "10000-01-01T00:00:00Z"),
    *("0 0 29 2 *", "60 * * * *", "* * * * *", "%", "_", "\\", "'", '"', ";--", "../..", "/", "**", "[", "[a-", "~"),
    *("agent:", "user:", "capability:", "#0", "#99999999999999999999", "=?utf-8?q?=0d=0a?=", "{}", "[]", "[" * 50),
    *(
        cursor(2**70),
        cursor(2**70, "a"),
        cursor("a", "b"),
        cursor(1.5, "x"),
        cursor(None, None),
        cursor("\x00", "\x00"),
    ),
    *(cursor(2**70, 2**70), cursor("9" * 30), cursor(1, 2), "WzFlOTk5XQ", "not a cursor"),
]
SHAPES: list[Any] = [None, [], {}, [None], [{}], [[]], {"a": None}, {"a": {"b": [1] * 100}}]
HOSTILE = [*NUMBERS, *TEXTS, *SHAPES]


class Guesser:
    """Makes arguments: what a schema asks for, or anything but."""

    def __init__(self, seed: int, known: list[Any]) -> None:
        self._chance = random.Random(seed)
        self._known = known

    def arguments(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Arguments of one call, which does not wait."""
        required = schema.get("required", [])
        given = {name: self._value(one) for name, one in schema["properties"].items() if self._wanted(name, required)}
        return given | ({"wait_seconds": 0} if "wait_seconds" in schema["properties"] else {})

    def _wanted(self, name: str, required: list[str]) -> bool:
        return name in required or self._chance.random() < 0.4

    def _value(self, schema: dict[str, Any], depth: int = 0) -> Any:
        if depth > 4 or self._chance.random() < 0.35:
            return self._chance.choice(HOSTILE)
        if "anyOf" in schema:
            return self._value(self._chance.choice(schema["anyOf"]), depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        kind = schema.get("type")
        if kind == "object" and "properties" in schema:
            members = schema["properties"].items()
            required = schema.get("required", [])
            return {name: self._value(one, depth + 1) for name, one in members if self._wanted(name, required)}
        if kind == "array":
            return [self._value(schema.get("items", {}), depth + 1) for _ in range(self._chance.choice((0, 1, 2)))]
        plain = {"integer": [0, 1, 5, 2**31, 2**53], "number": [0, 0.001, 1, 1e9], "boolean": [True, False]}
        return self._chance.choice(plain.get(str(kind), self._known))


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[tuple[Client, list[Any]]]:
    """A client of a desk that holds a little, and what it holds by name."""
    async with open_app(load_settings(database=url)) as app, Client(app.server) as client:
        agent = await client.call_tool("agents_register", {"name": "a", "instance": {"label": "l"}})
        made = await client.call_tool("tasks_create", {"tasks": [{"title": "t"}, {"title": "u"}]})
        await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": {"a": [1, 2]}})
        tasks = [task["id"] for task in (made.structured_content or {})["tasks"]]
        yield client, [(agent.structured_content or {})["agent"]["id"], "a", *tasks, "n", "k", "t"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))])
async def test_no_value_of_any_argument_of_any_tool_is_a_failure_of_the_servers(url: str, seed: int):
    rounds = 5 if seed == 0 else 150
    async with opened(url) as (client, known):
        guesser = Guesser(seed, known)
        for tool in (tool for _ in range(rounds) for tool in TOOLS):
            arguments = guesser.arguments(input_schema(tool.arguments, Shared if tool.writes else None))
            result = await client.call_tool(tool.name, arguments)
            error = (result.structured_content or {}).get("error", {})
            told = (tool.name, json.dumps(arguments)[:1000], error)
            assert "internal error" not in error.get("message", ""), told
            assert tool.asks_person or error.get("code") not in ("unavailable", "busy"), told


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
