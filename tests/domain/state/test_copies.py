"""`state_set(copy_of=...)`: a document under another name, in one call."""

from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.domain.state.commands import DocumentHistory, SetDocument
from mcp_server.kernel.errors import Conflict, NotFound
from mcp_server.upkeep.replay import replay
from tests.world import World

pytestmark = pytest.mark.anyio


def copy_to(key: str, copy_of: str = "shop/prices", **more: Any) -> SetDocument:
    return SetDocument.model_validate({"namespace": "shop", "key": key, "copy_of": copy_of} | more)


@pytest.mark.parametrize("value", [{"bolt": 2}, None, {f"k{number}": number for number in range(9000)}])
async def test_a_copy_holds_what_the_other_holds_and_its_history_says_of_what(world: World, value: Any):
    await world.write("shop", "prices", {"bolt": 1})
    await world.write("shop", "prices", value)
    done = await world.desk.state.set(world.call, copy_to("prices-2027", expected_version=0))
    assert done.document.version == 1 and (await world.read("shop", "prices-2027")).value == value
    told = await world.desk.state.history(world.call, DocumentHistory(namespace="shop", key="prices-2027"))
    assert told.versions[0].note == "copy of shop/prices at version 2"
    await world.write("shop", "prices", {"bolt": 3})
    assert (await world.read("shop", "prices-2027")).value == value, "it is no link"
    assert replay(world.url).differences == ()


async def test_a_copy_replaces_as_any_write_does(world: World):
    await world.write("shop", "prices", [1])
    await world.write("shop", "old", [2])
    with pytest.raises(Conflict, match="is at version 1"):
        await world.desk.state.set(world.call, copy_to("old", expected_version=0))
    await world.desk.state.set(world.call, copy_to("old", expected_version=1, note="for May"))
    assert (await world.read("shop", "old")).value == [1]


async def test_what_is_not_there_is_not_copied(world: World):
    with pytest.raises(NotFound, match="no document shop/prices"):
        await world.desk.state.set(world.call, copy_to("a"))
    await world.write("shop", "prices", 1)
    await world.desk.state.set(world.call, SetDocument(namespace="shop", key="prices", delete=True))
    with pytest.raises(NotFound, match=r"shop/prices was deleted.*state_restore"):
        await world.desk.state.set(world.call, copy_to("a"))


@pytest.mark.parametrize("more", [{"value": 1}, {"delete": True}, {"merge": True, "base_version": 1}])
def test_a_copy_takes_no_value_beside_it(more: dict[str, Any]):
    with pytest.raises(ValidationError, match="exactly one of value, copy_of and delete"):
        copy_to("a", **more)
