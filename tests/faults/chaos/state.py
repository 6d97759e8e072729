"""Documents: counters by compare-and-set, patches of both kinds, three-way merges."""

from collections import Counter, defaultdict
from collections.abc import Coroutine
from typing import Any

from tests.faults.chaos.areas import Part
from tests.faults.chaos.fleet import Fleet, Refused, Unanswered

NAMESPACE = "chaos"
COUNTERS = ("counter-0", "counter-1")
KEYS = (*COUNTERS, "list", "patched", "merged")


class State(Part):
    """What was answered about documents. Each write carries a note of its own."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.written: dict[str, dict[int, str]] = defaultdict(dict)
        """By key and version, the note of the write that was acknowledged with it."""
        self.cut_off: set[str] = set()
        self.refused: set[str] = set()
        self.last: dict[str, tuple[int, set[int]]] = {}
        """By writer of the merged document: what it last wrote, and what it may have written since."""

    async def prepare(self) -> None:
        """The documents that are patched and merged."""
        for key, value in (("list", []), ("patched", {}), ("merged", {})):
            await self._write("state_set", key, "made", value=value)

    def producers(self) -> list[Coroutine[Any, Any, None]]:
        """Who counts, appends, patches and merges."""
        counting = [self._count(f"counter-{n}", key) for n in range(2) for key in COUNTERS]
        return [*counting, self._append(), self._patch(), *(self._merge(f"merger-{n}") for n in range(2))]

    def has_enough(self) -> bool:
        """Each document written, and a write refused since another came first."""
        return len(self.written) == len(KEYS) and bool(self.refused)

    async def _write(self, tool: str, key: str, note: str, **how: Any) -> bool:
        """Write once; whether it is known to have counted."""
        try:
            answer = await self.fleet.any_seat().call(tool, namespace=NAMESPACE, key=key, note=note, **how)
        except Unanswered:
            self.cut_off.add(note)
            return False
        except Refused as refused:
            if refused.code != "conflict":
                raise
            self.refused.add(note)
            return False
        version = answer["document"]["version"]
        assert version not in self.written[key], f"{key}: version {version} was given to two writes"
        self.written[key][version] = note
        return True

    async def _read(self, key: str) -> dict[str, Any]:
        return (await self.fleet.surely("state_get", namespace=NAMESPACE, key=key))["document"]

    async def _count(self, name: str, key: str) -> None:
        tried = 0
        while self.fleet.producing:
            try:
                document = await self._read(key)
            except Refused as refused:  # nobody has written it yet
                assert refused.code == "not_found", refused
                document = {"version": 0, "value": 0}
            tried += 1
            value = document["value"] + 1
            await self._write(
                "state_set", key, f"{name} {key} {tried}", value=value, expected_version=document["version"]
            )
            await self.fleet.pause(0.02, 0.2)

    async def _append(self) -> None:
        tried = 0
        while self.fleet.producing:
            tried += 1
            operation = {"op": "add", "path": "/-", "value": tried}
            await self._write("state_patch", "list", f"append {tried}", json_patch=[operation])
            await self.fleet.pause(0.05, 0.3)

    async def _patch(self) -> None:
        tried = 0
        while self.fleet.producing:
            tried += 1
            await self._write("state_patch", "patched", f"patch {tried}", merge_patch={f"m{tried}": tried})
            await self.fleet.pause(0.05, 0.3)

    async def _merge(self, name: str) -> None:
        number = 0
        while self.fleet.producing:
            document = await self._read("merged")
            number += 1
            value = document["value"] | {name: number}
            how = {"value": value, "merge": True, "base_version": document["version"]}
            sure, unsure = self.last.get(name, (0, set()))
            if await self._write("state_set", "merged", f"{name} {number}", **how):
                self.last[name] = (number, set())
            else:
                self.last[name] = (sure, unsure | {number})
            await self.fleet.pause(0.05, 0.3)

    async def check(self) -> None:
        """Every acknowledged write is the version that it was told, each once; what was refused is nowhere."""
        for key in KEYS:
            document = await self._read(key)
            notes = await notes_of(self.fleet, NAMESPACE, key)
            assert sorted(notes) == list(range(1, document["version"] + 1)), key
            for version, note in self.written[key].items():
                assert notes[version] == note, (key, version)
            told = Counter(notes.values())
            assert max(told.values()) == 1 and not told.keys() & self.refused, key
            assert told.keys() <= set(self.written[key].values()) | self.cut_off, key
            self.fleet.happened[key] = document["version"]
            if key in COUNTERS:
                assert document["value"] == document["version"] > 0, key
        listed = (await self._read("list"))["value"]
        assert [f"append {number}" for number in listed] == list(
            (await notes_of(self.fleet, NAMESPACE, "list")).values()
        )[1:]
        patched = (await self._read("patched"))["value"]
        assert {f"patch {number}" for number in patched.values()} == set(
            (await notes_of(self.fleet, NAMESPACE, "patched")).values()
        ) - {"made"}
        for name, number in (await self._read("merged"))["value"].items():
            sure, unsure = self.last[name]
            assert number in {sure} | unsure, (name, number, sure, unsure)


async def notes_of(fleet: Fleet, namespace: str, key: str) -> dict[int, str]:
    """By version of a document, who wrote it, oldest first."""
    notes: dict[int, str] = {}
    before: dict[str, int] = {}
    while True:
        page = await fleet.surely("state_history", namespace=namespace, key=key, **before)
        notes |= {version["version"]: version["note"] for version in page["versions"] if "version" in version}
        oldest = min(notes)
        if oldest == 1:
            return dict(sorted(notes.items()))
        before = {"to_version": oldest - 1}
