"""Turns: while several callers are about, one's calls come one after the other; others' come between."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel import turns
from mcp_server.kernel.limits import Caller
from mcp_server.kernel.turns import Line, Turn, Turns

pytestmark = pytest.mark.anyio
EVE, ANN, LOCAL = Caller("user:eve"), Caller("user:ann"), Caller("user:local", is_local=True)


class Desk:
    """Counts whose calls are under way."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.order: list[str] = []

    async def call(self, caller: Caller, steps: int = 3) -> None:
        turn = await self.turns.take(caller)
        self.now[caller.label] = self.now.get(caller.label, 0) + 1
        self.most[caller.label] = max(self.most.get(caller.label, 0), self.now[caller.label])
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            self.order.append(caller.label)
        finally:
            self.now[caller.label] -= 1
            turn.done()
            turn.done()


async def test_while_another_is_about_calls_come_one_after_the_other_and_the_others_come_between():
    desk = Desk()
    await desk.call(ANN)
    flood = asyncio.gather(*(desk.call(EVE) for _ in range(100)))
    while len(desk.order) < 10:
        await asyncio.sleep(0)
    await desk.call(ANN)
    assert desk.order.count("user:eve") < 20  # it did not wait for the whole flood
    await flood
    assert desk.most == {"user:eve": 1, "user:ann": 1}


async def test_who_calls_again_only_once_it_was_answered_never_rests():
    desk = Desk()
    await desk.call(ANN)
    for _ in range(3):
        turn = await desk.turns.take(EVE)
        assert desk.turns.is_taken(EVE)
        turn.done()
        assert not desk.turns.is_taken(EVE)
    turn = await desk.turns.take(EVE)
    behind = asyncio.create_task(desk.call(EVE))
    await asyncio.sleep(0)
    turn.done()
    assert desk.turns.is_taken(EVE)  # it rests, since one stands there
    await behind


async def test_who_is_answered_frees_the_turn_unless_one_stands_there_who_waits_as_long_as_all_of_the_call_took():
    desk, now = Desk(), asyncio.get_running_loop().time
    await desk.call(ANN)
    turn = await desk.turns.take(EVE)
    turn.answered()
    assert not desk.turns.is_taken(EVE)
    began, turn = now(), await desk.turns.take(EVE)
    behind = asyncio.create_task(desk.turns.take(EVE))
    await asyncio.sleep(0)
    turn.answered()
    await asyncio.sleep(0.02)  # what is done once it was answered
    took = now() - began
    turn.done()
    ended = now()
    (await behind).done()
    assert now() - ended >= took - 0.001


async def test_who_is_alone_and_the_local_user_wait_for_nobody():
    desk = Desk()
    await asyncio.gather(*(desk.call(EVE) for _ in range(20)), *(desk.call(LOCAL) for _ in range(20)))
    assert desk.most == {"user:eve": 20, "user:local": 20}


async def test_who_has_not_been_seen_for_a_while_is_not_about(monkeypatch: pytest.MonkeyPatch):
    desk = Desk()
    await asyncio.gather(desk.call(ANN), *(desk.call(Caller(f"user:{number}")) for number in range(50)))
    monkeypatch.setattr(turns, "ABOUT_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await asyncio.gather(*(desk.call(EVE) for _ in range(20)))
    assert desk.most["user:eve"] > 1
    assert list(desk.turns._lines) == ["user:eve"]  # nothing is kept of who has gone


async def test_who_has_not_come_for_a_while_keeps_its_line_as_long_as_a_call_of_its_own_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
):
    desk = Desk()
    await desk.call(ANN)
    turn, anothers = await desk.turns.take(EVE), await desk.turns.take(ANN)
    monkeypatch.setattr(turns, "ABOUT_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    behind = asyncio.create_task(desk.call(EVE))
    await asyncio.sleep(0)
    assert desk.turns.is_taken(EVE) and "user:eve" not in desk.now
    turn.done()
    await behind
    anothers.done()


async def test_a_call_that_takes_long_or_only_waits_holds_up_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "TURN_SECONDS_MAX", 0.02)
    desk = Desk()
    await desk.call(ANN)
    slow = await desk.turns.take(EVE)
    async with asyncio.timeout(60):
        waits = await desk.turns.take(EVE)  # the slow one never said that it was done
        waits.done()
        await desk.call(EVE)
    slow.done()


async def test_one_that_is_cancelled_in_the_line_or_in_its_turn_holds_up_nobody():
    desk = Desk()
    await desk.call(ANN)
    first = await desk.turns.take(EVE)
    line = [asyncio.create_task(desk.call(EVE, steps=1000)) for _ in range(10)]
    await asyncio.sleep(0)
    for one in line[::2]:
        one.cancel()
    first.done()
    while "user:eve" not in desk.now:
        await asyncio.sleep(0)
    for one in line:
        one.cancel()
    await asyncio.gather(*line, return_exceptions=True)
    async with asyncio.timeout(60):
        await desk.call(EVE)


class Row:
    """Those who stand in one line, of whom some give up."""

    def __init__(self) -> None:
        self.line = Line()
        self.having: list[Turn] = []
        self.waiting: dict[int, asyncio.Task[None]] = {}

    async def come(self, number: int) -> None:
        if number not in self.waiting:
            self.waiting[number] = asyncio.create_task(self._come())
        await asyncio.sleep(0)

    async def _come(self) -> None:
        if self.line.is_taken:
            await self.line.wait()
        self.having.append(Turn(self.line))

    async def give_up(self, number: int) -> None:
        if number in self.waiting:
            self.waiting.pop(number).cancel()

    async def end(self, _: int) -> None:
        assert len(self.having) <= 1
        if self.having:
            self.having.pop().done()


@given(st.lists(st.tuples(st.sampled_from([Row.come, Row.give_up, Row.end]), st.integers(0, 9)), max_size=60))
async def test_whoever_gives_up_at_any_moment_two_never_have_the_turn_and_the_next_gets_it(steps: list[Any]):
    row = Row()
    for step, number in steps:
        await step(row, number)
    while row.line.is_taken:
        await asyncio.sleep(0)
        await row.end(0)
    await asyncio.gather(*row.waiting.values(), return_exceptions=True)
    assert not row.having and not row.line.behind
