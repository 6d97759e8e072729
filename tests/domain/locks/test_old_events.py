"""Events of before parties rebuild what the migration made of their rows."""

from typing import Any

import pytest

from mcp_server.domain.locks.replay import replay, restore
from mcp_server.kernel.events import Event, Origin
from tests.world import World

pytestmark = pytest.mark.anyio

FACTS = {"mode": "exclusive", "expires_at": 5, "acquired_at": 1}


@pytest.mark.parametrize(("actor", "party"), [("user:ann", "user:ann"), ("agent:agent_x", "agent_x")])
async def test_a_hold_of_before_belongs_to_who_acquired_it(world: World, actor: str, party: str):
    def rebuild(tx: Any) -> list[dict[str, Any]]:
        origin = Origin(1, actor, "c")
        replay(tx, origin, Event("lock.acquired", "lock", "a*", 3, {"owner": "me"} | FACTS))
        replay(tx, origin, Event("lock.renewed", "lock", "a*", 3, {"owner": "me", "expires_at": 9}))
        return tx.all("lock_holds", name="a*")

    (row,) = await world.database.write(rebuild)
    assert (row["party"], row["speaker"], row["owner"], row["expires_at"]) == (party, actor, "me", 9)
    assert row["pattern"] == 1


async def test_a_hold_of_an_old_snapshot_belongs_to_its_owner(world: World):
    def rebuild(tx: Any) -> list[dict[str, Any]]:
        hold = {"owner": "me", "fencing_token": 3} | FACTS
        restore(tx, Origin(1, "system:server", "c"), Event("lock.snapshot", "lock", "a", 4, {"holds": [hold]}))
        return [*tx.all("lock_holds", name="a"), *tx.all("lock_token", name="a")]

    row, token = await world.database.write(rebuild)
    assert (row["party"], row["speaker"], token["last_token"]) == ("me", "me", 4)
