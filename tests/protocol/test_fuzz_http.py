"""Bytes of every kind at every path, with every caller's key and none: each is answered within a bound, never by a
failure of the server's, and tells nothing of this machine or of what is another's."""

import asyncio
import base64
import contextlib
import json
import random
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcp_server.commands.serve import http_app
from mcp_server.protocol import kept_out
from resources import RESOURCES
from tests.protocol.canaries import CALLERS, House, haunted
from tests.protocol.guessing import HOSTILE, seeds
from tests.web import served
from tests.world import on_file
from tools import TOOLS

pytestmark = [  # of streams whose clients went away, the SDK leaves closing to the collector
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <function MemoryObject:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def nobody_is_made_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else most of the time would go into answers to wrong keys, which come late."""
    monkeypatch.setattr(kept_out, "FIRST_SECONDS", 0.0)


BOUND_SECONDS = 60.0
QUIET_SECONDS = 0.2
"""After this without a byte, a stream or an answer to half a request is left."""
METHODS = [
    *("initialize", "ping", "server/discover", "subscriptions/listen", "logging/setLevel", "completion/complete"),
    *("tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read", "prompts/list"),
    *("prompts/get", "resources/subscribe", "resources/unsubscribe", "skills/list", "skills/get", "tasks/get"),
    *("tasks/list", "tasks/result", "tasks/cancel", "tasks/update", "notifications/initialized", "roots/list"),
    *("notifications/cancelled", "notifications/progress", "notifications/roots/list_changed", "notifications/tasks"),
    *("sampling/createMessage", "elicitation/create", "", "\x00", "__init__", "tools/call\r\nx: y", "x" * 3_000),
]
PATHS = [
    *("/mcp", "/mcp", "/mcp", "/mcp", "/sse", "/messages/", "/messages/?session_id=", "/health", "/metrics", "/"),
    *("/messages/?session_id=00000000000000000000000000000000", "/approvals/", "/approvals/x", "/approvals/%00"),
    *("/approvals/" + "a" * 3_000, "/approvals/a.b.c", "/webhooks/sendgrid", "/.well-known/oauth-protected-resource"),
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/mcp/", "/mcp?x=%ff%00", "/mcp#", "*", "/\xff", "/%"),
    *("http://127.0.0.1/mcp", "http://evil.example/mcp", "/static/../../x", "/" + "x" * 20_000),
]
VERSIONS = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2099-01-01", "", "\xff", "x" * 5_000]
ACCEPT = "application/json, text/event-stream"
SEND = ("POST", "POST", "POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "post", "X Y")
ODD_HEADERS = [
    *("x-a: " + "b" * 30_000, "cookie: " + "a=b; " * 500, "x: \xff\xfe", "x\x00y: z", ": empty", "no colon", "a : b"),
    *("expect: 100-continue", "upgrade: websocket\r\nconnection: upgrade", "connection: close", "te: trailers"),
    *("content-length: 5", "content-length: -1", "content-length: 99999999999999999999", "content-encoding: gzip"),
    *("transfer-encoding: gzip", "origin: http://evil.example", "origin: null", "host: evil.example", "host:"),
    *("x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https", "forwarded: for=1", "range: bytes=0-5"),
    *("last-event-id: 5", "last-event-id: ' OR 1=1", "mcp-session-id: \xff", "mcp-name: \xff", "mcp-method: ping"),
    *("traceparent: 00-" + "f" * 32 + "-" + "0" * 16 + "-01", "content-type: text/html", "accept: */*"),
    *("if-none-match: *", "\x00", "\r\n", "proxy-authorization: Basic x", "x-twilio-email-event-webhook-timestamp: 1"),
]
GARBAGE = [
    *(b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}" * 3, b"\x00" * 100, b"NaN"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', b"9" * 5_000),
    *(b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}'),
    *(b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', b'{"jsonrpc":"2.0","id":1,"method":"\\udfff"}'),
    *(b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b'{"jsonrpc":"2.0","id":1,"result":{}}', b"a=b&approve=yes"),
    *(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}', b'{"jsonrpc":"2.0","id":null,"method":"ping"}'),
]
IDS = [1, 0, -1, 2**53, 2**70, "a", "", "x" * 5_000, None, 1.5, True, [], {}, "\x00"]


@dataclass
class Shop:
    """A house with canaries on a port, and the session of an admin there."""

    portal: BlockingPortal
    house: House
    port: int
    session: str = ""
    path: str = "/mcp"
    stream: Any = None

    def send(self, who: str | None, raw: bytes) -> bytes:
        """What comes back of some bytes."""
        answer: bytes = self.portal.call(exchanged, self.port, raw)
        self.look(who, answer)
        return answer

    def look(self, who: str | None, answer: bytes) -> None:
        """No failure stands in an answer, and nothing that is none of the caller's business."""
        text = answer.decode("utf-8", "replace")
        for status in re.findall(r"^HTTP/1\.1 (\d+)", text, re.MULTILINE):
            assert int(status) < 500, text[:3000]
        assert "internal error" not in text.lower() and "Internal Server Error" not in text, text[:3000]
        assert '"code":"unavailable"' not in text.replace(" ", ""), text[:3000]
        self.house.nest.require_none(text, who)

    def start_session(self) -> None:
        """As the admin, of the 2025 era; where there is a stream for the answers, it stays open."""
        self.stream = self.portal.call(asyncio.open_connection, "127.0.0.1", self.port)
        self.stream[1].write(request("GET", "/sse", usual(self, "root", ""), b""))
        first = self.told()
        found = re.search(rb"data: (/messages/\S+)", first)
        if found is not None:
            self.path = found.group(1).decode()
            self.hello("2024-11-05")
            return
        self.session = self.hello("2025-11-25")

    def told(self) -> bytes:
        """What came over the stream since."""

        async def read() -> bytes:
            answer = b""
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(QUIET_SECONDS if answer else 5 * QUIET_SECONDS):
                        piece = await self.stream[0].read(1_000_000)
                    answer += piece
                    if not piece:
                        break
            return answer

        told: bytes = self.portal.call(read)
        self.look("root", told)
        return told

    def hello(self, version: str) -> str:
        """Say it; the session that is opened, where an answer names one."""
        hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode()
        answer = self.send("root", request("POST", self.path, [*usual(self, "root", ""), *length(body)], body))
        found = re.search(rb"mcp-session-id: (\w+)", answer)
        return "" if found is None else found.group(1).decode()


async def exchanged(port: int, raw: bytes) -> bytes:
    """Send bytes, and read until the answer ends, the connection does or nothing more comes."""
    async with asyncio.timeout(BOUND_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        try:
            writer.write(raw)
            await writer.drain()
            while not is_whole(answer):
                async with asyncio.timeout(QUIET_SECONDS if answer or not is_framed(raw) else None):
                    piece = await reader.read(65_536)
                answer += piece
                if not piece:
                    break
        except (TimeoutError, ConnectionError):
            assert answer or not is_framed(raw) or raw.startswith(b"GET /sse"), f"no answer: {raw[:2000]!r}"
        finally:
            writer.transport.abort()
    return answer


def is_framed(raw: bytes) -> bool:
    """Whether the bytes are one request that has plainly come to its end, so that an answer is due."""
    head, ends, body = raw.partition(b"\r\n\r\n")
    lengths = re.findall(rb"(?im)^(?:content-length|transfer-encoding): *(.*?)\r?$", head)
    return bool(ends) and b"expect" not in head and lengths == [str(len(body)).encode()]


def is_whole(answer: bytes) -> bool:
    """Whether an answer of a told length is there."""
    head, ends, body = answer.partition(b"\r\n\r\n")
    told = re.search(rb"(?im)^content-length: (\d+)", head)
    return bool(ends) and (b" 204 " in head[:15] or (told is not None and len(body) >= int(told.group(1))))


def usual(shop: Shop, who: str | None, version: str) -> list[str]:
    """The headers of a client that is well."""
    headers = [f"host: 127.0.0.1:{shop.port}", f"accept: {ACCEPT}", "content-type: application/json"]
    headers += [f"mcp-protocol-version: {version}"] if version else []
    return headers if who is None else [*headers, f"authorization: Bearer {shop.house.keys[who]}"]


def length(body: bytes) -> list[str]:
    """The header of a body's length."""
    return [f"content-length: {len(body)}"]


def request(method: str, path: str, headers: list[str], body: bytes) -> bytes:
    """A request, letter by letter."""
    lines = [f"{method} {path} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


class Maker:
    """Makes requests up."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._shop = shop
        self._chance = chance

    def some(self) -> tuple[str | None, bytes]:
        """One, and whose key it has: of a client that is well but for what it asks, or of none."""
        return self._well() if self._chance.random() < 0.5 else self._odd()

    def _well(self) -> tuple[str | None, bytes]:
        who, version = self._chance.choice(list(CALLERS)), VERSIONS[0]
        if self._shop.session and self._chance.random() < 0.5:
            who, version = "root", VERSIONS[1]
        body, more = self._body(version)
        headers = [*usual(self._shop, who, version), *more, *length(body)]
        headers += [f"mcp-session-id: {self._shop.session}"] if version == VERSIONS[1] else []
        return who, request("POST", self._shop.path, headers, body)

    def _odd(self) -> tuple[str | None, bytes]:
        who = self._chance.choice([*CALLERS, None])
        version = self._chance.choice(VERSIONS if self._chance.random() < 0.3 else VERSIONS[:2])
        method, path = self._chance.choice(SEND), self._chance.choice(PATHS)
        body, more = self._body(version)
        headers = usual(self._shop, who, version) + more
        if self._shop.session and self._chance.random() < 0.3:
            headers.append(f"mcp-session-id: {self._shop.session}")
        headers += self._chance.choices(ODD_HEADERS, k=self._chance.choice((0, 0, 0, 1, 3)))
        headers += self._chance.choice(([], [], [], headers, ["authorization: Bearer x"], ["authorization: \xff"]))
        framing, body = self._framed(body)
        raw = request(method, path, [*headers, *framing], body)
        if self._chance.random() < 0.05:
            raw = raw[: self._chance.randrange(len(raw))]
        return who, raw

    def _body(self, version: str) -> tuple[bytes, list[str]]:
        if self._chance.random() < 0.2:
            return self._chance.choice(GARBAGE), []
        method, params = self._chance.choice(METHODS), self._params(version)
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self._chance.choice(IDS), "method": method, "params": params}
        if self._chance.random() < 0.1:
            message[self._chance.choice(list(message))] = self._chance.choice(HOSTILE)
        if method.startswith("notifications/") or self._chance.random() < 0.05:
            del message["id"]
        body = json.dumps(message).encode()
        named = (
            [f"mcp-method: {method}"] if version == VERSIONS[0] and method.isascii() and method.isprintable() else []
        )
        name = params.get("name", params.get("uri")) if isinstance(params, dict) else None
        is_plain = isinstance(name, str) and name.isascii() and name.isprintable()
        return body, [*named, *([f"mcp-name: {name}"] if named and is_plain else [])]

    def _params(self, version: str) -> Any:
        if self._chance.random() < 0.1:
            return self._chance.choice(HOSTILE)
        known = self._shop.house.known
        uris = [one.uri_template.split("{?")[0].replace("{", "").replace("}", "") for one in RESOURCES]
        some: dict[str, list[Any]] = {
            "name": [tool.name for tool in TOOLS],
            "arguments": [{}, {"limit": 1}, {"wait_seconds": 0}, {"email_id": known[2]}],
            "uri": [*uris, "ops://state/vault/open", *(f"ops://emails/{one}" for one in known)],
            "cursor": ["x", "WzFd"],
            "taskId": known,
            "ref": [
                {"type": "ref/resource", "uri": "ops://tasks/{task_id}"},
                {"type": "ref/prompt", "name": "incident"},
            ],
            "argument": [{"name": "key", "value": ""}, {"name": "email_id", "value": ""}],
            "context": [{"arguments": {"namespace": "vault"}}],
            "notifications": [{"resourceSubscriptions": uris}, {"taskIds": known}],
            "requestId": IDS,
            "level": ["debug", "x"],
            "protocolVersion": VERSIONS,
            "capabilities": [{}],
            "clientInfo": [{"name": "t", "version": "1"}, {}],
        }
        params = {name: self._chance.choice(values) for name, values in some.items() if self._chance.random() < 0.6}
        if isinstance(params.get("arguments"), dict):
            params["arguments"] |= {"wait_seconds": 0} if params.get("name") in WAITING else {}
        for name in params:
            if self._chance.random() < 0.05:
                params[name] = self._chance.choice(HOSTILE)
        meta = {"protocolVersion": version, "clientInfo": {"name": "t", "version": "1"}, "clientCapabilities": {}}
        spelled = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}
        return params | {"_meta": self._chance.choice((spelled, spelled, spelled, {"traceparent": "x"}, None))}

    def _framed(self, body: bytes) -> tuple[list[str], bytes]:
        how = self._chance.random()
        if how < 0.85:
            return length(body), body
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (body[:5], body[5:]) if one) + b"0\r\n\r\n"
        garbage = self._chance.choice((b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\nx", b"5\r\nab", b"0\r\nx\r\n"))
        return self._chance.choice(
            (
                (["transfer-encoding: chunked"], chunks),
                (["transfer-encoding: chunked"], garbage),
                (["transfer-encoding: chunked", *length(body)], chunks),
                ([f"content-length: {len(body) + 9}"], body),
                ([], body),
            )
        )


WAITING = frozenset(tool.name for tool in TOOLS if "wait_seconds" in tool.arguments.model_fields)


@contextmanager
def shop(url: str, folder: Path, transport: Literal["http", "sse"]) -> Generator[Shop]:
    """A house on a port."""
    if url.startswith("sqlite:///"):
        on_file(Path(url.removeprefix("sqlite:///")))
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    more = {"sendgrid_webhook_key": base64.b64encode(der).decode()}
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(haunted(url, folder, transport=transport, **more)) as house,
    ):
        asgi = http_app(house.app)
        with portal.wrap_async_context_manager(served(asgi)) as base:
            opened = Shop(portal, house, int(base.rpartition(":")[2]))
            opened.start_session()
            yield opened
            portal.call(opened.stream[1].transport.abort)
        house.look_at_the_log()


def sent(one: Shop, number: int, count: int) -> None:
    """Some requests, made of a number; the server is well afterwards."""
    maker = Maker(one, random.Random(number))
    for _ in range(count):
        who, raw = maker.some()
        try:
            one.send(who, raw)
            one.house.look_at_the_log()
        except BaseException:
            print(f"seed {number}: {raw[:3000]!r}")
            raise
    one.told()
    assert b" 200 " in one.send(None, request("GET", "/health", [f"host: 127.0.0.1:{one.port}"], b""))[:15]


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_whatever_bytes_come_nothing_fails_hangs_or_leaks(url: str, tmp_path: Path, transport: Any):
    with shop(url, tmp_path, transport) as one:
        sent(one, 18, 40)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_whatever_bytes_come_for_a_minute_nothing_fails_hangs_or_leaks(url: str, tmp_path: Path, transport: Any):
    with shop(url, tmp_path, transport) as one:
        for number in seeds(10):
            sent(one, number, 200)


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_session_of_another_is_none(sqlite_url: str, tmp_path: Path, transport: Any):
    with shop(sqlite_url, tmp_path, transport) as one:
        listing = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}).encode()
        fine = b"200" if transport == "http" else b"202"
        for who, status in (("root", fine), ("scribe", b"404"), ("val", b"404"), (None, b"401")):
            headers = usual(one, who, "2025-11-25") + ([f"mcp-session-id: {one.session}"] if one.session else [])
            answer = one.send(who, request("POST", one.path, [*headers, *length(listing)], listing))
            assert answer[9:12] == status, (who, answer[:500])
            for method in ("GET", "DELETE") if one.session and who != "root" else ():
                answer = one.send(who, request(method, "/mcp", headers, b""))
                assert answer[9:12] == status, (who, answer[:500])
