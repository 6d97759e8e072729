"""The oracle of the chaos would notice: each fault that it looks for is planted between the workers and a real server,
and named; without one it finds nothing. Nobody is killed here, so that nothing else can be the cause."""

import copy
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

import pytest

from tests.faults import test_everything_at_once as chaos
from tests.faults.chaos.approvals import Approvals
from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Refused, Seat, seed
from tests.faults.chaos.locks import Locks
from tests.faults.chaos.mails import Mails
from tests.faults.chaos.messages import Messages
from tests.faults.chaos.schedules import Schedules
from tests.faults.chaos.state import COUNTERS, State
from tests.faults.chaos.tasks import RETRY, Tasks
from tests.faults.test_mail_processes import smtp
from tests.integrations.smtp_servers import smtp_server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
Arguments = dict[str, Any]
Answer = dict[str, Any]
Wire = Callable[..., Awaitable[Answer]]
Fault = Callable[[Wire, str, Arguments], Awaitable[Answer]]
"""What becomes of a call on its way: the wire to the server, the tool, its arguments."""
QUIET_SECONDS = 3
"""How long work is made at least, where nobody is killed."""
STUCK_SECONDS = 6


class PlantedSeat(Seat):
    """A server whose calls and answers meet a fault on their way."""

    def __init__(self, number: int, url: str, settings: dict[str, str], fleet: Fleet, fault: Fault | None) -> None:
        super().__init__(number, url, settings, fleet.happened)
        self.fault = fault

    async def call(self, tool: str, **arguments: Any) -> Answer:
        """As a server that had the fault would answer."""
        if self.fault is None:
            return await super().call(tool, **arguments)
        return await self.fault(super().call, tool, arguments)


class QuietFleet(Fleet):
    """Two servers in whose way nothing is but the fault."""

    def __init__(self, url: str, settings: dict[str, str], fault: Fault | None) -> None:
        super().__init__(url, seed(), settings, seats=0)
        self.seats = [PlantedSeat(number, url, settings, self, fault) for number in range(2)]

    async def trouble(self, seconds: float, is_enough: Callable[[], bool], *, long: bool) -> None:
        """None, for as long as there is work."""
        self.happened["frozen"] = 1  # which is asked for, and would change nothing here
        passed = 0.0
        while passed < seconds or (passed < 100 and not is_enough()):
            await self.pause(0.2, 0.2)
            passed += 0.2


# State


def unconditional() -> Fault:
    """Every other write looks at no version."""
    turns = count()

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        if arguments.get("key") in COUNTERS and tool == "state_set" and next(turns) % 2:
            arguments = arguments | {"expected_version": None}
        return await wire(tool, **{name: value for name, value in arguments.items() if value is not None})

    return fault


async def forgotten(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """What is appended is acknowledged, and written nowhere."""
    if tool == "state_patch" and arguments["key"] == "list":
        now = await wire("state_get", namespace=arguments["namespace"], key="list")
        return {"document": {"version": now["document"]["version"] + 1}}
    return await wire(tool, **arguments)


async def written_all_the_same(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """What is refused has counted."""
    try:
        return await wire(tool, **arguments)
    except Refused as refused:
        if refused.code == "conflict":
            await wire(tool, **{name: value for name, value in arguments.items() if name != "expected_version"})
        raise


# Tasks


def given_twice() -> Fault:
    """What one was given, another is given as well."""
    last: list[Answer] = []

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        if tool != "tasks_claim":
            return await wire(tool, **arguments)
        if last and last[0]["to"] != arguments["agent_id"]:
            return last.pop()["answer"]
        answer = await wire(tool, **arguments)
        if answer["claims"]:
            last[:] = [{"to": arguments["agent_id"], "answer": copy.deepcopy(answer)}]
        return answer

    return fault


def not_finished() -> Fault:
    """A finish is acknowledged, and the task goes on."""
    finishes = count()

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        # A failure that is tried again would go on anyway.
        if tool == "tasks_finish" and arguments["outcome"] == "completed" and next(finishes) == 2:
            return {"task": {"id": arguments["task_id"], "status": arguments["outcome"]}, "repeated": False}
        return await wire(tool, **arguments)

    return fault


async def another_result(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """A result is kept that nobody sent."""
    if "result" in arguments:
        arguments = arguments | {"result": {"by": "somebody else"}}
    return await wire(tool, **arguments)


async def independent(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """Dependencies are forgotten."""
    if tool == "tasks_create":
        arguments = {"tasks": [task | {"depends_on": []} for task in arguments["tasks"]]}
    return await wire(tool, **arguments)


# Locks


def shared() -> Fault:
    """Who asks for a lock that is held is given it, too."""
    held: dict[str, Answer] = {}

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        if tool == "locks_acquire" and (other := held.pop(arguments["name"], None)) is not None:
            return other
        if tool == "locks_release":
            held.pop(arguments["name"], None)
            with suppress(Refused):
                return await wire(tool, **arguments)
            return {}
        answer = await wire(tool, **arguments)
        if tool == "locks_acquire" and "lock" in answer:
            held[arguments["name"]] = copy.deepcopy(answer)
        return answer

    return fault


def falling() -> Fault:
    """Fencing numbers fall."""
    numbers = count(10**6, -1)

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        answer = await wire(tool, **arguments)
        if tool == "locks_acquire" and "lock" in answer:
            answer["lock"]["fencing_token"] = next(numbers)
        return answer

    return fault


# Messages


async def sent_twice(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """Keys do not count."""
    if tool in ("messages_send", "email_send"):
        await wire(tool, **arguments | {"idempotency_key": f"{arguments['idempotency_key']} again"})
    return await wire(tool, **arguments)


def lost() -> Fault:
    """A message is acknowledged, and goes nowhere."""
    sent = count()

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        if tool == "messages_send" and next(sent) == 3:
            return {}
        return await wire(tool, **arguments)

    return fault


def taken_twice() -> Fault:
    """What one read has taken, the next one takes as well."""
    before: dict[str, Answer] = {}

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        takes = tool == "messages_read" and arguments.get("limit") == 5
        if takes and (page := before.pop(arguments["as_agent"], None)) is not None:
            return page
        answer = await wire(tool, **arguments)
        if takes and answer["messages"]:
            before[arguments["as_agent"]] = copy.deepcopy(answer)
        return answer

    return fault


async def unacknowledged(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """An acknowledgement is heard, and not kept."""
    arguments = {name: value for name, value in arguments.items() if name != "acknowledge"}
    return await wire(tool, **arguments)


# Mails


def called_off() -> Fault:
    """A mail that was accepted goes nowhere."""
    mails = count()

    async def fault(wire: Wire, tool: str, arguments: Arguments) -> Answer:
        if tool != "email_send" or next(mails) != 1:
            return await wire(tool, **arguments)
        answer = await wire(tool, **arguments | {"send_at": "in 1 hour"})
        await wire("tasks_control", action="cancel", task_ids=[answer["email"]["task_id"]])
        return answer

    return fault


# Approvals and schedules


async def decided_twice(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """Who comes too late is told that it counted."""
    try:
        return await wire(tool, **arguments)
    except Refused:
        if tool == "approvals_decide":
            return {"approval": {"status": "rejected"}}
        raise


async def decided_otherwise(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """A no is told as a yes."""
    answer = await wire(tool, **arguments)
    if tool == "approvals_decide":
        answer["approval"]["status"] = {"approved": "rejected"}.get(answer["approval"]["status"], "approved")
    return answer


async def fired_twice(wire: Wire, tool: str, arguments: Arguments) -> Answer:
    """A schedule's minute is done twice."""
    if tool == "tasks_control" and arguments["action"] == "cancel":
        schedule = arguments["task_ids"][0]
        (fired, *_) = (await wire("tasks_find", parent_id=schedule))["tasks"]
        events = (await wire("events_read", aggregate_id=fired["id"], type="task.created"))["events"]
        again = {"title": "again", "parent_id": schedule, "run_at": events[0]["data"]["run_at"], "retry": RETRY}
        await wire("tasks_create", tasks=[again])
    return await wire(tool, **arguments)


class Plant(NamedTuple):
    """A fault, the part that is to notice it, and what it is to say."""

    part: type[Part]
    fault: Callable[[], Fault]
    says: str = ""


PLANTS = {
    "a minute is done twice": Plant(Schedules, lambda: fired_twice, "again"),
    "a write looks at no version": Plant(State, unconditional, "counter"),
    "a write is acknowledged and not there": Plant(State, lambda: forgotten, "version|list"),
    "a write that was refused has counted": Plant(State, lambda: written_all_the_same, "counter"),
    "a task is given to two": Plant(Tasks, given_twice, "given to"),
    "a finish is acknowledged and not done": Plant(Tasks, not_finished, "attempt"),
    "a result is kept that nobody sent": Plant(Tasks, lambda: another_result, "somebody else"),
    "dependencies are forgotten": Plant(Tasks, lambda: independent, "dropped"),
    "a lock is given to two": Plant(Locks, shared, "Held"),
    "fencing numbers fall": Plant(Locks, falling, "lock-"),
    "a message is delivered twice": Plant(Messages, lambda: sent_twice, "stuck|reader-"),
    "a message is never delivered": Plant(Messages, lost, "stuck"),
    "a message is taken twice": Plant(Messages, taken_twice, "taken twice"),
    "an acknowledgement is not kept": Plant(Messages, lambda: unacknowledged, "reader-"),
    "a mail is sent twice": Plant(Mails, lambda: sent_twice),
    "a mail is accepted and goes nowhere": Plant(Mails, called_off, "cancelled"),
    "two answers count": Plant(Approvals, lambda: decided_twice, "decided twice"),
    "a no is told as a yes": Plant(Approvals, lambda: decided_otherwise),
}


def causes(error: BaseException) -> Iterator[BaseException]:
    """What failed, all of it."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from causes(one)
    else:
        yield error


async def lived(url: str, kind: type[Part], fault: Fault | None) -> None:
    """A part lives with a fault in its way, and looks at what came of it."""
    with smtp_server() as (mailbox, port):
        fleet = QuietFleet(url, smtp(port), fault)
        tasks = Tasks(fleet)
        parts = [tasks, State(fleet), Locks(fleet), Messages(fleet), Mails(fleet, mailbox), Approvals(fleet, tasks)]
        needs_workers = kind in (Approvals, Schedules)
        wanted = [one for one in (*parts, Schedules(fleet)) if type(one) is kind or (needs_workers and one is tasks)]
        async with fleet.running():
            await chaos.live(wanted, fleet, long_freeze=False, kills_min=-1, seconds=QUIET_SECONDS)
    assert fleet.faults == [], fleet.faults


@pytest.mark.parametrize("name", PLANTS)
async def test_each_fault_that_the_chaos_looks_for_is_found_where_it_is_planted(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(chaos, "STUCK_SECONDS", STUCK_SECONDS)
    kind, planted, says = PLANTS[name]
    with pytest.raises((AssertionError, BaseExceptionGroup)) as raised:
        await lived(sqlite_url, kind, planted())
    found = list(causes(raised.value))
    assert all(isinstance(one, AssertionError) for one in found), found
    assert re.search(says, "".join(map(str, found))), found


@pytest.mark.parametrize("kind", [State, Tasks, Locks, Messages, Mails, Approvals])
async def test_where_nothing_is_planted_nothing_is_found(sqlite_url: str, kind: type[Part]):
    await lived(sqlite_url, kind, None)
