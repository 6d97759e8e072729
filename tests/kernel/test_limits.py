"""What one caller has and does: counted in one place, and given back however it ends."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mcp_server.kernel import rates
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.limits import SHARES, Caller, Held, Limits, Most, Thing

EVE, ANN, LOCAL = Caller("user:eve"), Caller("user:ann"), Caller("user:local", is_local=True)
FEW = Most(streams=3, uris=3, waits=3, sessions=3, calls=3, body_bytes=3)


class Clock:
    """Time that only the test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("thing", Thing)
def test_a_caller_has_as_much_as_it_may_and_is_told_so_with_when_to_come_again(thing: Thing):
    counts = Limits(FEW)
    refused: list[str] = []
    counts.on_refused = refused.append
    with counts.holding(thing, EVE, 2), counts.holding(thing, EVE):
        with pytest.raises(LimitExceeded, match="user:eve has 3 .* here, and may have 3") as told:
            counts.holding(thing, EVE)
        assert told.value.details["limit"] == thing and told.value.details["retry_after_seconds"] > 0
        assert refused == [thing.value]
        with counts.holding(thing, ANN, 3):
            assert counts.held(thing) == 6
    assert counts.held(thing) == 0
    with counts.holding(thing, EVE, 3):
        pass


def test_however_many_come_first_there_is_room_for_one_more():
    counts = Limits(Most(waits=2))
    had = []
    for name in "abcdef":
        caller, own = Caller(name), 0
        try:
            while True:
                counts.holding(Thing.WAITS, caller)
                own += 1
        except LimitExceeded as error:
            had.append(own)
            assert ("as long as others have theirs" in error.message) is (own < 2)
    assert had == [2, 2, 2, 1, 1, 0]


def test_the_local_user_may_have_all_that_there_is():
    counts = Limits(FEW)
    with counts.holding(Thing.WAITS, LOCAL, SHARES * 3):
        with pytest.raises(LimitExceeded):
            counts.holding(Thing.WAITS, LOCAL)
        with counts.holding(Thing.CALLS, LOCAL):  # another thing
            pass


def test_what_is_given_back_twice_is_given_back_once():
    counts = Limits(FEW)
    with counts.holding(Thing.URIS, EVE, 0) as held, counts.holding(Thing.URIS, EVE):
        held.more(2)
        held.less()
        held.less(7)
        held.release()
        held.release()
        assert counts.held(Thing.URIS) == 1
    assert counts.held(Thing.URIS) == 0


class Counting(RuleBasedStateMachine):
    """Callers that take and give back in any order: the counts are those of what is held, and within bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Limits(FEW)
        self.open: list[tuple[Thing, str, int, Held]] = []

    @rule(thing=st.sampled_from(Thing), caller=st.sampled_from([EVE, ANN, LOCAL]), amount=st.integers(0, 4))
    def take(self, thing: Thing, caller: Caller, amount: int) -> None:
        try:
            self.open.append((thing, caller.label, amount, self.counts.holding(thing, caller, amount)))
        except LimitExceeded:
            assert amount

    @rule(at=st.integers(0, 20))
    def give_back(self, at: int) -> None:
        if at < len(self.open):
            self.open.pop(at)[3].release()

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        for thing in Thing:
            assert self.counts.held(thing) == sum(amount for kind, _, amount, _ in self.open if kind is thing)
            assert self.counts.held(thing) <= SHARES * 3
            for caller in (EVE, ANN):
                own = sum(amount for kind, label, amount, _ in self.open if (kind, label) == (thing, caller.label))
                assert own <= 3

    def teardown(self) -> None:
        for *_, held in self.open:
            held.release()
        assert not any(self.counts.held(thing) for thing in Thing)
        assert not any(counter for counter in self.counts._held.values())  # nobody is remembered


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=30, deadline=None)


@given(seed=st.integers(0, 2**32))
def test_whatever_ends_a_call_leaves_nothing_held(seed: int):
    """Ended by an answer, a bug, a refusal or a cancellation, at any moment."""
    chance = random.Random(seed)
    counts = Limits(FEW)

    async def call(steps: int, ending: type[BaseException] | None) -> None:
        caller = chance.choice((EVE, ANN, LOCAL))
        with counts.holding(Thing.CALLS, caller), counts.holding(Thing.BODY_BYTES, caller, 0) as body:
            for _ in range(steps):
                body.more()
                await asyncio.sleep(0)
            with counts.holding(Thing.WAITS, caller):
                await asyncio.sleep(0)
                if ending is not None:
                    raise ending

    async def main() -> None:
        endings: list[type[BaseException] | None] = [None, ValueError, asyncio.CancelledError]
        calls = [asyncio.create_task(call(chance.randrange(4), chance.choice(endings))) for _ in range(12)]
        for one in calls:
            await asyncio.sleep(0)
            if chance.random() < 0.4:
                one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(main())
    assert not any(counts.held(thing) for thing in Thing)


def test_writes_come_at_once_up_to_a_burst_and_then_at_their_rate():
    clock = Clock()
    counts = Limits(Most(writes_per_second=2, writes_burst=10), clock=clock)
    counts.spend(EVE, 4)
    counts.spend(EVE, 6)
    with pytest.raises(LimitExceeded, match="user:eve may make 2 writes a second here.*Come again in 1.5 s") as told:
        counts.spend(EVE, 3)
    assert told.value.details == {"limit": "writes_per_second", "retry_after_seconds": 1.5}
    counts.spend(ANN, 10)
    clock.now = 1.5
    counts.spend(EVE, 3)
    with pytest.raises(LimitExceeded):
        counts.spend(EVE, 1)
    clock.now = 1000
    counts.spend(EVE, 10)
    with pytest.raises(LimitExceeded):  # rest is not saved up
        counts.spend(EVE, 1)


def test_a_call_of_more_writes_than_may_come_at_once_is_due_once_nothing_else_was_written():
    clock = Clock()
    counts = Limits(Most(writes_per_second=1, writes_burst=5), clock=clock)
    counts.spend(EVE, 20)
    with pytest.raises(LimitExceeded) as told:
        counts.spend(EVE, 20)
    clock.now = told.value.details["retry_after_seconds"]
    counts.spend(EVE, 20)


def test_rates_of_those_who_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rates, "REMEMBERED", 10)
    clock = Clock()
    counts = Limits(clock=clock)
    for number in range(1000):
        clock.now += 1
        counts.spend(Caller(f"user:{number}"), 1)
    assert len(counts._writes._due) <= 11


def test_a_stream_of_too_many_resources_is_refused():
    counts = Limits(Most(uris_per_stream=2))
    counts.require_few(2)
    with pytest.raises(LimitExceeded, match="at most 2 resources, and this one would watch 3"):
        counts.require_few(3)


def test_what_is_counted_is_said_of_each_thing():
    said: Callable[[Thing], Any] = Most().of
    assert all(said(thing) > 0 for thing in Thing)
