"""Idempotency keys: they belong to principals, and the same content is the same value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel.authority import Role, Speaker
from mcp_server.kernel.errors import IdempotencyConflict
from tests.world import World, caller

pytestmark = pytest.mark.anyio
NOON = datetime(2027, 5, 1, 12, tzinfo=UTC)


async def create(world: World, call: Any, *specs: dict[str, Any]) -> list[Any]:
    command = CreateTasks.model_validate({"tasks": [{"title": "t"} | spec for spec in specs]})
    return (await world.desk.tasks.create(call, command)).tasks


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"input": {"a": 1, "b": [2, {"c": 0.5}]}}, {"input": {"b": [2.0, {"c": 0.5}], "a": 1.0}}),
        ({"run_at": NOON}, {"run_at": NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))}),
        ({"timeout_seconds": 5}, {"timeout_seconds": 5.0}),
        ({}, {"priority": "normal", "tags": [], "description": ""}),
        ({"required_capabilities": ["a", "b"]}, {"required_capabilities": ["b", "a", "a"]}),
    ],
)
async def test_the_same_content_is_the_same_value_however_it_is_written(world: World, first: Any, again: Any):
    (one,) = await create(world, world.call, first | {"idempotency_key": "k"})
    (two,) = await create(world, world.call, again | {"idempotency_key": "k"})
    assert (two.id, two.replayed) == (one.id, True)


async def test_an_agents_name_and_its_id_are_the_same_agent(world: World):
    agent = await world.agent("painter")
    (one,) = await create(world, world.call, {"agent_id": "painter", "idempotency_key": "k"})
    (two,) = await create(world, world.call, {"agent_id": agent.id, "idempotency_key": "k"})
    assert one.agent_id == agent.id and (two.id, two.replayed) == (one.id, True)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"input": {"a": 1}}, {"input": {"a": "1"}}),
        ({"input": [1, 2]}, {"input": [2, 1]}),
        ({"input": True}, {"input": 1}),
        ({"input": 2**60}, {"input": 2**60 + 1}),
        ({"run_at": NOON}, {"run_at": NOON + timedelta(microseconds=1)}),
        ({}, {"retry": {"max_attempts": 3}}),
    ],
)
async def test_other_content_under_the_same_key_is_a_conflict(world: World, first: Any, again: Any):
    await create(world, world.call, first | {"idempotency_key": "k"})
    with pytest.raises(IdempotencyConflict):
        await create(world, world.call, again | {"idempotency_key": "k"})


async def test_a_reference_within_the_call_counts_as_the_task_that_it_resolves_to(world: World):
    pair: Any = ({"idempotency_key": "a"}, {"depends_on": ["#0"], "idempotency_key": "b"})
    first = await create(world, world.call, *pair)
    again = await create(world, world.call, *pair)
    assert [task.id for task in again] == [task.id for task in first]
    by_id = {"depends_on": [first[0].id], "idempotency_key": "b"}
    assert (await create(world, world.call, by_id))[0].id == first[1].id
    with pytest.raises(IdempotencyConflict):
        await create(world, world.call, {}, {"depends_on": ["#0"], "idempotency_key": "b"})
    assert len(await world.events(type="task.created")) == 2, "a refused call creates nothing"


async def test_a_key_belongs_to_its_principal_and_neither_to_speaker_nor_connection(world: World):
    agent, key = await world.agent("scribe"), {"idempotency_key": "k"}
    ann, bob = caller(id="ann"), caller(id="bob")
    (hers,) = await create(world, ann, key)
    (his,) = await create(world, bob, key | {"title": "another"})
    assert hers.id != his.id and not his.replayed
    spoken = replace(ann, correlation_id="another", speaker=Speaker(agent.id, agent.name))
    (again,) = await create(world, spoken, key)
    assert (again.id, again.replayed) == (hers.id, True)
    own_key = replace(caller(Role.AGENT, "agent", agent.id), speaker=Speaker(agent.id, agent.name))
    (its,) = await create(world, own_key, key)
    assert its.id not in (hers.id, his.id)


async def test_mails_compare_values_and_keep_keys_apart_by_principal(world: World):
    def mail(**more: Any) -> SendEmail:
        return SendEmail(to=("a@example.org",), subject="s", text="t", idempotency_key="k", **more)

    ann, bob = caller(id="ann"), caller(id="bob")
    first = (await world.desk.emails.send(ann, mail(send_at=NOON))).email
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-3)))
    assert (await world.desk.emails.send(ann, mail(send_at=elsewhere))).email.id == first.id
    assert (await world.desk.emails.send(bob, mail())).email.id != first.id
    with pytest.raises(IdempotencyConflict):
        await world.desk.emails.send(ann, mail(send_at=NOON + timedelta(seconds=1)))
