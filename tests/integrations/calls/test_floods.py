"""Peers that send too much, or what nobody reads: refused, and let go where they go on."""

import asyncio
import json

import pytest

from mcp_server.domain.calls import orders
from mcp_server.domain.calls.media import MESSAGE_BYTES_MAX
from mcp_server.domain.calls.orders import Messaged
from tests.integrations.calls.peers import joined
from tests.integrations.calls.test_media import opened

pytestmark = pytest.mark.anyio


async def test_a_flood_of_messages_is_answered_with_errors_and_then_the_peer_is_let_go():
    async with opened() as heard, joined(heard) as person:
        for number in range(700):
            person.say(type="text", text=f"{number}")
            if number % 50 == 0:
                await asyncio.sleep(0)
        gone = await heard.until(orders.Gone)
        assert gone.reason == "it sent too much that is not taken"
        texts = [one.message["text"] for one in heard.told if isinstance(one, Messaged)]
        assert texts[:50] == [str(number) for number in range(50)], "the first are taken, in order"
        assert len(texts) < 300
        assert "too fast" in json.dumps([person.messages.get_nowait() for _ in range(person.messages.qsize())])


async def test_what_comes_in_other_channels_is_not_read_and_who_goes_on_with_it_is_let_go():
    async with opened() as heard, joined(heard) as person:
        other, is_open = person.connection.createDataChannel("other"), asyncio.Event()
        other.on("open", is_open.set)
        await is_open.wait()
        other.send("hello")
        assert await person.messages.get() == {"type": "error", "text": 'Only the channel "desk" is read.'}
        for number in range(600):
            other.send(bytes(100))
            if number % 50 == 0:
                await asyncio.sleep(0)
        assert (await heard.until(orders.Gone)).reason == "it sent too much that is not taken"
        assert not any(isinstance(one, Messaged) for one in heard.told)


async def test_who_opens_many_channels_is_let_go():
    async with opened() as heard, joined(heard) as person:
        for number in range(20):
            person.connection.createDataChannel(f"channel {number}")
        assert (await heard.until(orders.Gone)).reason == "it opened too many channels"


@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX + 1, 200_000])
async def test_a_message_that_is_too_large_is_refused_and_the_peer_stays(size: int):
    async with opened() as heard, joined(heard) as person:
        assert person.connection.sctp is not None
        person.connection.sctp._remote_max_message_size = 0  # it does as it likes
        person.channel.send("x" * size)
        assert f"has {size} bytes" in (await person.messages.get())["text"]
        person.say(type="text", text="still here")
        assert (await heard.until(Messaged)).message["text"] == "still here"
