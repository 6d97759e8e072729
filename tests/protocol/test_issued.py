"""Tokens of issuers over HTTP: who comes in, what the others are told, and how a narrow token becomes a wider one."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_server.app import open_app
from mcp_server.commands.doctor import run_doctor
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.times import SECOND
from mcp_server.protocol.bearers import Refused
from mcp_server.protocol.challenges import ProtectedResource
from mcp_server.protocol.issued import IssuedTokens
from mcp_server.protocol.letting_in import LettingIn
from mcp_server.protocol.stepping_up import needs
from mcp_server.wiring import refusals
from tests.integrations.issuers.stand_in import KEY_SET, answered, issuer, token, web_server
from tests.protocol.test_http import tokens_file
from tests.web import served
from tests.world import World

pytestmark = pytest.mark.anyio
DESK = "https://desk.example.org"
RULES = """
[[issuers.corp.map]]
claim = "groups"
equals = "ops"
role = "operator"
[[issuers.corp.map]]
claim = "groups"
glob = "dev*"
role = "agent"
[[issuers.corp.map]]
claim = "client_id"
glob = "*"
role = "agent"
holder = "agent"
"""


def config(folder: Path, url: str, more: str = "", top: str = "") -> str:
    path = folder / "desk.toml"
    path.write_text(f'public_url = "{DESK}"\n{top}\n[issuers.corp]\nurl = "{url}"\n{more}\n{RULES}')
    return str(path)


@asynccontextmanager
async def desk(folder: Path, more: str = "", top: str = "", key_set: Any = KEY_SET) -> AsyncGenerator[tuple[str, str]]:
    """The address of a desk and that of the issuer that it believes."""

    async def answer(path: str) -> bytes:
        told = {"issuer": url, "jwks_uri": f"{url}/keys"}
        if key_set is None:
            return answered({}, 500)
        return answered(key_set if path == "/keys" else told)

    async with web_server(answer) as url:
        settings = load_settings(
            transport="http", database=f"sqlite:///{folder}/desk.db", config=config(folder, url, more, top)
        )
        async with open_app(settings) as app:
            async with served(http_app(app)) as base:
                yield base, url


def made(url: str, **more: Any) -> str:
    return token(iss=url, aud=f"{DESK}/mcp", **more)


@asynccontextmanager
async def as_(base: str, text: str) -> AsyncGenerator[Client]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {text}"}) as http:
        async with Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client:
            yield client


CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


async def post(base: str, text: str | None, message: dict[str, Any] = CALL) -> httpx2.Response:
    headers: dict[Any, Any] = {name.encode(): value.encode() for name, value in ACCEPT.items()}
    if text is not None:
        headers[b"authorization"] = b"Bearer " + text.encode()
    async with httpx2.AsyncClient() as http:
        return await http.post(f"{base}/mcp", json=message, headers=headers)


async def test_holders_come_in_with_the_role_that_the_operators_rules_give_them(tmp_path: Path):
    write = ("state_set", {"namespace": "n", "key": "k", "value": 1})
    async with desk(tmp_path) as (base, url):
        async with as_(base, made(url, groups=["dev-1"])) as client:
            assert (await client.call_tool(*write)).structured_content["document"]["author"] == "user:corp/ann"
            assert "locks_release" in {tool.name for tool in (await client.list_tools()).tools}
        async with as_(base, made(url, sub="bot", client_id="bot")) as client:
            told = (await client.call_tool("state_get", {"namespace": "n", "key": "k"})).structured_content
            assert told["document"]["author"] == "user:corp/ann"


async def test_who_brings_no_token_is_told_where_there_are_some_and_no_error(tmp_path: Path):
    async with desk(tmp_path, 'scopes = ["tasks:read", "state:read"]') as (base, _):
        answer = await post(base, None)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == (
            f'Bearer scope="tasks:read state:read", resource_metadata="{DESK}/.well-known/oauth-protected-resource/mcp"'
        )


@pytest.mark.slow
async def test_a_token_that_does_not_count_is_invalid_and_says_nothing_of_why(tmp_path: Path):
    async with desk(tmp_path) as (base, url):
        for text in (made(url, exp=1), made("https://other.example.org"), token(iss=url, aud="x"), "x", "a.b.c", "é"):
            answer = await post(base, text)
            assert answer.status_code == 401, text
            told = answer.headers["www-authenticate"]
            assert told.startswith('Bearer error="invalid_token"') and "resource_metadata=" in told
            assert "scope=" not in told and answer.json()["error"] == "invalid_token"


async def test_two_tokens_in_one_request_are_none(tmp_path: Path):
    async with desk(tmp_path) as (base, url), httpx2.AsyncClient() as http:
        right = f"Bearer {made(url, groups=['ops'])}"
        for values, status in (
            ([right], 400),
            ([right, right], 401),
            ([right, "Bearer x"], 401),
            (["Basic eA=="], 401),
        ):
            headers = [*ACCEPT.items(), *(("authorization", value) for value in values)]
            assert (await http.post(f"{base}/mcp", json={}, headers=headers)).status_code == status, values


async def test_a_holder_without_a_role_is_forbidden_and_is_not_asked_for_another_token(tmp_path: Path):
    async with desk(tmp_path) as (base, url):
        answer = await post(base, made(url, groups=["guests"]))
        assert answer.status_code == 403 and "www-authenticate" not in answer.headers
        assert "no rule for the issuer corp" in answer.json()["error_description"]


async def test_an_issuer_that_does_not_answer_is_no_fault_of_the_token(tmp_path: Path):
    keys = f'tokens_file = "{tokens_file(tmp_path, right="user:ann:viewer")}"'
    async with desk(tmp_path, top=keys, key_set=None) as (base, url):
        answer = await post(base, made(url, groups=["ops"]))
        assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
        assert "corp cannot be checked now" in answer.json()["error_description"]
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{base}/health")).json() == {"ok": True}
            keyed = {"authorization": "Bearer right"}
            assert (await http.get(f"{base}/health", headers=keyed)).json()["issuers"] == ["corp"]


async def test_the_metadata_lead_to_the_issuer_from_any_web_page(tmp_path: Path):
    async with desk(tmp_path, 'scopes = "tasks:read"') as (base, url), httpx2.AsyncClient() as http:
        for path, resource in (("", DESK), ("/mcp", f"{DESK}/mcp")):
            where = f"{base}/.well-known/oauth-protected-resource{path}"
            answer = await http.get(where, headers={"origin": "https://inspector.example.org"})
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.json() == {
                "resource": resource,
                "authorization_servers": [url],
                "scopes_supported": ["tasks:read"],
                "bearer_methods_supported": ["header"],
                "resource_name": "DataMCPServerAgent",
            }
            asked = {"origin": "https://inspector.example.org", "access-control-request-method": "GET"}
            asked |= {"access-control-request-headers": "mcp-protocol-version"}
            assert (await http.options(where, headers=asked)).status_code == 200
        preflight = await http.options(f"{base}/mcp", headers={"origin": DESK, "access-control-request-method": "POST"})
        assert "access-control-allow-origin" not in preflight.headers


async def test_a_server_behind_a_path_has_its_metadata_there_too(tmp_path: Path):
    resource = ProtectedResource("https://example.org/desk", "/sse", ("https://login.example.org",))
    assert resource.metadata_url == "https://example.org/.well-known/oauth-protected-resource/desk/sse"
    assert {route.path for route in resource.routes()} == {  # type: ignore[attr-defined]
        "/.well-known/oauth-protected-resource" + end for end in ("", "/sse", "/desk", "/desk/sse")
    }


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return CALL | {"params": {"name": tool, "arguments": arguments}}


async def test_a_call_beyond_the_tokens_scopes_is_told_which_it_takes_all_at_once(tmp_path: Path):
    async with desk(tmp_path, 'scope_prefix = "desk:"') as (base, url):
        narrow = made(url, groups=["ops"], scope="desk:tasks:read")
        calls = [{"tool": "state_set", "arguments": {}}, {"tool": "tasks_create", "arguments": {}}]
        answer = await post(base, narrow, call("commit", calls=calls))
        assert answer.status_code == 403
        needed = "desk:commit:write desk:state:write desk:tasks:create"
        assert answer.headers["www-authenticate"] == (
            f'Bearer error="insufficient_scope", error_description="This takes a token with {needed}.", '
            f'scope="{needed}", resource_metadata="{DESK}/.well-known/oauth-protected-resource/mcp"'
        )
        assert answer.json()["scope"] == needed
        read = CALL | {"method": "resources/read", "params": {"uri": "ops://state/n/k"}}
        assert (await post(base, narrow, read)).headers["www-authenticate"].count('scope="desk:state:read"') == 1


async def test_tools_that_a_wider_token_would_allow_are_listed_for_a_person_and_not_for_a_program(tmp_path: Path):
    async with desk(tmp_path) as (base, url):
        async with as_(base, made(url, groups=["ops"], scope="tasks:read")) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"tasks_find", "tasks_create", "deployments_control"} <= names
        program = made(url, sub="bot", client_id="bot", scope="tasks:read")
        async with as_(base, program) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert "tasks_find" in names and "tasks_create" not in names
            error = (await client.call_tool("tasks_create", {"tasks": [{"title": "t"}]})).structured_content["error"]
            assert error["code"] == "permission_denied"


async def test_what_this_server_allows_nobody_is_not_worth_another_token(tmp_path: Path):
    async with desk(tmp_path, top='role = "viewer"') as (base, url):
        narrow = made(url, groups=["ops"], scope="tasks:read")
        assert (await post(base, narrow, call("tasks_create"))).status_code != 403
        async with as_(base, narrow) as client:
            assert "tasks_create" not in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (call("tasks_create"), {Permission.TASKS_CREATE}),
        ({"method": "tasks/cancel", "params": {}}, {Permission.TASKS_CREATE}),
        ({"method": "tools/list"}, set()),
        ({"method": ["x"]}, set()),
        ({"method": "tools/call", "params": []}, set()),
        ({"method": "tools/call", "params": {"name": {}, "arguments": {"calls": [5, {"tool": []}]}}}, set()),
        ({"method": "resources/read", "params": {"uri": 5}}, set()),
        ([], set()),
    ],
)
def test_what_a_message_needs_is_read_from_its_words(message: Any, needed: set[Permission]):
    assert needs(json.dumps(message).encode()) == needed
    assert needs(b"[" * 100_000) == needs(b"\xff") == frozenset()


async def test_who_may_not_come_in_any_more_is_refused_although_the_token_is_remembered():
    from mcp_server.integrations.issuers.issuers import Issuers

    class Known(Issuers):
        async def verify(self, token: str) -> Any:
            from mcp_server.integrations.issuers.model import Verified

            return Verified(Actor(kind="user", id="corp/ann", permissions=frozenset()), 2**40, "")

        def known(self, token: str) -> Any:
            from mcp_server.integrations.issuers.model import Verified

            return Verified(Actor(kind="user", id="corp/ann", permissions=frozenset()), 2**40, "")

    disabled: set[str] = set()

    class Asked:
        def is_known_enabled(self, actor: Actor) -> bool:
            return False

        async def is_disabled(self, actor: Actor) -> bool:
            return actor.label in disabled

    tokens = IssuedTokens(Known([issuer()]), frozenset(), Asked())
    assert not isinstance(await tokens.verify("t"), Refused)
    disabled.add("user:corp/ann")
    assert await tokens.verify("t") == Refused("disabled") and tokens.known("t") is None


async def test_what_is_open_for_a_token_ends_with_it_and_a_call_under_way_does_not(world: World):
    ended = asyncio.Event()
    ann = Actor(kind="user", id="corp/ann", permissions=frozenset(), until=world.clock() + SECOND)
    async with LettingIn(world.desk).lasting(ann, ended.set):
        await asyncio.sleep(0)
        assert not ended.is_set()
    world.clock.advance(2)
    await world.desk.get(Standing).require(replace(world.call, actor=ann))
    async with LettingIn(world.desk).lasting(ann, ended.set):
        await asyncio.wait_for(ended.wait(), 60)


BAD: list[tuple[str, str]] = [
    ('url = "http://login.example.org"', "url must begin with https://"),
    ('url = "https://login.example.org?x"', "url must begin with https://"),
    ('url = "https://a.example.org"\njwks_url = "http://127.0.0.1/keys"', "jwks_url must begin with https://"),
    ('url = "https://a.example.org"\nscopes = ["a b"]', "a scope holds no blanks"),
    ('url = "https://a.example.org"\nalgorithms = ["HS256"]', "algorithms"),
    ('url = "https://a.example.org"\n[[issuers.x.map]]\nclaim = "a"\nrole = "viewer"', "one of equals and glob"),
    ('url = "https://a.example.org"\nleeway_seconds = 3600', "leeway_seconds"),
    ("", "url"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says for _, says in BAD])
def test_an_issuer_that_makes_no_sense_is_refused_before_anything_is_served(tmp_path: Path, text: str, says: str):
    (tmp_path / "c.toml").write_text(f'public_url = "{DESK}"\n[issuers.x]\n{text}\n')
    try:
        found = refusals(load_settings(transport="http", config=str(tmp_path / "c.toml")))
    except Exception as error:
        assert says in str(error)
    else:
        assert len(found) == 1 and says in found[0].message


RULE = '[[issuers.%s.map]]\nclaim = "sub"\nglob = "*"\nrole = "viewer"\n'


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ('url = "https://a"', 'url = "https://a"', "the same url"),
        ('url = "https://a"\nplain_names = true', 'url = "https://b"\nplain_names = true', "plain_names"),
    ],
)
def test_issuers_that_could_be_taken_for_each_other_are_refused(tmp_path: Path, first: str, second: str, says: str):
    text = f'public_url = "{DESK}"\n[issuers.a]\n{first}\n{RULE % "a"}[issuers.b]\n{second}\n{RULE % "b"}'
    (tmp_path / "c.toml").write_text(text)
    (found,) = refusals(load_settings(transport="http", config=str(tmp_path / "c.toml")))
    assert says in found.message


def test_a_server_that_is_reached_from_elsewhere_must_know_as_what(tmp_path: Path):
    (tmp_path / "c.toml").write_text(f'[issuers.a]\nurl = "https://a"\n{RULE % "a"}')
    (found,) = refusals(load_settings(transport="http", host="0.0.0.0", config=str(tmp_path / "c.toml")))
    assert "Set DATAMCP_PUBLIC_URL" in found.message
    assert refusals(load_settings(transport="http", host="127.0.0.1", config=str(tmp_path / "c.toml"))) == []


@pytest.mark.parametrize("ok", [True, False])
async def test_doctor_asks_each_issuer(tmp_path: Path, ok: bool, capsys: pytest.CaptureFixture[str]):
    async def answer(path: str) -> bytes:
        return answered(KEY_SET) if ok else answered({}, 500)

    async with web_server(answer) as url:
        more = f'jwks_url = "{url}/keys"'
        flags = {
            "transport": "http",
            "database": f"sqlite:///{tmp_path}/desk.db",
            "config": config(tmp_path, url, more),
        }
        await asyncio.to_thread(run_doctor, flags, as_json=True)
    told = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}["issuer_corp"]
    assert told["ok"] is ok
    assert (f"tokens must be for {DESK}/mcp or" if ok else f"{url}/keys answers with status 500") in told["detail"]


@pytest.mark.slow
async def test_neither_jwt_nor_cryptography_is_loaded_where_no_issuer_is_set(sqlite_url: str):
    code = (
        "import sys\n"
        "import mcp_server.app, mcp_server.issuing, mcp_server.wiring\n"
        "from mcp_server.config import load_settings\n"
        "from mcp_server.issuing import issued_tokens, protected_resource\n"
        "settings = load_settings(transport='http')\n"
        "assert issued_tokens(None, settings) == () and protected_resource(settings) is None\n"
        "loaded = [name for name in sys.modules if name.startswith(('mcp_server.integrations.issuers', 'jwt.'))]\n"
        "assert not loaded, loaded\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
