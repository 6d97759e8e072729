"""Clients that share documents, locks and tasks on a fleet, and note down what they were told."""

from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet
from tests.faults.chaos.state import notes_of
from tests.faults.chaos.tasks import OPEN
from tests.faults.histories import documents, leases, locks
from tests.faults.histories.recorder import Call, Recorder

CLIENTS = 3
NAMESPACE = "history"
KEYS = ("a", "b")
LOCKS = ("first", "second")
TTL_SECONDS = 2
LEASE_SECONDS = 2
RETRY = {"max_attempts": 100, "delay_seconds": 0}


class Documents(Part):
    """Documents that are read, written, compared and set, and deleted. Each value is a number of its own, which is the
    note of its version as well."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._recorder = Recorder(fleet, {"conflict", "not_found"})
        self._values = 0

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Some who want the same documents."""
        return [self._use(f"writer-{number}") for number in range(CLIENTS)]

    def has_enough(self) -> bool:
        """A call whose end nobody knows, and one refused since another came first."""
        calls = self._recorder.calls
        return any(call.is_unknown for call in calls) and any(call.refused == "conflict" for call in calls)

    async def _use(self, client: str) -> None:
        await self.fleet.surely("agents_register", name=client)
        known = dict.fromkeys(KEYS, 0)
        while self.fleet.producing:
            key = self.fleet.chance.choice(KEYS)
            call = await self._call(client, key, known[key])
            told = call.details.get("current_version", 0) if call.answer is None else _document(call)["version"]
            known[key] = 0 if call.arguments.get("delete") else told
            await self.fleet.pause(0.01, 0.1)

    async def _call(self, client: str, key: str, known: int) -> Call:
        at: dict[str, Any] = {"namespace": NAMESPACE, "key": key}
        chance = self.fleet.chance.random()
        if chance < 0.4:
            return await self._recorder.call(client, "state_get", **at)
        expected: dict[str, Any] = {} if chance < 0.55 else {"expected_version": known}
        if self.fleet.chance.random() < 0.15:
            return await self._recorder.call(client, "state_set", **at, **expected, delete=True)
        self._values += 1
        return await self._recorder.call(
            client, "state_set", **at, **expected, value=self._values, note=str(self._values)
        )

    async def check(self) -> None:
        """One order in time explains what was told of each document, and what its history tells of its versions."""
        for key in KEYS:
            await self._recorder.call("reader", "state_get", namespace=NAMESPACE, key=key)
            notes = await notes_of(self.fleet, NAMESPACE, key)
            assert list(notes) == list(range(1, len(notes) + 1)), (key, notes)
            calls = [call for call in self._recorder.calls if call.arguments["key"] == key]
            by_value = {int(note): version for version, note in notes.items()}
            assert len(by_value) == len(notes), f"{key}: one write, two versions: {notes}"
            ops = [_seen_later(_document_op(call), by_value) for call in calls]
            kept = {op.value: op.version for op in ops if op.does == "set" and op.outcome == "done"}
            assert kept == by_value, f"{key}: told {kept}, kept {by_value}"
            assert (why := documents.unexplained(ops)) is None, f"{key}: {why}"
            self.fleet.happened[f"document {key}"] = len(ops)


def _document(call: Call) -> dict[str, Any]:
    assert call.answer is not None
    return call.answer["document"]


def _document_op(call: Call) -> documents.Op:
    arguments = call.arguments
    does = "get" if call.tool == "state_get" else "delete" if "delete" in arguments else "set"
    outcome: Any = "unknown" if call.is_unknown else call.refused or "done"
    value = _document(call)["value"] if (does, outcome) == ("get", "done") else arguments.get("value")
    version = _document(call)["version"] if outcome == "done" else call.details.get("current_version")
    return documents.Op(does, outcome, call.invoked, call.returned, arguments.get("expected_version"), value, version)


def _seen_later(op: documents.Op, versions: dict[int, int]) -> documents.Op:
    """The same, where nobody was told, but the history shows that it was done at some time."""
    if (op.does, op.outcome) != ("set", "unknown") or op.value not in versions:
        return op
    return op._replace(outcome="done", version=versions[op.value])


class Locks(Part):
    """Locks that are held alone and together. Who was not told what became of a call goes on under another label."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._recorder = Recorder(fleet, {"conflict", "not_found", "permission_denied", "invalid_transition"})

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Some who want the same locks."""
        return [self._use(f"locker-{number}") for number in range(CLIENTS)]

    def has_enough(self) -> bool:
        """A call whose end nobody knows, and a release under an older token."""
        calls = self._recorder.calls
        return any(call.is_unknown for call in calls) and any(call.refused == "invalid_transition" for call in calls)

    async def _use(self, client: str) -> None:
        await self.fleet.surely("agents_register", name=client)
        life, tokens = 0, dict[str, int]()
        while self.fleet.producing:
            name = self.fleet.chance.choice(LOCKS)
            if not await self._hold(client, {"name": name, "owner": f"life {life}"}, tokens):
                life, tokens = life + 1, {}
            await self.fleet.pause(0.01, 0.1)

    async def _hold(self, client: str, lock: dict[str, str], tokens: dict[str, int]) -> bool:
        """Hold it for a while, under `tokens` of its own before; whether the end of each call was known."""
        mode = self.fleet.chance.choice(("exclusive", "exclusive", "shared"))
        call = await self._recorder.call(
            client, "locks_acquire", **lock, mode=mode, ttl_seconds=TTL_SECONDS, wait_seconds=1
        )
        if call.answer is None or "lock" not in call.answer:
            return not call.is_unknown
        older, token = tokens.get(lock["name"]), call.answer["lock"]["fencing_token"]
        tokens[lock["name"]] = token
        await self.fleet.pause(0.01, 0.15)
        chance = self.fleet.chance.random()
        if chance < 0.1:
            return True  # it is left to its end
        if chance < 0.4 and older not in (None, token):
            token = older
        released = await self._recorder.call(client, "locks_release", **lock, fencing_token=token)
        return not released.is_unknown

    async def unsettled(self) -> int:
        """Locks that somebody left to their end."""
        return len((await self.fleet.surely("locks_find"))["locks"])

    async def check(self) -> None:
        """No lock was told of otherwise than a lock could be."""
        for name in LOCKS:
            ops = [_lock_op(call) for call in self._recorder.calls if call.arguments["name"] == name]
            assert (wrong := locks.faults(ops)) == [], "\n".join([name, *wrong])
            self.fleet.happened[f"lock {name}"] = sum(op.does == "acquire" and op.outcome == "done" for op in ops)


def _lock_op(call: Call) -> locks.Op:
    holder = f"{call.client}, {call.arguments['owner']}"
    refused: Any = "unknown" if call.is_unknown else "refused"
    if call.tool == "locks_release":
        outcome = refused if call.answer is None else "done"
        token = call.arguments["fencing_token"]
        return locks.Op("release", holder, outcome, call.invoked, call.returned, token)
    told = {} if call.answer is None else call.answer.get("lock", {})
    token, mode = told.get("fencing_token", 0), call.arguments["mode"]
    return locks.Op(
        "acquire", holder, "done" if told else refused, call.invoked, call.returned, token, mode, TTL_SECONDS
    )


class Leases(Part):
    """Tasks that are leased, reported on, written under, failed and completed, each end told until it is answered."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._recorder = Recorder(fleet, {"lease_lost"})
        self._made: list[str] = []
        self._ops: dict[str, list[leases.Op]] = defaultdict(list)

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Who creates."""
        return [self._create()]

    def consumers(self) -> list[Coroutine[Any, Any, None]]:
        """Who works."""
        return [self._work(f"worker-{number}") for number in range(CLIENTS)]

    def has_enough(self) -> bool:
        """An end that was repeated, and one under a lease that was lost."""
        told = {op.outcome for ops in self._ops.values() for op in ops if op.ends}
        return {"repeated", "refused"} <= told

    async def unsettled(self) -> int:
        """Tasks that have not ended, but for the server's own."""
        counts = (await self.fleet.surely("tasks_find", limit=1))["counts"]
        return sum(counts.get(status, 0) for status in OPEN)

    async def _create(self) -> None:
        while self.fleet.producing:
            key = f"task-{len(self._made)}"
            task = {"title": key, "retry": RETRY, "idempotency_key": key}
            self._made.append((await self.fleet.surely("tasks_create", tasks=[task]))["tasks"][0]["id"])
            await self.fleet.pause(0.1, 0.3)

    async def _work(self, worker: str) -> None:
        await self.fleet.surely("agents_register", name=worker, max_concurrent_tasks=20)
        was_cut_off = False
        while not self.fleet.settled.is_set():
            resumes = was_cut_off and self.fleet.chance.random() < 0.5
            how = {"resume": True} if resumes else {"wait_seconds": 0.5}
            call = await self._recorder.call(
                worker, "tasks_claim", agent_id=worker, max_tasks=2, lease_seconds=LEASE_SECONDS, **how
            )
            was_cut_off = call.is_unknown
            for claim in [] if call.answer is None else call.answer["claims"]:
                # What is resumed runs out when it would have.
                self._note("claim", call, claim, lasts_seconds=0 if resumes else LEASE_SECONDS)
            for claim in [] if call.answer is None else call.answer["claims"]:
                await self._do(worker, claim)

    async def _do(self, worker: str, claim: dict[str, Any]) -> None:
        lease = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        chance = self.fleet.chance.random()
        if chance < 0.1:
            await self.fleet.pause(LEASE_SECONDS, LEASE_SECONDS + 1)  # too late, unless nobody else came
        if chance < 0.4:
            self._note("report", await self._recorder.call(worker, "tasks_report", **lease), claim)
        if chance < 0.6:
            document = {"namespace": "leased", "key": lease["task_id"], "lease_token": lease["lease_token"]}
            write = await self._recorder.call(worker, "state_set", **document, value=claim["attempt"])
            self._note("write", write, claim)
        how: dict[str, Any] = {"outcome": "completed", "result": {"attempt": claim["attempt"]}}
        if chance > 0.8 and claim["attempt"] < 4:
            how = {"outcome": "failed", "error": {"message": "again", "retryable": True}}
        does = "complete" if how["outcome"] == "completed" else "fail"
        repeats = self.fleet.chance.random() < 0.1
        while True:
            call = await self._recorder.call(worker, "tasks_finish", **lease, **how)
            self._note(does, call, claim)
            if not (call.is_unknown or repeats):
                return
            repeats = repeats and call.is_unknown

    def _note(self, does: Any, call: Call, claim: dict[str, Any], lasts_seconds: float = 0) -> None:
        refused: Any = "unknown" if call.is_unknown else "refused"
        outcome = refused if call.answer is None else "repeated" if call.answer.get("repeated") else "done"
        self._ops[claim["task"]["id"]].append(
            leases.Op(does, call.client, claim["attempt"], outcome, call.invoked, call.returned, lasts_seconds)
        )

    async def check(self) -> None:
        """No task was told of otherwise than a task could be, and each ended once, as was told."""
        assert self._ops.keys() <= set(self._made), "leased what nobody made"
        for task_id in self._made:
            task = (await self.fleet.surely("tasks_find", task_id=task_id))["task"]
            end = leases.End(task["status"], task.get("result", {}).get("attempt", 0))
            assert (wrong := leases.faults(self._ops[task_id], end)) == [], "\n".join([task_id, *wrong])
        self.fleet.happened["tasks"] = len(self._made)
        self.fleet.happened["leases"] = sum(op.does == "claim" for ops in self._ops.values() for op in ops)
