"""Who asks for a lock pays for what it may meet, however many locks and globs others hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.locks import transactions
from mcp_server.domain.locks.model import TOLD_MAX, AcquireLock, Claim, FindLocks, Hold, Holder, keeping_out
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import LimitExceeded
from tests.world import World, speaking
from tools import TOOLS

SAY = {tool.name: tool.say for tool in TOOLS}

NAMES = st.sampled_from(["a", "b", "a/b", "a/*", "**", "?", "c/**"])
HOLDERS = st.builds(Holder, st.sampled_from(["ann", "bob", "cy"]), st.sampled_from(["", "x"]))
CLAIMS = st.builds(Claim, HOLDERS, st.just("someone"), NAMES, st.sampled_from(["exclusive", "shared"]))


async def holds(world: World, call: Call, *names: str) -> None:
    for name in names:
        assert (await world.desk.locks.acquire(call, AcquireLock(name=name))).lock is not None, name


@pytest.mark.anyio
async def test_who_meets_very_many_locks_is_told_some_of_them_and_every_holder(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await holds(world, ann, *(f"src/{number}" for number in range(TOLD_MAX + 5)))
    await holds(world, bob, "src/last", "docs/last")
    refused = await world.desk.locks.acquire(world.call, AcquireLock(name="src/**"))
    told = refused.held_by or []
    assert len(told) == TOLD_MAX and refused.more
    assert {one.name for one in told[:2]} == {"src/0", "src/last"}, "of each holder one comes first"
    assert "; and others. " in SAY["locks_acquire"](refused)
    few = await world.desk.locks.acquire(world.call, AcquireLock(name="docs/**"))
    assert [one.name for one in few.held_by or []] == ["docs/last"] and few.more is None


@given(st.lists(CLAIMS, max_size=2 * TOLD_MAX), CLAIMS)
def test_whoever_keeps_somebody_out_is_found_and_of_all_holds_at_least_what_is_told(claims: list[Claim], claim: Claim):
    every = [Hold.granted(one, 60, number, 0)[0] for number, one in enumerate(claims)]
    keep = [hold for hold in every if hold.claim.keeps_out(claim)]
    found = keeping_out(claim, every)
    assert {hold.claim.holder for hold in found} == {hold.claim.holder for hold in keep}
    assert len(found) >= min(len(keep), TOLD_MAX) and all(hold in keep for hold in found)
    assert len({hold.fencing_token for hold in found}) == len(found)


@pytest.mark.anyio
async def test_one_party_holds_so_many_globs_and_no_more_and_others_are_not_concerned(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transactions, "GLOBS_MAX", 3)
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await holds(world, ann, "a/*", "b/*", "c/*", "name")
    with pytest.raises(LimitExceeded, match=r"agent:ann.* holds 200 globs already.*compared"):
        await holds(world, ann, "d/*")
    await holds(world, ann, "a/*", "another")
    await holds(world, bob, "d/*")


@pytest.mark.anyio
async def test_who_asks_for_a_name_is_told_of_the_globs_that_mean_it_or_that_it_is_free(world: World):
    ann = speaking(await world.agent("ann"))
    await holds(world, ann, "docs/**", "docs/index.md", "src/**")
    found = await world.desk.locks.find(world.call, FindLocks(name="docs/index.md"))
    assert [one.name for one in found.locks] == ["docs/index.md", "docs/**"] and not found.free
    (over,) = (await world.desk.locks.find(world.call, FindLocks(name="docs/new.md"))).locks
    assert over.name == "docs/**" and "agent:ann" in SAY["locks_find"](found)
    free = await world.desk.locks.find(world.call, FindLocks(name="README.md"))
    assert free.free and free.locks == [] and "It is free" in SAY["locks_find"](free)
    world.clock.advance(3600)
    assert (await world.desk.locks.find(world.call, FindLocks(name="docs/new.md"))).free
