"""Several attempts that end in one call: each for itself, as if it had come alone, and all in one transaction."""

from random import Random
from typing import Any

import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks import transactions
from mcp_server.domain.tasks.commands import EndAttempt, FinishTask, FinishTasks
from mcp_server.domain.tasks.results import ClaimedTask, FinishedTasks
from mcp_server.kernel.errors import NotFound, OpsError
from tests.world import World

pytestmark = pytest.mark.anyio

GONE = "task_bbbbbbbbbbbb"


def ended(claimed: ClaimedTask, **said: Any) -> dict[str, Any]:
    return {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"} | said


async def finish(world: World, *said: dict[str, Any]) -> FinishedTasks:
    return await world.desk.tasks.finish_many(world.call, FinishTasks.model_validate({"tasks": said}))


async def claimed(world: World, *specs: dict[str, Any]) -> list[ClaimedTask]:
    """Tasks, claimed in the order in which they were created."""
    worker = await world.agent(capacity=100)
    await world.created(*specs)
    return await world.claim(worker, max_tasks=len(specs))


async def told(world: World, since: str | None = None) -> tuple[list[tuple[str, str | None]], str | None]:
    """What happened to tasks, and where that ends."""
    events, cursor, *_ = await world.desk.events.read(world.call, ReadEvents(after=since, limit=100))
    return [(event.type, event.aggregate_id) for event in events if event.type.startswith("task.")], cursor


async def test_each_of_several_is_accepted_or_refused_for_itself(world: World):
    one, two, three = await claimed(world, {}, {}, {})
    both, last = await world.tasks({"depends_on": [one.task.id, two.task.id]}, {"depends_on": [one.task.id]})
    stale = ended(two, lease_token="lease_of_another")
    failed = ended(three, outcome="failed", error={"message": "it broke", "retryable": False})
    done = await finish(world, ended(one, result={"n": 1}), stale, failed, ended(one, task_id=GONE))
    assert [(task.id, task.status) for task in done.tasks] == [(one.task.id, "completed"), (three.task.id, "failed")]
    assert done.released == [last.id] and done.still_waiting == {both.id: [two.task.id]}
    assert done.refused is not None
    assert [(each.id, each.code) for each in done.refused] == [(two.task.id, "lease_lost"), (GONE, "not_found")]
    assert "Nothing of it was changed" in done.refused[0].message, "the others were"
    assert (await world.desk.tasks.get(world.call, one.task.id)).result == {"n": 1}
    assert (await world.desk.tasks.get(world.call, two.task.id)).status == "running"
    done = await finish(world, ended(two))
    assert done.released == [both.id] and done.refused is None and done.still_waiting is None


async def test_a_repeat_counts_as_accepted_and_changes_nothing_and_one_that_says_something_else_is_refused(
    world: World,
):
    one, two = await claimed(world, {}, {})
    await world.finish(one, result=1)
    _, before = await told(world)
    done = await finish(world, ended(one, result=1), ended(two), ended(two), ended(two, result=2))
    assert [task.id for task in done.tasks] == [one.task.id, two.task.id, two.task.id]
    assert done.refused is not None and [each.code for each in done.refused] == ["lease_lost"]
    assert (await told(world, before))[0] == [("task.completed", two.task.id)]
    command = FinishTask.model_validate(ended(two))
    assert (await world.desk.tasks.finish(world.call, command)).repeated is True


async def test_what_is_refused_after_it_has_written_something_undoes_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    one, two = await claimed(world, {}, {})
    real = transactions.after_end

    def refuses(tx: Any, origin: Any, task: Any, cause: int) -> list[str]:
        if task.id == two.task.id:
            raise NotFound("It is not there.")
        return real(tx, origin, task, cause)

    monkeypatch.setattr(transactions, "after_end", refuses)
    with pytest.raises(NotFound):
        await finish(world, ended(one), ended(two))
    monkeypatch.undo()
    assert (await world.desk.tasks.get(world.call, one.task.id)).status == "running"
    assert len((await finish(world, ended(one), ended(two))).tasks) == 2


def _said(chance: Random, held: list[ClaimedTask]) -> list[dict[str, Any]]:
    """Finishes of every sort of some tasks, some of them twice."""
    ways: list[dict[str, Any]] = [
        {},
        {"result": {"n": 1.0}, "usage": {"input_tokens": 3}},
        {"outcome": "failed", "error": {"message": "no"}},
        {"outcome": "failed", "error": {"message": "no", "retryable": False}},
        {"lease_token": "lease_of_another"},
        {"task_id": GONE},
    ]
    return [ended(one, **chance.choice(ways)) for one in chance.choices(held, k=2 * len(held))]


async def _alone(world: World, said: list[dict[str, Any]]) -> list[str]:
    """What comes of them one after the other."""
    came: list[str] = []
    for one in said:
        try:
            command = EndAttempt.model_validate(one)
            done = await world.desk.tasks.finish(world.call, FinishTask(**command.model_dump(exclude_unset=True)))
            came.append(done.task.status)
        except OpsError as error:
            came.append(error.code)
    return came


@pytest.mark.parametrize("seed", range(4))
async def test_several_at_once_come_to_what_they_come_to_one_after_the_other(world: World, seed: int):
    specs = [{"retry": {"max_attempts": 2, "delay_seconds": 60}} if n % 2 else {} for n in range(6)]
    alone, together = await claimed(world, *specs), await claimed(world, *specs)
    for held in (alone, together):
        ids = [one.task.id for one in held]
        await world.created(*({"depends_on": ids[n : n + 2], "on_parent_failure": "run_anyway"} for n in range(5)))
    _, start = await told(world)
    apart = _said(Random(seed), alone)
    came = await _alone(world, apart)
    first, middle = await told(world, start)
    done = await finish(world, *_said(Random(seed), together))
    second, _ = await told(world, middle)
    accepted, refused = iter(done.tasks), iter(done.refused or ())
    codes = {"lease_lost", "not_found"}
    assert [next(refused).code if one in codes else next(accepted).status for one in came] == came
    assert [kind for kind, _ in first] == [kind for kind, _ in second]
