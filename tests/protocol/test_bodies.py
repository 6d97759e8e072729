"""What a body over HTTP costs before it is refused."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from mcp_server.kernel.limits import Limits, Most, Thing
from mcp_server.pages import bodies
from mcp_server.protocol.bodies import RpcBody, StrictBody

pytestmark = pytest.mark.anyio
PING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()


class House:
    """The application behind: it notes the bodies that it gets."""

    def __init__(self, most: Most | None = None) -> None:
        self.got: list[bytes] = []
        self.limits = Limits(most)
        self.door = StrictBody(self, self.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.got.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def post(self, *pieces: bytes, ends: bool = True, **headers: str) -> int:
        """The status of the answer; without an end, what is sent last never comes to one."""
        (status,) = await self.answered(*pieces, ends=ends, **headers)
        return status

    async def answered(self, *pieces: bytes, ends: bool = True, goes: bool = False, **headers: str) -> list[int]:
        """The statuses of answers; who goes does so after the last piece."""
        told = {"host": "127.0.0.1:1", "content_type": "application/json"} | headers
        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in told.items()]
        scope: Scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": names}
        left = list(pieces)
        status: list[int] = []

        async def receive() -> Message:
            if left:
                piece = left.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(left) or not ends}
            if goes:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        await self.door(scope, receive, send)
        return status


async def test_a_body_comes_through_as_it_is_however_it_is_cut():
    house = House()
    assert await house.post(PING) == 200
    assert await house.post(PING[:5], PING[5:9], b"", PING[9:]) == 200
    assert house.got == [PING, PING]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/html"}, 400),
        ({"content_type": "application/jsonp"}, 400),
        ({"content_length": "4194305"}, 413),
        ({"content_length": "9" * 30}, 413),
    ],
)
async def test_what_is_refused_by_its_headers_costs_no_byte_of_its_body(headers: dict[str, Any], status: int):
    """Nothing comes: who waited for a byte would wait for ever."""
    house = House()
    async with asyncio.timeout(60):
        assert await house.post(ends=False, **headers) == status
    assert house.got == []


async def test_a_body_that_does_not_come_to_an_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS_MAX", 0.05)
    house = House()
    async with asyncio.timeout(60):
        assert await house.post(PING[:7], ends=False) == 408
    assert house.got == [] and await house.post(PING) == 200


async def test_half_bodies_together_hold_a_bounded_part_of_the_memory():
    house = House(Most(body_bytes=10_000))
    half = [asyncio.create_task(house.post(b" " * 900, ends=False)) for _ in range(11)]
    await asyncio.sleep(0)
    assert await house.post(b" " * 900 + PING) == 429
    assert house.limits.held(Thing.BODY_BYTES) == 9900
    for task in half:
        task.cancel()
    await asyncio.gather(*half, return_exceptions=True)
    assert await house.post(b" " * 900 + PING) == 200
    assert not any(map(house.limits.held, Thing))


async def test_one_request_too_many_on_the_way_is_told_to_come_again():
    house = House(Most(calls=2))
    half = [asyncio.create_task(house.post(PING[:7], ends=False)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await house.post(PING) == 429
    for task in half:
        task.cancel()
    await asyncio.gather(*half, return_exceptions=True)
    assert await house.post(PING) == 200


async def test_a_body_that_is_no_strict_json_is_answered_and_goes_no_further():
    house = House()
    assert await house.post(b'{"jsonrpc":"2.0","id":1,"a":1,"a":2}') == 400
    assert house.got == []


@pytest.mark.parametrize("piece", [PING, PING[:9], b""])
async def test_a_client_that_goes_in_the_midst_of_its_body_is_no_failure_and_nothing_is_done(piece: bytes):
    house = House()
    assert await house.answered(piece, ends=False, goes=True) == []
    assert house.got == []


@pytest.mark.parametrize("body", [b"{}", b'{"jsonrpc":"1.0","id":1,"method":"ping"}', b'{"jsonrpc":"2.0","method":7}'])
async def test_what_is_no_json_rpc_is_refused_before_a_transport_logs_it_as_its_failure(body: bytes):
    house = House()
    house.door = RpcBody(house, house.limits)
    assert (await house.post(PING), await house.post(body)) == (200, 400)
    assert house.got == [PING]
