"""Users and keys: whom a key proves, and that whatever takes that away counts at once, in every process."""

from typing import Any

import pytest

from mcp_server.domain.people.commands import FROM_FILE, AddUser, ChangeUser, CreateKey, KeyHash
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import new_text, sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Permission, Role
from mcp_server.kernel.errors import (
    Conflict,
    InvalidTransition,
    NotFound,
    OpsError,
    PermissionDenied,
    ValidationFailed,
)
from tests.world import World, caller, open_world

pytestmark = pytest.mark.anyio


def people(world: World) -> PeopleService:
    return world.desk.get(PeopleService)


async def user(world: World, name: str = "ann", role: Role = Role.OPERATOR, **more: Any) -> None:
    await people(world).add_user(world.call, AddUser(name=name, role=role, **more))


async def key(world: World, text: str, **narrowed: Any) -> str:
    """A key of ann's with that text, or of another holder."""
    whose = {"kind": "user", "holder": "ann"} | narrowed
    return (await people(world).create_key(world.call, CreateKey(**whose), sha256_of(text))).id


async def proved(world: World, text: str) -> Actor | str:
    standing, sha256 = world.desk.get(Standing), sha256_of(text)
    known = standing.known(sha256)
    found = await standing.proved(sha256)
    assert known is None or known == found  # what is known without asking the database is never behind it
    return found


async def allowed(world: World, text: str) -> Actor:
    found = await proved(world, text)
    assert isinstance(found, Actor), found
    return found


async def test_a_key_proves_its_user_with_the_users_role_and_no_more(world: World):
    await user(world)
    key_id = await key(world, "one")
    actor = await allowed(world, "one")
    assert (actor.label, actor.key_id, actor.permissions) == ("user:ann", key_id, Role.OPERATOR.permissions)
    assert await proved(world, "two") == "unknown"
    await people(world).change_user(world.call, ChangeUser(name="ann", role=Role.VIEWER))
    assert (await allowed(world, "one")).permissions == Role.VIEWER.permissions


async def test_a_key_is_no_wider_than_what_narrows_it(world: World):
    await user(world)
    await key(world, "role", role=Role.VIEWER)
    await key(world, "some", permissions=(Permission.TASKS_READ, Permission.STATE_WRITE))
    await key(world, "scoped", toolsets=("state",), agent="scribe", namespace="team")
    assert (await allowed(world, "role")).permissions == Role.VIEWER.permissions
    assert (await allowed(world, "some")).permissions == {Permission.TASKS_READ, Permission.STATE_WRITE}
    scope = (await allowed(world, "scoped")).scope
    assert (scope.toolsets, scope.agent, scope.namespace) == (frozenset({"state"}), "scribe", "team")
    await people(world).change_user(world.call, ChangeUser(name="ann", role=Role.VIEWER))
    assert (await allowed(world, "some")).permissions == {Permission.TASKS_READ}


async def test_an_agents_key_proves_the_agent_as_an_agent(world: World):
    await key(world, "bot", kind="agent", holder="scribe")
    actor = await allowed(world, "bot")
    assert (actor.kind, actor.id, actor.permissions) == ("agent", "scribe", Role.AGENT.permissions)


@pytest.mark.parametrize(
    ("narrowed", "says"),
    [
        ({"role": Role.ADMIN}, "role admin"),
        ({"permissions": (Permission.PEOPLE_CONTROL,)}, "permission people:control"),
        ({"kind": "agent", "holder": "scribe", "agent": "other"}, "agent other"),
    ],
)
async def test_a_key_that_would_promise_more_than_its_holder_has_is_refused(world: World, narrowed: Any, says: str):
    await user(world)
    with pytest.raises(ValidationFailed, match=says):
        await key(world, "one", **narrowed)
    with pytest.raises(NotFound, match="no user bob"):
        await key(world, "one", holder="bob")


async def test_revoking_expiring_and_disabling_count_at_once_in_every_process(world: World):
    await user(world)
    revoked, _ = await key(world, "revoked"), await key(world, "expiring", expires_in_seconds=60)
    await key(world, "other")
    async with open_world(world.url) as elsewhere:
        elsewhere.clock.now = world.clock.now
        for text in ("revoked", "expiring", "other"):
            await allowed(elsewhere, text)
        await people(world).revoke_key(world.call, revoked)
        assert await proved(elsewhere, "revoked") == "revoked"
        elsewhere.clock.advance(60)
        assert await proved(elsewhere, "expiring") == "expired"
        await people(world).turn_user(world.call, "ann", "disabled")
        assert await proved(elsewhere, "other") == "disabled"
        await people(world).turn_user(world.call, "ann", "enabled")
        await allowed(elsewhere, "other")
        assert await proved(elsewhere, "revoked") == "revoked"


async def test_what_is_known_without_asking_the_database_ends_with_any_change_of_a_user_or_a_key(world: World):
    standing = world.desk.get(Standing)
    await user(world)
    await user(world, "bob")
    key_id = await key(world, "first")
    ann, asks = Actor(kind="user", id="ann", permissions=frozenset()), world.url.startswith("postgres")

    async def is_known() -> list[bool]:
        return [standing.known(sha256_of("first")) is not None, standing.is_known_enabled(ann)]

    async with open_world(world.url) as elsewhere:
        assert await is_known() == [False, False]
        for change in (
            lambda: people(elsewhere).change_user(elsewhere.call, ChangeUser(name="ann", role=Role.VIEWER)),
            lambda: people(elsewhere).turn_user(elsewhere.call, "bob", "disabled"),
            lambda: people(elsewhere).rotate_key(elsewhere.call, key_id, sha256_of("second"), 60),
            lambda: key(elsewhere, "third"),
        ):
            found = await allowed(world, "first")
            assert not await standing.is_disabled(ann)
            assert await is_known() == [not asks, not asks]
            assert asks or standing.known(sha256_of("first")) is found
            await change()
            assert await is_known() == [False, False]
        await allowed(world, "first")
        world.clock.advance(60)
        assert standing.known(sha256_of("first")) is None and await proved(world, "first") == "rotated"


async def test_a_rotated_key_has_its_new_text_and_the_old_one_as_long_as_was_said(world: World):
    await user(world)
    key_id = await key(world, "first")
    before = await allowed(world, "first")
    await people(world).rotate_key(world.call, key_id, sha256_of("second"), 60)
    assert (await allowed(world, "first")).key_id == (await allowed(world, "second")).key_id == key_id
    world.clock.advance(60)
    assert await proved(world, "first") == "rotated"
    assert await world.desk.get(Standing).still(before) is None
    await people(world).rotate_key(world.call, key_id, sha256_of("third"))
    assert await proved(world, "second") == "unknown" and await allowed(world, "third")


async def test_what_was_proved_just_before_ends_in_time_all_the_same(world: World):
    await user(world)
    await key(world, "short", expires_in_seconds=30)
    key_id = await key(world, "first")
    await people(world).rotate_key(world.call, key_id, sha256_of("second"), 30)
    for text in ("short", "first", "second"):
        await allowed(world, text)
    world.clock.advance(29)
    assert {(await allowed(world, text)).id for text in ("short", "first", "second")} == {"ann"}
    world.clock.advance(1)
    assert (await proved(world, "short"), await proved(world, "first")) == ("expired", "rotated")
    await allowed(world, "second")


async def test_all_of_a_key_is_read_again_only_once_it_or_its_user_has_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await user(world)
    key_id = await key(world, "one")
    asked: list[str] = []
    fetch_one = world.database.fetch_one

    async def noted(statement: str, **parameters: Any) -> Any:
        asked.append(statement)
        return await fetch_one(statement, **parameters)

    monkeypatch.setattr(world.database, "fetch_one", noted)

    async def reads(text: str) -> list[str]:
        asked.clear()
        await proved(world, text)
        return list(asked)

    whole, again = ["key_by_sha256"], ["key_as_known"]
    assert [await reads("one"), await reads("one")] == [whole, again]
    await people(world).change_user(world.call, ChangeUser(name="ann", role=Role.VIEWER))
    assert [await reads("one"), await reads("one")] == [again + whole, again]
    await people(world).rotate_key(world.call, key_id, sha256_of("two"), 600)
    assert [await reads("one"), await reads("one"), await reads("two")] == [again + whole, again, whole]


async def test_whoever_rotates_second_has_not_seen_the_text_that_it_would_replace(world: World):
    await user(world)
    key_id = await key(world, "first")
    from mcp_server.domain.people.transactions import rotate_key

    origin = world.desk.context.origin(world.call)
    await world.database.write(rotate_key, origin, key_id, sha256_of("mine"), 0.0, 1)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await world.database.write(rotate_key, origin, key_id, sha256_of("theirs"), 0.0, 1)
    assert await proved(world, "theirs") == "unknown"


async def test_what_is_over_for_a_key_is_over(world: World):
    await user(world)
    key_id = await key(world, "one")
    await people(world).revoke_key(world.call, key_id)
    for again in (people(world).revoke_key(world.call, key_id), people(world).rotate_key(world.call, key_id, "x" * 64)):
        with pytest.raises(InvalidTransition, match="is revoked"):
            await again


async def test_only_who_manages_people_changes_or_sees_them(world: World):
    await user(world)
    for role in (Role.OPERATOR, Role.AGENT, Role.VIEWER):
        with pytest.raises(PermissionDenied):
            await people(world).add_user(caller(role), AddUser(name="eve"))
        with pytest.raises(PermissionDenied):
            await people(world).revoke_key(caller(role), "key_x")
    assert [one.name for one in await people(world).users(caller(Role.OPERATOR))] == ["ann"]
    with pytest.raises(PermissionDenied):
        await people(world).keys(caller(Role.AGENT))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a@b", "e\u202evil", "a\nb", "x" * 65, "a\u200bb"])
def test_a_name_that_misleads_is_refused(name: str):
    with pytest.raises(ValueError):
        AddUser(name=name)


async def test_a_name_that_looks_like_anothers_is_refused(world: World):
    await user(world, "Ann")
    for name in ("ann", "ANN", "Ａnn"):
        with pytest.raises(Conflict, match="is a user Ann already"):
            await user(world, name)
    await user(world, "Zoë")


async def test_neither_events_nor_views_hold_a_text_and_callers_see_no_hash(world: World):
    await user(world)
    text = new_text()
    key_id = await key(world, text)
    await people(world).rotate_key(world.call, key_id, sha256_of("next"), 60)
    rows = await world.database.fetch_all("events_after", seq=0, xid=0, limit=100)
    assert text not in str([dict(row) for row in rows])
    from mcp_server.domain.events.commands import ReadEvents

    told, _ = await world.desk.events.read(world.call, ReadEvents(limit=100))
    assert {one.type for one in told} == {"user.added", "key.created", "key.rotated"}
    shown = str([one.fields() for one in told]) + str([one.fields() for one in await people(world).keys(world.call)])
    for secret in (text, "next"):
        assert secret not in shown and sha256_of(secret) not in shown


def test_a_text_is_long_random_and_one_word():
    texts = {new_text() for _ in range(100)}
    assert len(texts) == 100
    for text in texts:
        prefix, mark, secret = text.split("_")
        assert (prefix, len(mark), len(secret)) == ("dmcp", 8, 43) and (mark + secret).isalnum()


async def test_a_use_is_written_down_once_a_minute_at_most(world: World):
    await user(world)
    key_id = await key(world, "one")

    async def used_at() -> str | None:
        await world.database.write(lambda tx: None)
        return next(one.used_at for one in await people(world).keys(world.call) if one.id == key_id)

    assert await used_at() is None
    await allowed(world, "one")
    first = await used_at()
    world.clock.advance(59)
    await allowed(world, "one")
    assert first is not None and await used_at() == first
    world.clock.advance(1)
    await allowed(world, "one")
    assert await used_at() != first


def tokens(*named: str) -> list[tuple[CreateKey, KeyHash]]:
    commands = [CreateKey(kind="user", holder=name.partition("-")[0], role=Role.VIEWER) for name in named]
    return [(command, KeyHash(sha256_of(name), FROM_FILE)) for command, name in zip(commands, named, strict=True)]


async def test_tokens_of_the_file_become_keys_once_and_end_when_they_are_taken_out(world: World):
    taken = await people(world).take_tokens(tokens("ann", "bob"))
    assert len(taken.created) == 2 and taken.revoked == []
    assert (await allowed(world, "ann")).permissions == Role.VIEWER.permissions
    assert await people(world).take_tokens(tokens("ann", "bob")) == ([], [], [])
    assert len((await people(world).take_tokens(tokens("ann"))).revoked) == 1
    assert await proved(world, "bob") == "revoked"
    dead = await people(world).take_tokens(tokens("ann", "bob"))
    assert dead.created == [] and len(dead.dead) == 1 and await proved(world, "bob") == "revoked"
    (ann,) = [one for one in await people(world).keys(world.call) if one.state == "live"]
    with pytest.raises(InvalidTransition, match="token file"):
        await people(world).rotate_key(world.call, ann.id, sha256_of("new"))


async def test_the_role_of_a_user_that_the_file_names_twice_is_the_wider_and_each_key_has_its_own(world: World):
    wide = CreateKey(kind="user", holder="ann", role=Role.ADMIN), KeyHash(sha256_of("wide"), FROM_FILE)
    await people(world).take_tokens([*tokens("ann"), wide])
    assert (await allowed(world, "wide")).permissions == Role.ADMIN.permissions
    assert (await allowed(world, "ann")).permissions == Role.VIEWER.permissions


async def test_a_user_that_is_not_let_in_has_no_profile(world: World):
    await user(world, address="ann@example.org", display_name="Ann")
    standing = world.desk.get(Standing)
    assert (await standing.profile("ann")) == ("ann", "Ann", "ann@example.org")
    assert await standing.profile("bob") is None
    await people(world).turn_user(world.call, "ann", "disabled")
    assert await standing.profile("ann") is None
    jwt = Actor(kind="user", id="ann", permissions=Role.VIEWER.permissions)
    assert await standing.still(jwt) is None
    assert await standing.still(jwt.model_copy(update={"id": "bob"})) is not None


async def test_a_wait_ends_with_a_refusal_when_its_callers_key_is_revoked(world: World):
    from dataclasses import replace

    from mcp_server.kernel.waiting import wait_until

    await user(world)
    key_id = await key(world, "one")
    call = replace(world.call, actor=await allowed(world, "one"))
    looks = 0

    async def attempt() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            await people(world).revoke_key(world.call, key_id)
        return looks > 2

    with pytest.raises(OpsError, match="may not go on"):
        await wait_until(world.desk.context, call, attempt, bool, 5, ())
    assert looks == 2
