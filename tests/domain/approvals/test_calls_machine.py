"""Any order of answers, attempts that die, lapsed leases, lost rights and retries: an approval's calls are made once at
most, never after a no, and never without enough who said yes."""

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mcp_server.app import desk_on
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.principals import KEYS, Principals
from mcp_server.domain.approvals.transactions import CALLS_KIND
from mcp_server.domain.areas import AREAS
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import OpsError
from mcp_server.runtime.system_worker import SystemWorker
from tests.world import Ids, caller, open_world

T = TypeVar("T")
ASKER = caller(id="asker")


class Life(RuleBasedStateMachine):
    """One approval of two, with one call."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = contextlib.AsyncExitStack()
        self.rights = frozenset(Permission)
        self.said: dict[str, bool] = {}
        self.run(self.begin())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def begin(self) -> None:
        self.world = await self.stack.enter_async_context(open_world(f"sqlite:///{self.folder.name}/desk.db"))
        world = self.world
        told = {"clock": world.clock, "steady": world.clock.steady, "ids": Ids(), "chance": lambda: 0.5}
        world.desk = desk_on(world.database, Principals(KEYS, lambda label: self.rights), **told)
        note = {"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": "by the approval"}}
        command = RequestApproval.model_validate({"title": "t", "approvers": ["a", "b"], "quorum": 2, "calls": [note]})
        self.asked = (await world.desk.approvals.request(ASKER, command)).approval

    @rule(who=st.sampled_from(["a", "b", "c"]), granted=st.booleans())
    def somebody_answers(self, who: str, granted: bool) -> None:
        async def answer() -> None:
            with contextlib.suppress(OpsError):
                await self.world.decide(caller(id=who), self.asked.id, granted)
                self.said[who] = granted

        self.run(answer())

    @rule(dies=st.sampled_from(["before", "after", "never"]))
    def a_server_takes_it_up(self, dies: str) -> None:
        async def attempt() -> None:
            worker = SystemWorker(self.world.desk, AREAS.kinds)
            for claimed in await self.world.desk.system.claim({f"{CALLS_KIND}{KEYS}": 1}, 30):
                if dies == "before":
                    return
                ended = await worker._attempt(claimed)
                if dies == "never":
                    with contextlib.suppress(OpsError):
                        await self.world.desk.tasks.finish(self.world.call, ended)

        self.run(attempt())

    @rule(seconds=st.sampled_from([5, 40]))
    def time_passes(self, seconds: int) -> None:
        async def passes() -> None:
            self.world.clock.advance(seconds)
            await self.world.settle()

        self.run(passes())

    @rule(action=st.sampled_from(["cancel", "retry", "pause", "resume"]))
    def an_operator_interferes(self, action: Any) -> None:
        command = ControlTasks(task_ids=(self.asked.task_id,), action=action)
        self.run(self.world.desk.tasks.control(self.world.call, command))

    @rule(has=st.booleans())
    def rights_come_and_go(self, has: bool) -> None:
        self.rights = frozenset(Permission) if has else frozenset()

    @invariant()
    def it_was_done_once_at_most_and_with_their_yes(self) -> None:
        events, _ = self.run(self.world.desk.events.read(self.world.call, ReadEvents(type="document.set")))
        made = [event for event in events if event.actor == "user:asker"]
        approval = self.run(self.world.desk.approvals.get(self.world.call, self.asked.id))
        assert len(made) <= 1
        assert bool(made) == (approval.ran_at is not None)
        if made:
            assert approval.status == "approved" and self.said.get("a") and self.said.get("b")
        if approval.status in ("rejected", "stale", "withdrawn", "pending"):
            assert not made

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.loop.close()
        self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=5, stateful_step_count=12, deadline=None)


@pytest.mark.slow
class TestLongLife(Life.TestCase):
    settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
