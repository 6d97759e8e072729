"""Under an idempotency key the order of what has none makes no other content, and keys of before stay."""

from collections.abc import Callable
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.email.commands import EmailSpec, SendEmail
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.errors import IdempotencyConflict
from tests.world import World

pytestmark = pytest.mark.anyio
KEY = {"idempotency_key": "k"}
A, B, C = "a@example.org", "b@example.org", "c@example.org"


async def made(world: World, what: str, **said: Any) -> str:
    """The id of what comes of it."""
    desk, call = world.desk, world.call
    if what == "mail":
        mail = SendEmail.model_validate({"to": [A], "subject": "s", "text": "t"} | KEY | said)
        return (await desk.emails.send(call, mail)).email.id
    if what == "task":
        tasks = CreateTasks.model_validate({"tasks": [{"title": "p"}, {"title": "q"}, {"title": "t"} | KEY | said]})
        return (await desk.tasks.create(call, tasks)).tasks[2].id
    asked = RequestApproval.model_validate({"title": "t", "action": "a"} | KEY | said)
    return (await desk.approvals.request(call, asked)).approval.id


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("mail", {"to": [A, B], "cc": [C]}, {"to": [B, A, A], "cc": [C]}),
    ("mail", {"bcc": [C, B]}, {"bcc": [B, C]}),
    ("task", {"tags": ["x", "y"]}, {"tags": ["y", "x", "y"]}),
    ("task", {"required_capabilities": ["x", "y"]}, {"required_capabilities": ["y", "x"]}),
    ("task", {"schedule": {"cron": "0 9 * * *"}}, {"schedule": {"cron": " 0  9 * *\t* "}}),
    ("approval", {"approvers": [A, B]}, {"approvers": [B, A]}),
]


@pytest.mark.parametrize(("what", "first", "again"), CASES)
async def test_another_order_under_the_same_key_is_the_same(world: World, what: str, first: Any, again: Any):
    assert await made(world, what, **first) == await made(world, what, **again)


async def test_another_order_of_what_a_task_depends_on_is_the_same(world: World):
    one, two = await world.created({}, {})
    first = await made(world, "task", depends_on=[one.id, two.id])
    assert await made(world, "task", depends_on=[two.id, one.id]) == first
    with pytest.raises(IdempotencyConflict):
        await made(world, "task", depends_on=[two.id])


OTHERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("mail", {"to": [A, B]}, {"to": [A], "cc": [B]}),
    ("mail", {"to": [A, B]}, {"to": [A]}),
    ("task", {"tags": ["x", "y"]}, {"tags": ["x"]}),
    ("task", {"schedule": {"cron": "0 9 * * *"}}, {"schedule": {"cron": "0 9 * * 1"}}),
    ("approval", {"approvers": [A, B]}, {"approvers": [A]}),
    ("approval", {"approvers": [A], "choices": ["x", "y"]}, {"approvers": [A], "choices": ["y", "x"]}),
]


@pytest.mark.parametrize(("what", "first", "other"), OTHERS)
async def test_another_set_or_another_order_of_what_has_one_is_another(world: World, what: str, first: Any, other: Any):
    await made(world, what, **first)
    with pytest.raises(IdempotencyConflict):
        await made(world, what, **other)


BEFORE: dict[str, list[tuple[type[Any], Callable[..., str]]]] = {
    "mail": [(EmailSpec, lambda spec, at=at: spec.content_hashes_before()[at]) for at in (0, 1)],
    "task": [(TaskSpec, lambda spec, parents, at=at: spec.content_hashes_before(parents)[at]) for at in (0, 1)],
    "approval": [(RequestApproval, lambda asked: asked.content_hash_before())],
}


@pytest.mark.parametrize(("what", "said"), [(what, again) for what, _, again in CASES])
async def test_what_has_a_key_of_before_is_found_by_it(
    world: World, what: str, said: Any, monkeypatch: pytest.MonkeyPatch
):
    for at, (model, before) in enumerate(BEFORE[what]):
        key = {"idempotency_key": f"k{at}"}
        with monkeypatch.context() as earlier:
            earlier.setattr(model, "content_hash", before)
            first = await made(world, what, **said | key)
        assert await made(world, what, **said | key) == first
