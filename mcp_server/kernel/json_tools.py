"""JSON documents compared and changed: RFC 7386 merge patch, RFC 6902 patch (and counting), differences, merges.

Paths are RFC 6901 JSON Pointers. Values are JSON as Python has it; `1` and `True` are different values. What a caller
drives is bounded: a patch takes steps of a budget, differences and merges look at everything once.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from mcp_server.kernel.budgets import Budget
from mcp_server.kernel.errors import Conflict, ValidationFailed
from mcp_server.kernel.json_pointers import child, index, pointer_to, tokens
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, dump_json
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.sums import sum_of
from mcp_server.kernel.values import Frozen

SHOWN_CHARACTERS_MAX = 80
"""How much of a value is told that a `test` found."""

OPERATION_CHARACTERS_MAX = 500
"""So long an operation is shown whole."""

PATCH_STEPS_MAX = 4 * INPUT_BYTES_MAX
PATHS_CHARACTERS_MAX = 16 * INPUT_BYTES_MAX
CLASHES_MAX = 100
_ABSENT: Any = object()
_END_OF_LIST = "-"


def _no_truth(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError("a number is needed")
    return given


Number = Annotated[
    int | Annotated[float, Field(allow_inf_nan=False)],
    BeforeValidator(_no_truth),
    WithJsonSchema({"type": "number"}),
    Meant("a number", 0),
]
"""Whole numbers stay whole, however large: a float is not exact beyond 2**53."""


class PatchOperation(Frozen):
    """One step of an RFC 6902 patch, or `increment`, which the RFC does not know: `value` is added to the number at the
    path, or to 0 where no member has that name, and refused below `minimum`. Members that neither knows are passed
    over here, as the RFC asks."""

    model_config = ConfigDict(extra="ignore")

    op: Literal["add", "remove", "replace", "move", "copy", "test", "increment"]
    path: Annotated[str, Meant("a JSON Pointer", "/items/0")]
    from_: str | None = Field(default=None, alias="from")
    value: Any = None
    minimum: Number | None = Field(default=None, description="For increment")


class Change(Frozen):
    """One difference between two documents."""

    op: Literal["add", "remove", "replace"]
    path: str
    old: Any = None
    new: Any = None


def same(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, `True` is not 1; like JSON's, 1.0 is 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        one, two = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(left, list) and isinstance(right, list):
        first, second = cast("list[Any]", left), cast("list[Any]", right)
        return len(first) == len(second) and all(map(same, first, second))
    return bool(left == right)


def patch_budget() -> Budget:
    """What one patch may cost: what it copies, puts in and compares."""
    return Budget("The patch", PATCH_STEPS_MAX, "Split it into several, or set the whole value.")


def merge_patch(target: Any, patch: Any, budget: Budget | None = None) -> Any:
    """RFC 7386: null removes a member, an object merges into one, anything else replaces.

    Raises:
        LimitExceeded: it would take too many steps.
        ValidationFailed: it is nested too deep.
    """
    return _merged_into(target, (budget or patch_budget()).spend(patch))


def json_patch(document: Any, operations: Sequence[PatchOperation], budget: Budget | None = None) -> Any:
    """RFC 6902: all operations in order, or none.

    Raises:
        ValidationFailed: a path that does not exist or a malformed operation, by number.
        Conflict: a `test` that does not hold, or an `increment` below its minimum.
        LimitExceeded: it would take too many steps.
    """
    patching = _Patching(document, budget or patch_budget())
    for number, operation in enumerate(operations):
        try:
            _OPERATIONS[operation.op](patching, operation)
        except (Conflict, ValidationFailed) as error:
            where = f"JSON Patch operation #{number} ({operation.op} {named(operation.path)})"
            then = error.message[len(error.wrong) :].strip()
            raise type(error)(f"{where}: {error.wrong}", next=then) from None
    return patching.root[""]


def _shown(value: Any) -> str:
    """A value in a sentence: what may be somebody's words in quotes."""
    text = value if isinstance(value, str) else dump_json(value)
    return quoted(text, SHOWN_CHARACTERS_MAX) if isinstance(value, str | dict | list) else text


def differences(old: Any, new: Any, most: int | None = None) -> list[Change]:
    """What changed between two documents, by path, or the first of it. Lists are compared whole when their lengths
    differ.

    Raises:
        LimitExceeded: the paths come to more than can be told.
    """
    budget = Budget("Telling the differences", PATHS_CHARACTERS_MAX, "Read the two versions, or compare closer ones.")
    found: list[Change] = []
    for op, path, before, after in islice(_changes(old, new, []), most):
        budget.take(sum(map(len, path)) + len(path))
        sides = {name: value for name, value in (("old", before), ("new", after)) if value is not _ABSENT}
        found.append(Change(op=op, path=pointer_to(path), **sides))
    return found


def three_way_merge(base: Any, theirs: Any, mine: Any) -> tuple[Any, list[str]]:
    """Both sides' changes since `base`, and the first paths on which they clash (empty: a clean merge)."""
    merging = _Merging()
    merged = merging.merged(base, theirs, mine)
    return merged, merging.clashes


def number_at(value: Any, pointer: str) -> int | float | None:
    """The number that stands at a path; None where there is none."""
    try:
        for token in tokens(pointer)[1:]:
            value = child(value, token, pointer)
        return _number(value, "It")
    except ValidationFailed:
        return None


def _merged_into(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result: dict[str, Any] = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged_into(result.get(key), value)
    return result


class _Merging:
    """One three-way merge: where it is, and where the sides clash."""

    def __init__(self) -> None:
        self.clashes: list[str] = []
        self._path: list[str] = []

    def merged(self, base: Any, theirs: Any, mine: Any) -> Any:
        if isinstance(theirs, dict) and isinstance(mine, dict):
            origin = cast("dict[str, Any]", base) if isinstance(base, dict) else {}
            return self._members(origin, cast("dict[str, Any]", theirs), cast("dict[str, Any]", mine))
        if _same_or_both_absent(mine, theirs) or _same_or_both_absent(mine, base):
            return cast("Any", theirs)
        if not _same_or_both_absent(theirs, base) and len(self.clashes) < CLASHES_MAX:
            self.clashes.append(pointer_to(self._path))
        return mine

    def _members(self, base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for key in dict.fromkeys([*theirs, *mine]):
            self._path.append(key)
            value = self.merged(base.get(key, _ABSENT), theirs.get(key, _ABSENT), mine.get(key, _ABSENT))
            self._path.pop()
            if value is not _ABSENT:
                merged[key] = value
        return merged


def _same_or_both_absent(left: Any, right: Any) -> bool:
    if left is _ABSENT or right is _ABSENT:
        return left is right
    return same(left, right)


_Found = tuple[Literal["add", "remove", "replace"], list[str], Any, Any]


def _changes(old: Any, new: Any, path: list[str]) -> Iterator[_Found]:
    """Each difference with its path, which is the same list again and again, and both values."""
    parts = _pairs(old, new)
    if parts is None:
        if not same(old, new):
            yield "replace", path, old, new
        return
    for key, before, after in parts:
        path.append(key)
        if before is _ABSENT:
            yield "add", path, before, after
        elif after is _ABSENT:
            yield "remove", path, before, after
        else:
            yield from _changes(before, after, path)
        path.pop()


def _pairs(old: Any, new: Any) -> Iterator[tuple[str, Any, Any]] | None:
    """The parts of two documents side by side; None where they are compared whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        one, two = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        return ((key, one.get(key, _ABSENT), two.get(key, _ABSENT)) for key in dict.fromkeys([*one, *two]))
    if isinstance(old, list) and isinstance(new, list):
        first, second = cast("list[Any]", old), cast("list[Any]", new)
        if len(first) == len(second):
            return ((str(place), *pair) for place, pair in enumerate(zip(first, second, strict=True)))
    return None


def _place(node: Any, token: str) -> Any:
    """What Python takes for a member that is there, or an item."""
    return token if isinstance(node, dict) else int(token)


def _source(operation: PatchOperation) -> str:
    if operation.from_ is None:
        raise ValidationFailed("it needs 'from'.")
    return operation.from_


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in cast("dict[str, Any]", value).items()}
    return [_copied(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _number(value: Any, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationFailed(f"{what} is {_shown(value)}, not a number.")
    return value


def _require_enough(found: float, added: float, minimum: float | None) -> None:
    if minimum is not None and added < minimum:
        way_out = "Take less, or wait until there is more." if added < found else "Add more."
        raise Conflict(
            f"{dump_json(found)} would become {dump_json(added)}, below its minimum.",
            next=f"Nothing was changed. {way_out}",
        )


def _no_parent(where: str, inside: Sequence[str], value: Any) -> ValidationFailed:
    """That there is nothing at a path in which something is to be put."""
    for part in reversed(inside):
        value = [value] if part in (_END_OF_LIST, "0") else {part: value}
    whole = dump_json({"op": "add", "path": where, "value": value})
    right = f"The operation that puts it there with what is around it: {whole}."
    right = right if len(whole) <= OPERATION_CHARACTERS_MAX else f"Add {named(where)} with what is in it."
    return ValidationFailed(f"{named(where)} does not exist.", next=f"Nothing was changed. {right}")


class _Patching:
    """A document while it is patched. What is copied, put in and compared is counted first."""

    def __init__(self, document: Any, budget: Budget) -> None:
        self.root: dict[str, Any] = {"": _copied(document)}
        self._budget = budget

    def add(self, operation: PatchOperation) -> None:
        self._insert(operation.path, self._given(operation))

    def copy(self, operation: PatchOperation) -> None:
        node, token = self._parent(_source(operation))
        found = self._budget.spend(child(node, token, _source(operation)))
        self._insert(operation.path, _copied(found))

    def move(self, operation: PatchOperation) -> None:
        source = _source(operation)
        if operation.path.startswith(source + "/"):
            raise ValidationFailed("a value cannot be moved into itself.")
        self._insert(operation.path, self._take(source))

    def remove(self, operation: PatchOperation) -> None:
        if not operation.path:
            raise ValidationFailed("the whole document cannot be removed; set another value instead.")
        self._take(operation.path)

    def replace(self, operation: PatchOperation) -> None:
        node, token = self._parent(operation.path)
        child(node, token, operation.path)
        node[_place(node, token)] = self._given(operation)

    def test(self, operation: PatchOperation) -> None:
        node, token = self._parent(operation.path)
        found = child(node, token, operation.path)
        if not same(found, self._given(operation)):
            raise Conflict(
                f"the value there is {_shown(found)}.",
                next="Nothing was changed. Where your change still holds, call again with a test for that value.",
            )

    def increment(self, operation: PatchOperation) -> None:
        node, token = self._parent(operation.path)
        is_new = isinstance(node, dict) and token not in node
        found = 0 if is_new else _number(child(node, token, operation.path), "What stands there")
        added = sum_of(found, _number(self._given(operation), "Its value"))
        _require_enough(found, added, operation.minimum)
        node[_place(node, token)] = added

    def _given(self, operation: PatchOperation) -> Any:
        if "value" not in operation.model_fields_set:
            raise ValidationFailed("it needs a value.")
        return _copied(self._budget.spend(operation.value))

    def _parent(self, pointer: str, value: Any = _ABSENT) -> tuple[Any, str]:
        """What holds the last part of a path; a refusal names the first part that there is not, and how a value would
        be put there with what is around it."""
        *above, last = tokens(pointer)
        node: Any = self.root
        for depth, token in enumerate(above):
            where = pointer_to(above[1 : depth + 1])
            if isinstance(node, dict) and token not in node and value is not _ABSENT:
                raise _no_parent(where, [*above[depth + 1 :], last], value)
            node = child(node, token, where)
        return node, last

    def _insert(self, pointer: str, value: Any) -> None:
        node, token = self._parent(pointer, value)
        if isinstance(node, dict):
            node[token] = value
        elif isinstance(node, list):
            items = cast("list[Any]", node)
            at_end = token == _END_OF_LIST
            items.insert(len(items) if at_end else index(items, token, len(items)), value)
        else:
            raise ValidationFailed(f"the parent of {named(pointer)} is neither an object nor a list.")

    def _take(self, pointer: str) -> Any:
        node, token = self._parent(pointer)
        value = child(node, token, pointer)
        del node[_place(node, token)]
        return value


_OPERATIONS: dict[str, Callable[[_Patching, PatchOperation], None]] = {
    "add": _Patching.add,
    "remove": _Patching.remove,
    "replace": _Patching.replace,
    "move": _Patching.move,
    "copy": _Patching.copy,
    "test": _Patching.test,
    "increment": _Patching.increment,
}
