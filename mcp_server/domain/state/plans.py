"""What a change of a document comes to, computed before its transaction: from the values that were read, with what it
rests on. Where the document has moved on meanwhile, what is cheap is computed in the transaction, and what is not is
planned again, so that nobody's write waits for another's large document."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, TypeVar, cast

from mcp_server.domain.state.commands import Addressed, PatchDocument, SetDocument
from mcp_server.domain.state.deltas import KEYFRAME_EVERY, WORTHWHILE_BYTES_MIN, encode
from mcp_server.domain.state.dialects import require_meant
from mcp_server.domain.state.model import changed, document_id
from mcp_server.domain.state.seeming import require_object
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, LimitExceeded, OpsError
from mcp_server.kernel.json_pointers import escape, member_at
from mcp_server.kernel.json_text import RawJson, check_json
from mcp_server.kernel.json_tools import (
    PatchOperation,
    differences,
    json_patch,
    merge_patch,
    number_at,
    patch_budget,
    three_way_merge,
)
from mcp_server.kernel.quoting import named
from mcp_server.kernel.times import Micros, iso
from mcp_server.kernel.writes import LEFT_BEHIND

CHEAP_STEPS_MAX = 32 * 1024
"""What is computed in a transaction at most, where there is a choice: characters, items, parts."""
OTHERS_MAX = 20
"""So many places of others' changes are told."""
PLACES_MAX = 20
PLACE_CHARACTERS_MAX = 200
"""So many places where a patch writes are told in its event, each no longer than this."""

C = TypeVar("C", bound=Addressed)


class Read(NamedTuple):
    """A document's value as it was read: its version, the text, and who wrote it when; nobody where that is yet to be
    written by a call before."""

    version: int
    value: str
    author: str = ""
    at: Micros = 0

    def written(self) -> dict[str, Any]:
        """Who wrote it when, as refusals tell it."""
        return changed(self.author, self.at) if self.author else {}

    def told(self) -> str:
        """`Version 3 was written by agent:scribe via user:local at ...`."""
        by = f"{self.author} at {iso(self.at)}" if self.author else "a call before this one"
        return f"Version {self.version} was written by {by}."


class Plan(NamedTuple):
    """What was computed.

    Attributes:
        version: of the document that was read.
        value: the next one.
        merged: whether others' changes are in it; None where that was not asked for.
        delta: the value that was read, as its difference from the next; None where it stays whole.
        steps: what it took.
        others: where others' changes are that were merged in.
        refusal: of what does not fit the value that was read; it counts while the document is at that version.
    """

    version: int
    value: RawJson
    merged: bool | None
    delta: str | None
    steps: int
    others: Sequence[str] = ()
    refusal: OpsError | None = None


class Planned(NamedTuple, Generic[C]):
    """What was asked for, and what it came to where that was computed before."""

    command: C
    plan: Plan | None = None


def unplanned(planned: Planned[C]) -> Planned[C]:
    """To be computed in the transaction, which the limits of documents bound: who was overtaken again and again lands
    at last."""
    return Planned(planned.command)


def leaving(prepare: Callable[[Call, C], Awaitable[Planned[C]]]) -> Callable[[Call, C], Awaitable[Planned[C]]]:
    """To plan, and to note what the document will be for whatever is planned after it in the same transaction."""

    async def prepared(call: Call, command: C) -> Planned[C]:
        planned, left = await prepare(call, command), LEFT_BEHIND.get()
        if left is not None:
            left[document_id(command.namespace, command.key)] = _after(planned.plan)
        return planned

    return prepared


def _after(plan: Plan | None) -> Read | None:
    return None if plan is None or plan.refusal is not None else Read(plan.version + 1, plan.value)


def left_behind(document: Addressed) -> Read | None:
    """A document as changes before in the same transaction will have left it, where that was planned."""
    return (LEFT_BEHIND.get() or {}).get(document_id(document.namespace, document.key))


def refused(read: Read, refusal: OpsError) -> Plan:
    """What comes of a change that does not fit the value that was read. A call before of the same commit may have
    written what it fits, or what is to be told instead, and only the transaction sees that."""
    return Plan(read.version, RawJson("null"), None, None, len(read.value), refusal=refusal)


def plan_set(command: SetDocument, read: Read, base: Read | None) -> Plan:
    """What a value comes to, merged with what was written since `base` where that is another version than the one read.

    Raises:
        Conflict: both sides changed the same paths.
    """
    value, merged, others = RawJson(command.value), None, ()
    if command.base_version is not None:
        merged = base is not None
        if base is not None:
            value, others = merge(command, base.value, read)
    steps = len(value) + len(read.value) + (0 if base is None else len(base.value))
    return Plan(read.version, value, merged, delta_of(read, value), steps, others)


def plan_patch(command: PatchDocument, read: Read) -> Plan:
    """What a patch makes of a value.

    Raises:
        ValidationFailed: it does not fit.
        LimitExceeded: it takes too many steps.
    """
    value, steps = patched(command, read)
    return Plan(read.version, value, None, delta_of(read, value), steps + len(read.value) + len(value))


def patched(command: PatchDocument, current: Read | None) -> tuple[RawJson, int]:
    """The value after a patch, and the steps that it took.

    Raises:
        ValidationFailed: it does not fit the value.
        Conflict: it rests on what another has changed; it says who wrote the value.
        LimitExceeded: it takes too many steps, or the value is too large.
    """
    budget, value = patch_budget(), None if current is None else json.loads(current.value)
    if command.json_patch is None:
        _require_meant(command, value)
        made = merge_patch(value, command.merge_patch, budget)
    else:
        try:
            made = json_patch(value, command.json_patch, budget)
        except Conflict as conflict:
            raise conflict if current is None else _with_writer(conflict, current) from None
    return check_json(made, "patched document"), budget.taken


def _with_writer(conflict: Conflict, read: Read) -> Conflict:
    """The refusal of a change that does not fit a value, which says whose that is."""
    then = conflict.message[len(conflict.wrong) :].strip()
    details = conflict.details | {"current_version": read.version} | read.written()
    return Conflict(f"{conflict.wrong} {read.told()}", next=then, details=details)


def _require_meant(command: PatchDocument, value: Any) -> None:
    """Refuse a merge patch that would do to the value what hardly anybody means."""
    where = command.model_dump(include={"namespace", "key", "expected_version", "note"}, exclude_none=True)
    if command.expected_version is None:
        require_object(where, value)
    require_meant(where, command.merge_patch or {}, value)


def places(command: PatchDocument) -> list[str]:
    """Where a patch writes, as JSON pointers: the first of them, each once."""
    if command.json_patch is None:
        found = _members(command.merge_patch)
    else:
        found = chain.from_iterable(map(_written_by, command.json_patch))
    return list(dict.fromkeys(place[:PLACE_CHARACTERS_MAX] for place in islice(found, PLACES_MAX)))


def _written_by(step: PatchOperation) -> list[str]:
    """Where a step writes: what moves leaves its old place."""
    left = [step.from_] if step.op == "move" and step.from_ is not None else []
    return [] if step.op == "test" else [*left, step.path]


def numbers_after(command: PatchDocument, value: str) -> dict[str, int | float]:
    """What the numbers are that a patch counted, by where they stand in the value after it; those that a later step
    took away are left out."""
    paths = dict.fromkeys(step.path for step in command.json_patch or () if step.op == "increment")
    after = json.loads(value) if paths else None
    found = ((path, number_at(after, path)) for path in paths)
    return {path: number for path, number in found if number is not None}


def _members(patch: Any, above: str = "") -> Iterator[str]:
    """The innermost members of a merge patch: what is not an object is written as it is, and null takes away."""
    if not isinstance(patch, dict) or not patch:
        yield above
        return
    for name, part in cast("dict[str, Any]", patch).items():
        yield from _members(part, f"{above}/{escape(name)}")


class Merged(NamedTuple):
    """Both sides' changes in one value, and where those of the others are."""

    value: RawJson
    others: Sequence[str] = ()


def merge(command: SetDocument, base: str, theirs: Read) -> Merged:
    """Both sides' changes since the base.

    Raises:
        Conflict: they clash; it names the paths.
    """
    current = json.loads(theirs.value)
    mine = json.loads(command.value)
    value, clashes = three_way_merge(json.loads(base), current, mine)
    if clashes:
        raise Conflict(
            f"Both sides changed the same parts of {named(document_id(command.namespace, command.key))} since version "
            f"{command.base_version}: "
            f"{', '.join(_part(path, current, mine) for path in clashes[:10])}. {theirs.told()}",
            next=f"Decide these by hand and call again with merge=true and base_version={theirs.version}.",
            details={"clashes": clashes, "current_version": theirs.version}
            | theirs.written()
            | {"current_value": current},
        )
    return Merged(check_json(value, "merged document"), _others(mine, value))


def _part(path: str, *sides: Any) -> str:
    """Where two sides clash, by its path; and why all of it, where it is a list on one of them."""
    said = named(path) if path else "the whole document"
    is_list = any(isinstance(member_at(one, path), list) for one in sides)
    return f"{said} (a list counts as one part)" if is_list else said


def _others(mine: Any, merged: Any) -> list[str]:
    """Where a merged value is another than the one that was given; nowhere where the paths are too long to tell."""
    try:
        return [change.path for change in differences(mine, merged, OTHERS_MAX)]
    except LimitExceeded:
        return []


def delta_of(before: Read, value: str) -> str | None:
    """A version as its difference from the next, where that pays. Keyframes stay whole."""
    if len(before.value) < WORTHWHILE_BYTES_MIN or before.version % KEYFRAME_EVERY == 0:
        return None
    return encode(before.value, value)
