"""Host and Origin, on every path that a server has, and on those that it has not."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from mcp_server.app import open_app
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from tests.protocol.test_http import tokens_file
from tests.world import on_file

pytestmark = pytest.mark.anyio
PATHS = [
    "/mcp",
    "/health",
    "/metrics",
    "/approvals/x",
    "/calls/x",
    "/calls/x/join",
    "/calls/static/call.js",
    "/webhooks/sendgrid",
    "/",
    "/none/at/all",
]


@asynccontextmanager
async def server(tmp_path: Path, **flags: object) -> AsyncGenerator[httpx2.AsyncClient]:
    settings = load_settings(database=on_file(tmp_path / "desk.db"), transport="http", **flags)
    async with open_app(settings) as app:
        transport = httpx2.ASGITransport(app=http_app(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as client:
            yield client


@pytest.mark.parametrize("with_keys", [False, True])
async def test_a_request_for_another_host_or_from_another_page_is_refused_on_every_path(
    tmp_path: Path, with_keys: bool
):
    keys = {"tokens_file": str(tokens_file(tmp_path, t="user:a:admin"))} if with_keys else {}
    async with server(tmp_path, **keys) as client:
        for path in PATHS:
            for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
                told = [
                    (await client.request(method, path, headers=headers)).status_code
                    for headers in (
                        [("host", "evil.example")],
                        [("host", "127.0.0.1:8765"), ("host", "127.0.0.1:8765")],
                        [("host", "")],
                        [("host", "localhost"), ("origin", "http://evil.example")],
                        [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")],
                    )
                ]
                assert told == [421, 400, 421, 403, 403], (method, path)
        assert (await client.get("/health", headers={"host": "LOCALHOST", "origin": "http://[::1]"})).status_code == 200
        assert (await client.get("/none/at/all")).status_code == 404
        known = "/.well-known/x"
        assert (await client.get(known, headers={"host": "evil.example"})).status_code == 421
        assert (await client.get(known, headers={"origin": "http://evil.example"})).status_code == 404  # it may be read


async def test_where_links_lead_and_what_the_operator_names_is_this_server(tmp_path: Path):
    named = {"public_url": "https://desk.example.org:8443/x", "allowed_hosts": ["other.example.org"]}
    async with server(tmp_path, **named) as client:
        told = {
            host: (await client.get("/health", headers={"host": host})).status_code
            for host in ("desk.example.org", "desk.example.org:8443", "other.example.org", "third.example.org")
        }
        assert list(told.values()) == [200, 200, 200, 421]


async def test_the_page_that_tells_nobody_where_it_was_read_can_be_answered_and_nothing_else(tmp_path: Path):
    async with server(tmp_path) as client:
        assert (await client.post("/approvals/x", headers={"origin": "null"})).status_code == 404  # a dead link
        assert (await client.post("/calls/x/join", headers={"origin": "null"})).status_code == 403
        assert (await client.post("/mcp", headers={"origin": "null"})).status_code == 403
