"""A Worker's KV binding is the desk's own state: through the real workerd, on both engines."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.integrations.workers.capnp import Backend
from mcp_server.integrations.workers.kv_service import Grant, KvService
from mcp_server.integrations.workers.kv_tokens import KvTokens
from mcp_server.integrations.workers.place import Place
from mcp_server.integrations.workers.workerd import serve
from mcp_server.kernel.times import SECOND
from tests.integrations.workers.programs import WORKERD, needs_workerd
from tests.integrations.workers.test_workerd import worker
from tests.web import served
from tests.world import World

pytestmark = pytest.mark.anyio
TOKENS = KvTokens(b"k" * 32)
DO = """export default { async fetch(request, env) {
  const told = [];
  for (const [name, ...given] of await request.json()) {
    const made = given.map(one => one?.bytes ? new Uint8Array(one.bytes) : one);
    try { const value = await env.KV[name](...made);
      const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
      told.push(bytes instanceof Uint8Array || bytes instanceof Map ? [...bytes] : bytes ?? null);
    } catch (error) { told.push(`refused: ${error.message}`); } }
  return Response.json(told);
} }"""


@asynccontextmanager
async def kv(world: World, tmp_path: Path, namespace: str = "shop") -> AsyncGenerator[Any]:
    """Does things with a KV binding inside of a Worker."""
    assert WORKERD is not None
    place, one = Place(tmp_path / "place"), worker(DO, kv=[{"binding": "KV", "namespace": namespace}])
    async with served(KvService(world.desk.state, world.clock, TOKENS)) as url, httpx2.AsyncClient() as client:
        backend = Backend(url.removeprefix("http://"), {"KV": TOKENS.token(Grant(namespace, "site"))})
        address = await serve(WORKERD, one, place, {}, backend)

        async def do(*calls: Any) -> list[Any]:
            return (await client.post(address, json=calls)).json()

        try:
            yield do
        finally:
            await place.stop(grace_seconds=0)


@asynccontextmanager
async def direct(world: World) -> AsyncGenerator[httpx2.AsyncClient]:
    """Speaks to the service as workerd would."""
    async with served(KvService(world.desk.state, world.clock, TOKENS)) as url:
        headers = {"Authorization": f"Bearer {TOKENS.token(Grant('shop', 'site'))}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers) as client:
            yield client


@needs_workerd
async def test_what_a_worker_puts_agents_read_and_what_agents_write_a_worker_gets(world: World, tmp_path: Path):
    await world.write("shop", "prices/tea", {"eur": 3})
    async with kv(world, tmp_path) as do:
        assert await do(
            ["get", "prices/tea", "json"],
            ["put", "a b/é?x=1", '{"n":1}'],
            ["put", "bytes", {"bytes": [0, 255]}],
            ["get", "bytes", "arrayBuffer"],
            ["put", "noted", "text", {"metadata": {"by": "é"}, "expirationTtl": 90}],
            ["getWithMetadata", "noted"],
            ["get", "nothing"],
            ["get", ["prices/tea", "noted", "nothing"]],
            ["getWithMetadata", ["noted"]],
        ) == [
            {"eur": 3},
            None,
            None,
            [0, 255],
            None,
            {"value": "text", "metadata": {"by": "é"}, "cacheStatus": None},
            None,
            [["prices/tea", '{"eur":3}'], ["noted", "text"], ["nothing", None]],
            [["noted", {"value": "text", "metadata": {"by": "é"}}]],
        ]
        document = await world.read("shop", "a b/é?x=1")
        assert (document.value, document.author) == ({"n": 1}, "deployment:site")
        world.clock.advance(91)
        assert await do(["get", "noted"], ["delete", "bytes"], ["delete", "bytes"], ["get", "bytes"]) == [None] * 4
        assert "refused: KV PUT failed: 413" in (await do(["put", "large", "x" * 300_000]))[0]
        assert "refused: KV PUT failed: 400" in (await do(["put", "x", "x", {"expirationTtl": 5}]))[0]


@needs_workerd
async def test_a_worker_lists_what_is_there_page_by_page(world: World, tmp_path: Path):
    for number in range(5):
        await world.write("shop", f"item/{number}", number)
    await world.write("shop", "other", 1)
    await world.write("shops", "item/9", 1)
    async with kv(world, tmp_path) as do:
        await do(["put", "item/3", "3", {"metadata": [1], "expirationTtl": 100}])
        (first,) = await do(["list", {"prefix": "item/", "limit": 3}])
        assert ([key["name"] for key in first["keys"]], first["list_complete"]) == (
            ["item/0", "item/1", "item/2"],
            False,
        )
        (last,) = await do(["list", {"prefix": "item/", "limit": 3, "cursor": first["cursor"]}])
        expiration = (world.clock.now + 100 * SECOND) // SECOND
        assert last["keys"] == [{"name": "item/3", "expiration": expiration, "metadata": [1]}, {"name": "item/4"}]
        assert last["list_complete"] is True
        (everything,) = await do(["list"])
        assert len(everything["keys"]) == 6


async def test_nobody_is_let_in_without_a_token_and_each_token_opens_its_own_namespace(world: World):
    await world.write("shop", "k", 1)
    await world.write("vault", "k", "secret")
    async with direct(world) as client:
        assert (await client.get("/k")).text == "1"
        for header in (
            "",
            "Bearer x",
            "Bearer x.y",
            "Basic abc",
            f"Bearer {KvTokens(b'o' * 32).token(Grant('shop', 'x'))}",
        ):
            refused = await client.get("/k", headers={"Authorization": header})
            assert (refused.status_code, "1" in refused.text.split()) == (401, False)
        forged = TOKENS.token(Grant("shop", "site")).partition(".")
        stolen = TOKENS.token(Grant("vault", "site")).partition(".")[0]
        refused = await client.get("/k", headers={"Authorization": f"Bearer {stolen}.{forged[2]}"})
        assert refused.status_code == 401


WRONG = [
    ("GET", "/%ff", b"", 400),
    ("GET", "/%2E%2E", b"", 400),
    ("GET", "/?key_count_limit=0", b"", 400),
    ("GET", "/?key_count_limit=x", b"", 400),
    ("GET", "/?cursor=%ff", b"", 400),
    ("PUT", "/k?expiration=5", b"x", 400),
    ("PUT", "/" + "k" * 600, b"x", 400),
    ("POST", "/bulk/get", b"[]", 400),
    ("POST", "/bulk/get", b'{"keys":"k"}', 400),
    ("POST", "/bulk/get", b"{", 400),
    ("POST", "/bulk/get", json.dumps({"keys": ["k"] * 101}).encode(), 400),
    ("POST", "/bulk/get", b'{"keys":["text"],"type":"json"}', 400),
    ("POST", "/k", b"", 405),
    ("PATCH", "/k", b"", 405),
]


@pytest.mark.slow
async def test_what_is_no_request_of_a_kv_namespace_is_refused(world: World):
    await world.write("shop", "text", "no json {")
    async with direct(world) as client:
        for method, path, body, status in WRONG:
            assert (await client.request(method, path, content=body)).status_code == status, (method, path)


async def test_metadata_is_json_and_bounded(world: World):
    async with direct(world) as client:
        for header, status in (("{", 400), (json.dumps("x" * 1023), 413), (json.dumps("x" * 1022), 200)):
            assert (await client.put("/k", content=b"x", headers={"CF-KV-Metadata": header})).status_code == status
