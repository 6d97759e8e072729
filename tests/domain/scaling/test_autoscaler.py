"""How many instances there are to be: by rules, without flapping, and each decision says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.agents.commands import ScalingSpec
from mcp_server.domain.scaling.model import Decision, Seen, decide, kept
from mcp_server.kernel.times import SECOND
from tests.domain.scaling.simulation import LOADS, simulate

POLICY = ScalingSpec(min=0, max=12, target_ready_per_instance=2, up_delay_seconds=5, down_delay_seconds=60)


def seen(*work: tuple[int, int, int]) -> list[Seen]:
    """At seconds: ready and running."""
    return [Seen(at * SECOND, ready, running) for at, ready, running in work]


def decided(policy: ScalingSpec, desired: int, *work: tuple[int, int, int]) -> int:
    decision = decide(policy, seen(*work), desired)
    return desired if decision is None else decision.after


def test_more_is_wanted_only_when_it_was_wanted_for_the_whole_delay():
    assert decided(POLICY, 0, (0, 10, 0), (4, 10, 0)) == 0
    assert decided(POLICY, 0, (0, 10, 0), (5, 10, 0)) == 5
    assert decided(POLICY, 0, (0, 10, 0), (3, 0, 0), (5, 10, 0)) == 0
    assert decided(POLICY, 0, (0, 10, 0), (3, 4, 0), (5, 24, 0)) == 2, "the least that was wanted"


def test_fewer_are_wanted_only_when_no_more_were_wanted_for_the_whole_delay_and_none_at_all_when_idle():
    assert decided(POLICY, 5, (0, 0, 0), (59, 0, 0)) == 5
    assert decided(POLICY, 5, (0, 0, 0), (60, 0, 0)) == 0
    assert decided(POLICY, 5, (0, 0, 0), (30, 6, 0), (60, 0, 0)) == 3, "the most that was wanted"


def test_what_runs_counts_as_work_and_bounds_are_kept():
    assert decided(POLICY, 1, (0, 0, 2), (60, 0, 2)) == 1
    assert decided(POLICY, 0, (0, 900, 0), (5, 900, 0)) == 12
    assert decided(POLICY.model_copy(update={"min": 2}), 3, (0, 0, 0), (60, 0, 0)) == 2


def test_without_a_delay_one_look_decides():
    assert decided(POLICY.model_copy(update={"up_delay_seconds": 0}), 0, (7, 3, 0)) == 2


def test_a_decision_names_what_it_rests_on():
    decision = decide(POLICY, seen((0, 10, 0), (5, 9, 1)), 0)
    assert decision == Decision(
        5 * SECOND,
        0,
        5,
        "9 tasks ready and 1 running, 2 per instance: at least 5 wanted for 5 s",
        9,
        1,
        "autoscaler",
    )
    told = decision.told(is_started=False, capacity=5)
    assert (told["from"], told["to"], told["ready"], told["starts_instances"]) == (0, 5, 9, False)
    assert "not started" in told["note"] and "note" not in decision.told(is_started=True, capacity=5)
    assert "at most 4 tasks at once" in decision.told(is_started=True, capacity=4)["note"]


WORK = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40), st.integers(0, 10)), min_size=1, max_size=40)


@given(WORK, st.integers(0, 12))
def test_what_is_kept_of_what_was_seen_decides_as_all_of_it_would(work: list[tuple[int, int, int]], desired: int):
    at, every, some = 0, list[Seen](), list[Seen]()
    for seconds, ready, running in work:
        at += seconds
        one = Seen(at * SECOND, ready, running)
        every.append(one)
        some = kept(POLICY, [*some, one])
        decision = decide(POLICY, some, desired)
        assert decision == decide(POLICY, every, desired)
        assert decision is None or (decision.after != desired and POLICY.within(decision.after) == decision.after)


PERIODS = 4
"""Of the slow sawtooth, whose pauses are longer than the delay: it goes up and down once in each. The quick one has 26
teeth, of which all but the first few, when the backlog of the start is worked off, change nothing."""


@pytest.mark.parametrize(
    ("load", "turns_max"), [("ramp", 1), ("spike", 2), ("sawtooth", 3), ("slow sawtooth", 2 * PERIODS), ("idle", 0)]
)
def test_the_number_of_instances_follows_a_load_and_does_not_flap(load: str, turns_max: int):
    result = simulate(LOADS[load], POLICY)
    assert result.turns <= turns_max, result.changes


@pytest.mark.parametrize("load", ["ramp", "spike", "sawtooth", "slow sawtooth"])
def test_it_costs_less_than_as_many_instances_as_the_peak_needs_and_waits_stay_bounded(load: str):
    scaled, fixed = simulate(LOADS[load], POLICY), simulate(LOADS[load], None, POLICY.max)
    assert scaled.instance_seconds < 0.8 * fixed.instance_seconds
    assert scaled.p95_wait <= 30 and len(scaled.waits) >= len(fixed.waits) - 20


def test_idle_costs_nothing():
    assert simulate(LOADS["idle"], POLICY).instance_seconds == 0
