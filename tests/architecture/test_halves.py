"""What is left to CI where a rule is proved on two engines: a half that brings its engine nothing new."""

import pytest

from tests.halves import Halves, is_in_a_world_alone, watch
from tests.world import World

pytestmark = pytest.mark.anyio


def test_a_half_is_spared_where_its_engine_has_met_all_that_the_other_half_ran():
    halves = Halves("postgres")
    halves.begin("one", "sqlite")
    halves.meet("sqlite", "task_by_id", "task_status")
    assert not halves.is_met("one") and not halves.is_met("one that has not run here")
    halves.begin("one", "postgres")
    halves.meet("postgres", "task_by_id")
    halves.begin("another", "sqlite")
    halves.meet("sqlite", "task_by_id", "task_status")
    assert halves.is_met("another")
    halves.meet("sqlite", "tasks_find")
    assert not halves.is_met("another")


async def test_it_is_told_which_statements_and_columns_an_engine_meets(world: World, monkeypatch: pytest.MonkeyPatch):
    halves, engine = Halves("none"), world.url.partition(":")[0].removesuffix("ql")
    watch(halves, monkeypatch)
    halves.begin("this", engine)
    task = await world.task(title="t")
    await world.status(task)
    met = halves.met(engine)
    assert {("tasks", True, "title", False), ("tasks", True, "due_at", True)} <= met
    assert {("task_by_id", ()), ("task", ())} & met


async def test_who_knows_a_database_through_a_world_only_may_be_spared(world: World, request: pytest.FixtureRequest):
    assert is_in_a_world_alone(request.node)


async def test_who_asks_for_the_engine_itself_runs_on_both(world: World, url: str, request: pytest.FixtureRequest):
    assert world.url == url and not is_in_a_world_alone(request.node)
