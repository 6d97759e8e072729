"""Processes under supervision: what is wanted, what runs where, and what became of it."""

from typing import Any, Literal, NamedTuple

from mcp_server.domain.processes.running import Exit, Identity, Stop
from mcp_server.kernel.errors import LeaseLost, NotFound
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import SECOND, Micros, duration

Status = Literal["starting", "running", "backoff", "crash_loop", "stopping", "stopped"]
Step = Literal["start", "find", "end", "kill"]
WELL_FOR: Micros = 10 * SECOND
"""What ran this long was well: its failures are counted anew."""

PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0)
"""How long one rests after its first failure in a row, its second, ..."""

CRASH_LOOP_SECONDS = 60.0
"""How long it rests once it has failed more often than that."""

HOST_LOST_AFTER: Micros = 60 * SECOND
"""After how long without a supervisor another host takes over what ran on one."""


class Want(NamedTuple):
    """A process that somebody wants to run.

    Attributes:
        id: of the process; its owner gives it.
        owner_kind: what kind of thing it belongs to: `agent`, `deployment`.
        owner_id: which one.
        slot: its number among its owner's, from 0.
        scope: who may supervise it: whoever knows this, such as `launcher:NAME`.
        spec: what is to run, as JSON that the owner alone reads.
        host: the only one where it may run; None for any. Once that is lost, another takes over all that ran there.
    """

    id: str
    owner_kind: str
    owner_id: str
    slot: int
    scope: str
    spec: RawJson
    host: str | None = None


class Fence(NamedTuple):
    """The right to supervise what belongs to a scope on a host. Each time it changes hands its number rises."""

    scope: str
    host: str
    number: int


class Started(NamedTuple):
    """Where a process runs, how it is to be stopped, and where its output goes."""

    host: str
    identity: Identity
    stop: Stop
    log: str


class Process(Record):
    """The aggregate: one place for a process, which may be started many times. JSON columns stay text.

    `wanted` says whether it is to run; `retry_at` when it is to be started again; `stop_at` when a process that was
    asked to end is killed; `adopted` whether its supervisor is not who started it.
    """

    id: str
    owner_kind: str
    owner_id: str
    slot: int
    scope: str
    spec: str
    wanted: int
    status: Status
    reason: str | None
    host: str | None
    pid: int | None
    started: str | None
    boot: str | None
    started_at: Micros | None
    stop_signal: str | None
    stop_grace: Micros | None
    stop_at: Micros | None
    log: str | None
    adopted: int
    starts: int
    failures: int
    retry_at: Micros | None
    exit: str | None
    exited_at: Micros | None
    created_at: Micros
    updated_at: Micros
    version: int

    @staticmethod
    def first_wanted(want: Want, now: Micros) -> tuple["Process", Event]:
        """A new one, to be started by whoever may."""
        data = want._asdict() | _NOTHING_RUNS | {"wanted": 1, "status": "starting", "reason": None}
        data |= {"log": None, "starts": 0, "failures": 0, "exit": None, "exited_at": None}
        data |= {"created_at": now, "updated_at": now}
        process = Process.adopt({"version": 1} | data)
        del data["id"]
        return process, Event("process.wanted", "process", want.id, 1, data, creates=True)

    @property
    def identity(self) -> Identity | None:
        """The process that runs in this place, as far as is written down."""
        if self.pid is None:
            return None
        return Identity(self.pid, self.started or "", self.boot or "")

    @property
    def stop(self) -> Stop:
        """How what runs is asked to end."""
        return Stop(self.stop_signal or "SIGTERM", (self.stop_grace or 0) / SECOND)

    def step(self, now: Micros, *, is_held: bool) -> Step | None:
        """What its supervisor has to do about it now.

        Args:
            now: the time.
            is_held: whether the supervisor has the process that runs in hand.
        """
        if self.pid is None:
            return "start" if self.wanted and (self.retry_at or 0) <= now else None
        if not is_held:
            return "find"
        if self.status == "stopping":
            return "kill" if (self.stop_at or 0) <= now else None
        return None if self.wanted else "end"

    @property
    def next_at(self) -> Micros | None:
        """When time alone makes something of it due."""
        return self.retry_at if self.pid is None else self.stop_at

    def wanted_again(self, want: Want, now: Micros) -> tuple["Process", Event]:
        """Wanted once more, or with something else to run from its next start on: its failures are forgotten. What
        runs goes on; what was asked to end ends first."""
        changes: dict[str, Any] = {"wanted": 1, "scope": want.scope, "spec": want.spec, "failures": 0}
        if self.pid is None:
            changes |= {"status": "starting", "reason": None, "retry_at": None}
        return self._evolved("wanted", changes, now)

    def respecified(self, spec: RawJson, now: Micros) -> tuple["Process", Event]:
        """With something else to run from its next start on, or something else to know while it runs."""
        return self._evolved("respecified", {"spec": spec}, now)

    def unwanted(self, reason: str, now: Micros) -> tuple["Process", Event]:
        """Not wanted any more: what runs is to be ended by its supervisor."""
        changes: dict[str, Any] = {"wanted": 0, "reason": reason}
        if self.pid is None:
            changes |= {"status": "stopped", "retry_at": None}
        return self._evolved("unwanted", changes, now)

    def begun(self, place: Started, now: Micros) -> tuple["Process", Event]:
        """It has a process, which may go as soon as this is stored."""
        grace = duration(place.stop.grace_seconds)
        changes = {
            "status": "running",
            "reason": None,
            "host": place.host,
            **place.identity._asdict(),
            "started_at": now,
            "stop_signal": place.stop.signal,
            "stop_grace": grace,
            "log": place.log,
            "adopted": 0,
            "starts": self.starts + 1,
            "retry_at": None,
        }
        return self._evolved("started", changes, now)

    def taken_over(self, now: Micros) -> tuple["Process", Event]:
        """Its supervisor is another now, and its process still runs."""
        return self._evolved("adopted", {"adopted": 1}, now)

    def asked_to_end(self, reason: str, *, at_once: bool, now: Micros) -> tuple["Process", Event]:
        """Its process is to end now, in its time of grace or at once."""
        stop_at = now if at_once else now + (self.stop_grace or 0)
        return self._evolved("stopping", {"status": "stopping", "reason": reason, "stop_at": stop_at}, now)

    def ended(self, how: Exit, now: Micros, why: str | None = None) -> tuple["Process", Event]:
        """Its process has ended. Unless it is unwanted it is started again, after a rest where it fails again and
        again.

        Args:
            how: it ended.
            now: the time.
            why: what is known beside.
        """
        reason = self.reason if self.status == "stopping" else f"it ended: {how.text}"
        well = self.started_at is not None and now - self.started_at >= WELL_FOR
        changes = {"exit": how.text, "exited_at": now} | self._next(
            why or reason, 1 if well else self.failures + 1, now
        )
        return self._evolved("exited", changes, now)

    def not_started(self, why: str, now: Micros) -> tuple["Process", Event]:
        """It could not be started."""
        return self._evolved("not_started", self._next(why, self.failures + 1, now), now)

    def found_again(self, host: str, now: Micros) -> tuple["Process", Event]:
        """Its host is called otherwise now."""
        return self._evolved("moved", {"host": host}, now)

    def abandoned(self, host: str, now: Micros) -> tuple["Process", Event]:
        """Its host has not been heard of for long: another starts it, and whatever still runs there is not it."""
        reason = f"its host {self.host} was not heard of any more"
        status = "starting" if self.wanted else "stopped"
        return self._evolved("abandoned", _NOTHING_RUNS | {"host": host, "status": status, "reason": reason}, now)

    def _next(self, reason: str | None, failures: int, now: Micros) -> dict[str, Any]:
        if not self.wanted:
            return _NOTHING_RUNS | {"status": "stopped", "reason": self.reason}
        status, seconds = pause(failures)
        retry_at = now + duration(seconds)
        return _NOTHING_RUNS | {"status": status, "reason": reason, "failures": failures, "retry_at": retry_at}

    def _evolved(self, what: str, changes: dict[str, Any], now: Micros) -> tuple["Process", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        event = Event(f"process.{what}", "process", self.id, version, data)
        return self.evolved(data | {"version": version}), event


_NOTHING_RUNS: dict[str, Any] = {
    **dict.fromkeys(("pid", "started", "boot", "started_at", "stop_signal", "stop_grace", "stop_at", "retry_at")),
    "adopted": 0,
}


def pause(failures: int) -> tuple[Status, float]:
    """What one does after so many failures in a row, and for how many seconds."""
    if failures > len(PAUSES_SECONDS):
        return "crash_loop", CRASH_LOOP_SECONDS
    seconds = PAUSES_SECONDS[failures - 1]
    return "backoff" if seconds else "starting", seconds


def no_process(process_id: str) -> NotFound:
    """The refusal for an id of no process."""
    return NotFound(
        f"There is no process {named(process_id)}.",
        next="agents_find(agent_id=...) names the instances of an agent.",
        details={"process_id": process_id},
    )


def fenced_off(fence: Fence) -> LeaseLost:
    """The refusal to let one supervise what another supervises now."""
    return LeaseLost(
        f"Another supervisor has taken over {fence.scope} on {fence.host}.",
        next="Leave its processes alone.",
        details={"scope": fence.scope, "host": fence.host},
    )


def moved_on(process_id: str) -> LeaseLost:
    """The refusal to tell of a process that is not the one in its place any more."""
    return LeaseLost(
        f"{process_id} is not what it was when this was begun.", next="Look again.", details={"process_id": process_id}
    )
