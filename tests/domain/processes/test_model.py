"""The rules of supervised processes: which states there are, what is done next, in whatever order things happen."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.processes.model import CRASH_LOOP_SECONDS, WELL_FOR, Process, Started, Want, pause
from mcp_server.domain.processes.running import Exit, Identity, Stop
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.times import SECOND

WANT = Want("instance_a", "agent", "agent_a", 0, "launcher:it", RawJson('{"launcher": "it"}'))
PLACE = Started("here", Identity(7, "100", "boot"), Stop("SIGINT", 2.5), "/logs/instance_a.log")
CRASH = Exit(code=3, text="exit code 3")


def running(at: int = 0) -> Process:
    process, _ = Process.first_wanted(WANT, at)
    return process.begun(PLACE, at)[0]


def failing(times: int) -> Process:
    process, _ = Process.first_wanted(WANT, 0)
    for at in range(times):
        process = process.begun(PLACE, at)[0].ended(CRASH, at)[0]
    return process


def test_the_first_failure_is_mended_at_once_and_further_ones_rest_longer_and_longer():
    assert [pause(number) for number in (1, 2, 3, 4)] == [
        ("starting", 0.0),
        ("backoff", 0.5),
        ("backoff", 1.0),
        ("backoff", 2.0),
    ]
    assert pause(5) == pause(500) == ("crash_loop", CRASH_LOOP_SECONDS)


def test_one_that_fails_again_and_again_is_in_a_crash_loop_says_why_and_is_tried_again_a_minute_later():
    process = failing(5)
    assert (process.status, process.reason, process.failures) == ("crash_loop", "it ended: exit code 3", 5)
    assert process.retry_at is not None
    assert process.step(process.retry_at - 1, is_held=False) is None
    assert process.step(process.retry_at, is_held=False) == "start"


def test_failures_are_forgotten_once_it_ran_well():
    process = failing(4).begun(PLACE, 0)[0].ended(CRASH, WELL_FOR)[0]
    assert (process.failures, process.status) == (1, "starting")


def test_being_wanted_again_ends_a_crash_loop():
    process, _ = failing(7).wanted_again(WANT, 9)
    assert (process.status, process.failures, process.reason) == ("starting", 0, None)
    assert process.step(9, is_held=False) == "start"


def test_one_that_is_not_wanted_is_asked_to_end_then_killed_and_stays_stopped():
    process, _ = running().unwanted("scaled down", 0)
    assert process.step(0, is_held=True) == "end"
    process, _ = process.asked_to_end("scaled down", at_once=False, now=0)
    assert process.stop == Stop("SIGINT", 2.5)
    assert process.step(2 * SECOND, is_held=True) is None and process.next_at == 2_500_000
    assert process.step(2_500_000, is_held=True) == "kill"
    process, _ = process.ended(Exit(signal=9, text="signal 9 (SIGKILL)"), 3 * SECOND)
    assert (process.status, process.reason, process.pid) == ("stopped", "scaled down", None)
    assert process.step(10**12, is_held=False) is None


def test_one_that_was_never_started_stops_as_soon_as_it_is_not_wanted():
    process, _ = Process.first_wanted(WANT, 0)
    assert process.unwanted("no", 1)[0].status == "stopped"


def test_what_runs_and_is_in_nobodys_hand_is_looked_for_before_anything_else():
    for process in (running(), running().unwanted("no", 0)[0], running().asked_to_end("x", at_once=True, now=0)[0]):
        assert process.step(10**12, is_held=False) == "find"


def test_one_whose_host_is_lost_is_started_elsewhere_and_one_nobody_wants_is_not():
    lost, _ = running().abandoned("there", 5)
    assert (lost.status, lost.host, lost.pid) == ("starting", "there", None)
    assert running().unwanted("no", 1)[0].abandoned("there", 5)[0].status == "stopped"


MOVES: dict[str, Any] = {
    "wanted_again": lambda process, at: process.wanted_again(WANT, at),
    "respecified": lambda process, at: process.respecified(RawJson(f'{{"at": {at}}}'), at),
    "unwanted": lambda process, at: process.unwanted("no", at),
    "begun": lambda process, at: process.begun(PLACE, at),
    "taken_over": lambda process, at: process.taken_over(at),
    "asked_to_end": lambda process, at: process.asked_to_end("why", at_once=at % 2 == 0, now=at),
    "ended": lambda process, at: process.ended(CRASH, at),
    "not_started": lambda process, at: process.not_started("why", at),
    "abandoned": lambda process, at: process.abandoned("there", at),
}
RUNS = ("taken_over", "asked_to_end", "ended", "abandoned")
RUNS_NOT = ("begun", "not_started")


def is_legal(name: str, process: Process) -> bool:
    """Whether the transaction functions would let this happen."""
    if name in RUNS:
        return process.pid is not None
    return name not in RUNS_NOT or (process.pid is None and bool(process.wanted))


@given(st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 20 * SECOND)), max_size=30))
def test_in_any_history_the_states_agree_with_what_runs_and_rows_are_the_fold_of_events(
    history: list[tuple[str, int]],
):
    process, event = Process.first_wanted(WANT, 0)
    row = {"id": process.id, "version": 1} | dict(event.data)
    now = 0
    for name, seconds in history:
        now += seconds
        if not is_legal(name, process):
            continue
        process, event = MOVES[name](process, now)
        row |= dict(event.data) | {"version": event.version}
        assert json.loads(json.dumps(row)) == json.loads(json.dumps(process.fields()))
        assert (process.status in ("running", "stopping")) == (process.pid is not None)
        assert (process.status == "stopped") == (process.pid is None and not process.wanted)
        assert process.pid is None or process.host is not None
        assert process.wanted or process.step(now, is_held=False) != "start"
