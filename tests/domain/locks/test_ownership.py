"""Locks belong to who speaks: nobody else ends, renews or hands them over, and nobody else sees their tokens."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent, Register
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock, FindLocks, ReleaseLock
from mcp_server.domain.locks.views import AcquiredLock, FoundLocks, LockView, ReleasedLock
from mcp_server.domain.tasks.commands import ClaimTasks
from mcp_server.kernel.authority import Role, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import (
    Conflict,
    InvalidTransition,
    LeaseLost,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.kernel.times import SECOND, iso
from tests.world import World, caller
from tools.locks import TOOLS as _TOOLS

pytestmark = pytest.mark.anyio
TOOLS: Any = _TOOLS


def speaking(agent: AgentView, role: Role = Role.AGENT, id: str = "tester") -> Call:
    """A call on behalf of an agent."""
    return replace(caller(role, id=id), speaker=Speaker(agent.id, agent.name))


async def acquire(world: World, call: Call, name: str, **more: Any) -> AcquiredLock:
    return await world.desk.locks.acquire(call, AcquireLock(name=name, **more))


async def take(world: World, call: Call, name: str, **more: Any) -> LockView:
    lock = (await acquire(world, call, name, **more)).lock
    assert lock is not None
    return lock


async def release(world: World, call: Call, name: str, **more: Any) -> ReleasedLock:
    return await world.desk.locks.release(call, ReleaseLock(name=name, **more))


async def find(world: World, call: Call, **narrowed: Any) -> FoundLocks:
    return await world.desk.locks.find(call, FindLocks(**narrowed))


async def test_without_an_owner_the_speaker_holds_the_lock_whoever_its_principal_is(world: World):
    scribe = await world.agent("scribe")
    lock = await take(world, speaking(scribe), "a")
    assert (lock.owner, lock.speaker) == ("agent:scribe via user:tester", None), "told once"
    again = await take(world, speaking(scribe, id="other"), "a", owner="agent:scribe via user:other")
    assert (again.fencing_token, again.owner) == (lock.fencing_token, lock.owner)
    assert (await release(world, speaking(scribe), "a", owner=lock.owner)).released


async def test_two_labels_of_one_speaker_keep_each_other_out_and_are_shown_as_given(world: World):
    scribe = speaking(await world.agent("scribe"))
    assert (await take(world, scribe, "a", owner="left hand")).owner == "left hand"
    for owner in ("right hand", None):
        refused = await acquire(world, scribe, "a", owner=owner)
        (held,) = refused.held_by or []
        assert (held.owner, held.speaker) == ("left hand", "agent:scribe via user:tester")
        assert (held.mode, held.seconds_left, held.fencing_token) == ("exclusive", 60, None)


async def test_a_label_of_two_speakers_is_two_owners(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await take(world, ann, "a", owner="main")
    assert (await acquire(world, bob, "a", owner="main")).lock is None


async def test_a_label_that_is_another_agents_name_id_or_instance_is_refused(world: World):
    other, instance_id = await world.instance("other")
    scribe = speaking(await world.agent("scribe"))
    for owner in (other.id, other.name, instance_id):
        with pytest.raises(PermissionDenied, match="that is the agent other"):
            await acquire(world, scribe, "a", owner=owner)
    assert (await take(world, speaking(other), "a", owner=instance_id)).owner == instance_id


async def test_a_label_that_reads_as_another_speaker_is_refused_however_it_is_spelt(world: World):
    other = await world.agent("other")
    scribe = speaking(await world.agent("scribe"))
    labels = ("agent:other", "Agent:other", f"agent:{other.id}", "agent:other via user:tester", "user:ann", "User:ann")
    for owner in labels:
        with pytest.raises(PermissionDenied, match=r"cannot hold a lock as .*: that is (the agent other|how a user)"):
            await acquire(world, scribe, "a", owner=owner)
    for owner in ("user", "user:", "agent:", "agent:nobody", "team:ann", "user:tester", "agent:scribe"):
        assert (await take(world, scribe, f"of {owner}", owner=owner)).owner.startswith(owner)


async def test_only_the_holder_ends_or_renews_a_lock_also_with_its_token(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    token = (await take(world, ann, "a")).fencing_token
    for more in ({}, {"renew_seconds": 5}, {"to_agent": "bob"}, {"owner": "agent:ann via user:tester"}):
        with pytest.raises(
            PermissionDenied, match="agent:ann via user:tester holds a .exclusive, 60 s left"
        ) as refused:
            await release(world, bob, "a", fencing_token=token, **more)
        assert "fencing_token" not in json.dumps(refused.value.details)
    with pytest.raises(PermissionDenied, match="locks:control"):
        await release(world, bob, "a", force=True)
    with pytest.raises(InvalidTransition, match="Fencing token 7"):
        await release(world, ann, "a", fencing_token=7)
    assert (await release(world, ann, "a")).released
    with pytest.raises(NotFound, match="Yours was released at .*, by agent:ann"):
        await release(world, ann, "a")


async def test_with_control_a_lock_is_taken_from_its_holder_by_force(world: World):
    await take(world, speaking(await world.agent("ann")), "a")
    with pytest.raises(PermissionDenied, match="locks:control"):
        await release(world, caller(Role.AGENT), "a", force=True)
    assert (await release(world, caller(Role.OPERATOR), "a", force=True)).released
    log, _ = await world.desk.events.read(caller(), ReadEvents(type="lock.released"))
    told = [(one.actor, one.data.get("forced_from")) for one in log]
    assert told == [("user:tester", "agent:ann via user:tester")]
    with pytest.raises(NotFound):
        await release(world, caller(Role.ADMIN), "a", force=True)


async def test_of_several_holds_of_one_speaker_the_label_or_the_token_says_which(world: World):
    ann = speaking(await world.agent("ann"))
    for owner in ("x", "y"):
        await take(world, ann, "a", owner=owner, mode="shared")
    with pytest.raises(ValidationFailed, match="of x, y"):
        await release(world, ann, "a")
    assert (await release(world, ann, "a", fencing_token=2)).released
    assert [one.owner for one in (await find(world, ann)).locks[0].holders] == ["x"]


async def test_a_lock_is_handed_over_under_a_new_token_told_to_who_may_speak_as_the_heir(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await take(world, ann, "a", owner="mine", ttl_seconds=100)
    lock = (await release(world, ann, "a", to_agent="bob")).lock
    assert lock is not None
    assert (lock.owner, lock.fencing_token, lock.seconds_left) == ("agent:bob via user:tester", 2, 100)
    assert (await world.events())[-1] == "lock.handed_over"
    with pytest.raises(PermissionDenied):
        await release(world, ann, "a", fencing_token=1)
    (found,) = (await find(world, bob)).locks
    assert found.holders[0].fencing_token == 2
    assert (await release(world, bob, "a", fencing_token=2)).released


async def test_no_fencing_token_of_another_is_seen_anywhere(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    for _ in range(41):
        await release(world, ann, "a", owner=(await take(world, ann, "a")).owner)
    assert (await take(world, ann, "a")).fencing_token == 42
    events, _ = await world.desk.events.read(bob, ReadEvents(type="lock.*", limit=100))
    seen = [await acquire(world, bob, "a"), await find(world, bob), await world.desk.locks.overview(ann), *events]
    assert all("42" not in f"{getattr(one, 'version', None)} {getattr(one, 'data', None)}" for one in events)
    assert all(holder.fencing_token is None for found in seen[1:3] for lock in found.locks for holder in lock.holders)
    assert [holder.fencing_token for holder in seen[0].held_by or []] == [None]


async def test_an_agent_that_leaves_names_its_locks_or_hands_them_over(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    await take(world, speaking(ann), "a", owner="x")
    await take(world, speaking(bob), "b", mode="shared", ttl_seconds=600)
    await take(world, speaking(ann), "b", mode="shared")
    with pytest.raises(Conflict) as refused:
        await world.desk.agents.control(world.call, ControlAgent(agent_id=ann.id, action="terminate"))
    assert refused.value.details["holds"]["locks"] == {"total": 2, "which": ["a", "b"]}
    command = ControlAgent(agent_id=ann.id, action="terminate", to_agent="bob")
    done = await world.desk.agents.control(world.call, command)
    told = {"total": 2, "which": ["a", "b"], "fencing_tokens": {"a": 2, "b": 3}}
    assert (done.handed_over or {})["locks"] == told, "whoever may speak as the heir is told the new tokens"
    found = (await find(world, speaking(bob), agent_id="bob")).locks
    assert [(lock.name, [one.owner for one in lock.holders]) for lock in found] == [
        ("a", ["agent:bob via user:tester"]),
        ("b", ["agent:bob via user:tester"]),
    ]
    assert [lock.holders[0].fencing_token for lock in found] == [2, 3]
    assert found[1].holders[0].seconds_left == 600


async def test_locks_are_found_by_name_prefix_and_agent_page_by_page(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    for number in range(3):
        await take(world, speaking(ann), f"src/{number}")
    await take(world, speaking(bob), "doc")
    everything = await find(world, world.call, limit=2)
    assert ([lock.name for lock in everything.locks], everything.omitted) == (["doc", "src/0"], 2)
    rest = await find(world, world.call, limit=2, cursor=everything.next_cursor)
    assert ([lock.name for lock in rest.locks], rest.omitted) == (["src/1", "src/2"], None)
    assert [lock.name for lock in (await find(world, world.call, name="./doc/")).locks] == ["doc"]
    assert [lock.name for lock in (await find(world, world.call, prefix="src/", agent_id="ann")).locks] == [
        "src/0",
        "src/1",
        "src/2",
    ]
    assert (await find(world, world.call, prefix="src/", agent_id=bob.id)).locks == []
    with pytest.raises(NotFound, match="nobody"):
        await find(world, world.call, agent_id="nobody")


async def test_a_renewed_lock_of_an_instance_stays_its_holders_for_as_long_as_it_is_renewed(world: World):
    agent, instance_id = await world.instance("worker")
    worker = speaking(agent)
    await take(world, worker, "a", owner=instance_id, ttl_seconds=600)
    for _ in range(60):
        world.clock.advance(5)
        await release(world, worker, "a", owner=instance_id, renew_seconds=600)
        await world.settle()
    assert len((await find(world, worker)).locks) == 1
    world.clock.advance(61)
    await world.settle()
    assert (await find(world, worker)).locks == []


async def test_a_lock_under_a_lost_lease_is_not_granted(world: World):
    agent = await world.agent("worker")
    await world.task()
    claims = (await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id, lease_seconds=5))).claims
    call = replace(speaking(agent), lease_token=claims[0].lease_token)
    await take(world, call, "a")
    world.clock.advance(6)
    await world.settle()
    for wait in (0, 5):
        with pytest.raises(LeaseLost):
            await acquire(world, call, "b", wait_seconds=wait)
    with pytest.raises(LeaseLost):
        await release(world, call, "a")


async def test_a_glob_finds_whatever_may_mean_the_same(world: World):
    scribe = speaking(await world.agent("scribe"))
    for name in ("src/a.py", "src/deep/b.py", "docs/c.md", "lib/**"):
        await take(world, scribe, name)
    for name, found in (("src/*", ["src/a.py"]), ("src/**", ["src/a.py", "src/deep/b.py"]), ("lib/x*", ["lib/**"])):
        assert [one.name for one in (await find(world, scribe, name=name)).locks] == found


async def test_a_lock_handed_to_another_principals_agent_shows_its_token_to_that_one_alone(world: World):
    ann = speaking(await world.agent("ann"))
    eve = caller(Role.AGENT, id="eve")
    her = (await world.desk.agents.register(eve, Register(name="hers"))).agent
    await take(world, ann, "a")
    done = await release(world, ann, "a", to_agent="hers")
    assert done.lock is not None and (done.handed_to, done.lock.fencing_token) == ("hers", None)
    for call, sees in ((ann, None), (eve, 2), (replace(eve, speaker=Speaker(her.id, her.name)), 2)):
        (lock,) = (await find(world, call, agent_id="hers")).locks
        assert lock.holders[0].fencing_token == sees


async def test_of_anothers_lock_is_told_when_its_holder_was_last_heard_of_and_when_it_is_free(world: World):
    other, instance_id = await world.instance("other")
    await take(world, speaking(other), "a", owner=instance_id, ttl_seconds=3600)
    await take(world, speaking(other), "b", ttl_seconds=3600)
    ann = speaking(await world.agent("ann"))
    world.clock.advance(12)
    (kept_out,) = (await acquire(world, ann, "a")).held_by or []
    until = iso(world.clock() + 48 * SECOND)
    assert (kept_out.last_seen_seconds_ago, kept_out.free_if_silent_until) == (12, until)
    found = [lock.holders[0] for lock in (await find(world, ann)).locks]
    assert [(one.last_seen_seconds_ago, one.free_if_silent_until) for one in found] == [(12, until), (12, None)]
    assert [
        one.last_seen_seconds_ago for lock in (await find(world, speaking(other))).locks for one in lock.holders
    ] == [
        None,
        None,
    ]
    world.clock.advance(49)
    await world.settle()
    assert (await take(world, ann, "a")).fencing_token == 2


async def test_who_releases_what_nobody_holds_hears_how_that_may_be(world: World):
    other, instance_id = await world.instance("other")
    await take(world, speaking(other), "src/app.py", owner=instance_id)
    with pytest.raises(NotFound, match=r"never was a lock of that very name. Did you mean 'src/app.py'\?"):
        await release(world, speaking(other), "src/ap.py")
    with pytest.raises(NotFound, match="never was a lock of that very name. locks_find"):
        await release(world, speaking(other), "quite/another")
    world.clock.advance(61)
    await world.settle()
    with pytest.raises(NotFound, match="holder's instance was lost"):
        await release(world, world.call, "src/app.py")


async def test_who_holds_a_lock_by_its_instance_is_told_how_long_it_may_be_silent(world: World):
    other, instance_id = await world.instance("other")
    silent = iso(world.clock() + 60 * SECOND)
    got = (await acquire(world, speaking(other), "a", owner=instance_id)).lock
    kept = (await release(world, speaking(other), "a", owner=instance_id, renew_seconds=3600)).lock
    assert got is not None and kept is not None
    assert got.free_if_silent_until == kept.free_if_silent_until == silent
    free = (await acquire(world, speaking(other), "b", owner="a label")).lock
    assert free is not None and free.free_if_silent_until is None


async def test_who_takes_a_lock_hears_of_anothers_whose_path_ends_alike(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    since = iso(world.clock.now)
    for held, taken, warns in (
        ("/src/a", "src/a", True),
        ("docs/b.md", "/home/me/shop/docs/b.md", True),
        ("/home/me/shop/docs/c.md", "docs/c.md", True),
        ("/deploy", "deploy", True),
        ("src/d/README", "README", False),
        ("src/e", "src/ee", False),
        ("src/f", "other/f", False),
    ):
        await take(world, ann, held)
        told = await acquire(world, bob, taken)
        assert told.lock is not None
        said = " ".join(told.warnings or ())
        assert (f"agent:ann via user:tester holds {held} since {since}, another lock" in said) is warns, (held, taken)
        assert (await acquire(world, ann, held)).warnings is None, "who has it already is not told again"
    text: str = next(one for one in TOOLS if one.name == "locks_acquire").say(await acquire(world, bob, "x/src/a"))
    assert "But agent:ann via user:tester holds /src/a" in text


async def test_locks_that_keep_nobody_out_and_ones_own_warn_of_nothing(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await take(world, ann, "/src/a", mode="shared")
    assert (await acquire(world, bob, "src/a", mode="shared")).warnings is None
    await take(world, ann, "/src/b")
    assert (await acquire(world, ann, "src/b")).warnings is None
    await take(world, ann, "/src/c", ttl_seconds=1)
    world.clock.advance(2)
    assert (await acquire(world, bob, "src/c")).warnings is None
    assert (await acquire(world, bob, "sr?/b")).warnings is None
