"""What `doctor` says of keys, and that they go along wherever the data goes."""

import io
from pathlib import Path

from mcp_server.domain.people.commands import AddUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Role
from mcp_server.kernel.times import SECOND
from mcp_server.persistence.event_loops import run_on
from mcp_server.upkeep.backup import back_up, restore
from mcp_server.upkeep.inspection import replay_database
from mcp_server.upkeep.keys import inspect_keys
from mcp_server.upkeep.transfer import export, import_
from tests.world import START, open_world

DAY = 86_400


async def filled(url: str) -> dict[str, str]:
    """A user with keys in every state, another that is disabled; the ids of the keys."""
    async with open_world(url) as world:
        people, call = world.desk.get(PeopleService), world.call
        for name in ("ann", "bob"):
            await people.add_user(call, AddUser(name=name, role=Role.OPERATOR))

        async def key(text: str, **narrowed: object) -> str:
            command = CreateKey.model_validate({"kind": "user", "holder": "ann"} | narrowed)
            return (await people.create_key(call, command, sha256_of(text))).id

        made = {text: await key(text) for text in ("used", "unused", "revoked", "rotated")}
        made["ending"] = await key("ending", expires_in_seconds=35 * DAY, toolsets=("state",), namespace="team")
        made["bobs"] = await key("bobs", holder="bob")
        await people.revoke_key(call, made["revoked"])
        await people.rotate_key(call, made["rotated"], sha256_of("next"), 3600)
        for used in ("used", "rotated", "ending"):
            await world.desk.get(Standing).proved(sha256_of(used))
        await people.turn_user(call, "bob", "disabled")
        return made


async def proves(url: str, *texts: str) -> list[str]:
    """For each text, whom it proves or why not."""
    async with open_world(url) as world:
        found = [await world.desk.get(Standing).proved(sha256_of(text)) for text in texts]
        return [one.label if isinstance(one, Actor) else one for one in found]


def test_doctor_names_the_keys_that_somebody_should_look_at(url: str):
    made = run_on(url, filled(url))
    (found,) = inspect_keys(url, START + 31 * DAY * SECOND)
    assert found.ok and found.detail.startswith("4 of 6 keys let somebody in")
    assert f"end within a week: {made['ending']} (user:ann);" in found.detail
    assert f"never used in the month since they were made: {made['unused']} (user:ann);" in found.detail
    assert f"of users that are disabled: {made['bobs']} (user:bob)." in found.detail
    (soon,) = inspect_keys(url, START)
    assert "week" not in soon.detail and "month" not in soon.detail


def test_without_keys_doctor_says_nothing_of_them(url: str):
    run_on(url, proves(url))
    assert inspect_keys(url, START) == []


STATES = {"used": "user:ann", "next": "user:ann", "revoked": "revoked", "bobs": "disabled", "ending": "user:ann"}


def test_users_and_keys_are_rebuilt_from_their_events(url: str):
    run_on(url, filled(url))
    assert replay_database(url).ok


def test_keys_let_the_same_in_after_an_import_of_an_export(url: str, sqlite_url: str, tmp_path: Path):
    run_on(url, filled(url))
    out = io.BytesIO()
    export(url, out, START)
    other = f"sqlite:///{tmp_path}/other.db"
    import_(other, io.BytesIO(out.getvalue()))
    assert dict(zip(STATES, run_on(other, proves(other, *STATES)), strict=True)) == STATES


def test_a_restored_backup_lets_in_whom_it_let_in_when_it_was_made(sqlite_url: str, tmp_path: Path):
    """Also by a key that was revoked since: docs/people.md says what to do."""
    run_on(sqlite_url, filled(sqlite_url))
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    back_up(path, tmp_path / "copy.db", force=False)

    async def revoke() -> None:
        async with open_world(sqlite_url) as world:
            people = world.desk.get(PeopleService)
            for key in await people.keys(world.call, "ann"):
                if key.state == "live":
                    await people.revoke_key(world.call, key.id)

    run_on(sqlite_url, revoke())
    assert run_on(sqlite_url, proves(sqlite_url, "used")) == ["revoked"]
    restore(tmp_path / "copy.db", path, force=True)
    assert dict(zip(STATES, run_on(sqlite_url, proves(sqlite_url, *STATES)), strict=True)) == STATES
