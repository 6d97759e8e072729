"""JSON documents compared and changed: RFC 7386 merge patch, RFC 6902 patch, differences, three-way merge.

Paths are RFC 6901 JSON Pointers. Values are JSON as Python has it; `1` and `True` are different values.
"""

import copy
import re
from collections.abc import Callable
from typing import Any, Literal, cast

from pydantic import Field

from mcp_server.kernel.errors import Conflict, ValidationFailed
from mcp_server.kernel.values import Frozen

_ABSENT: Any = object()
_END_OF_LIST = "-"


class PatchOperation(Frozen):
    """One step of an RFC 6902 patch."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    from_: str | None = Field(default=None, alias="from")
    value: Any = None


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


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes a member, an object merges into one, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result: dict[str, Any] = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(document: Any, operations: tuple[PatchOperation, ...]) -> Any:
    """RFC 6902: all operations in order, or none.

    Raises:
        ValidationFailed: a path that does not exist or a malformed operation, by number.
        Conflict: a `test` that does not hold.
    """
    root = {"": copy.deepcopy(document)}
    for number, operation in enumerate(operations):
        try:
            _OPERATIONS[operation.op](root, operation)
        except (Conflict, ValidationFailed) as error:
            raise type(error)(f"JSON Patch operation #{number} ({operation.op} {operation.path!r}): {error}") from None
    return root[""]


def differences(old: Any, new: Any, path: str = "") -> list[Change]:
    """What changed between two documents, by path. Lists are compared whole when their lengths differ."""
    if same(old, new):
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return _object_differences(cast("dict[str, Any]", old), cast("dict[str, Any]", new), path)
    if isinstance(old, list) and isinstance(new, list):
        first, second = cast("list[Any]", old), cast("list[Any]", new)
        if len(first) == len(second):
            return [
                c for i, pair in enumerate(zip(first, second, strict=True)) for c in differences(*pair, f"{path}/{i}")
            ]
    return [Change(op="replace", path=path, old=old, new=new)]


def three_way_merge(base: Any, theirs: Any, mine: Any) -> tuple[Any, list[str]]:
    """Both sides' changes since `base`, and the paths on which they clash (empty: a clean merge)."""
    if same(mine, theirs) or same(mine, base):
        return theirs, []
    if same(theirs, base):
        return mine, []
    return _merge_parts(base, theirs, mine, "")


def _merge_parts(base: Any, theirs: Any, mine: Any, path: str) -> tuple[Any, list[str]]:
    if not (isinstance(theirs, dict) and isinstance(mine, dict)):
        return cast("Any", theirs), [path]
    origin: dict[str, Any] = cast("dict[str, Any]", base) if isinstance(base, dict) else {}
    left, right = cast("dict[str, Any]", theirs), cast("dict[str, Any]", mine)
    merged: dict[str, Any] = {}
    clashes: list[str] = []
    for key in dict.fromkeys([*left, *right]):
        value, found = _merge_member(
            origin.get(key, _ABSENT), left.get(key, _ABSENT), right.get(key, _ABSENT), f"{path}/{escape(key)}"
        )
        clashes += found
        if value is not _ABSENT:
            merged[key] = value
    return merged, clashes


def _merge_member(base: Any, theirs: Any, mine: Any, path: str) -> tuple[Any, list[str]]:
    if _same_or_both_absent(mine, theirs) or _same_or_both_absent(mine, base):
        return theirs, []
    if _same_or_both_absent(theirs, base):
        return mine, []
    return _merge_parts(base, theirs, mine, path)


def _same_or_both_absent(left: Any, right: Any) -> bool:
    if left is _ABSENT or right is _ABSENT:
        return left is right
    return same(left, right)


def _object_differences(old: dict[str, Any], new: dict[str, Any], path: str) -> list[Change]:
    found: list[Change] = []
    for key in dict.fromkeys([*old, *new]):
        where = f"{path}/{escape(key)}"
        if key not in new:
            found.append(Change(op="remove", path=where, old=old[key]))
        elif key not in old:
            found.append(Change(op="add", path=where, new=new[key]))
        else:
            found += differences(old[key], new[key], where)
    return found


def escape(key: str) -> str:
    """A member name as a JSON Pointer token."""
    return key.replace("~", "~0").replace("/", "~1")


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValidationFailed(f"{pointer!r} is not a JSON Pointer; it must be empty or start with '/'.")
    if re.search("~(?![01])", pointer):
        raise ValidationFailed(
            f"{pointer!r} is not a JSON Pointer: '~' must be written as '~0', and '/' in a name as '~1'."
        )
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _parent(root: dict[str, Any], pointer: str) -> tuple[Any, str]:
    tokens = _tokens(pointer)
    node: Any = root
    for depth, token in enumerate(tokens[:-1]):
        node = _child(node, token, "/".join(tokens[: depth + 1]))
    return node, tokens[-1]


def _child(node: Any, token: str, where: str) -> Any:
    if isinstance(node, dict) and token in node:
        return cast("dict[str, Any]", node)[token]
    if isinstance(node, list):
        items = cast("list[Any]", node)
        return items[_index(items, token, len(items) - 1)]
    raise ValidationFailed(f"the path {where!r} does not exist.")


def _index(items: list[Any], token: str, highest: int) -> int:
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0"):
        raise ValidationFailed(f"{token!r} is not a list index.")
    index = int(token)
    if index > highest:
        raise ValidationFailed(f"index {index} is outside a list of {len(items)}.")
    return index


def _value(operation: PatchOperation) -> Any:
    if "value" not in operation.model_fields_set:
        raise ValidationFailed("it needs a value.")
    return copy.deepcopy(operation.value)


def _source(operation: PatchOperation) -> str:
    if operation.from_ is None:
        raise ValidationFailed("it needs 'from'.")
    return operation.from_


def _insert(root: dict[str, Any], pointer: str, value: Any) -> None:
    node, token = _parent(root, pointer)
    if isinstance(node, dict):
        node[token] = value
    elif isinstance(node, list):
        items = cast("list[Any]", node)
        at_end = token == _END_OF_LIST
        items.insert(len(items) if at_end else _index(items, token, len(items)), value)
    else:
        raise ValidationFailed(f"the parent of {pointer!r} is neither an object nor a list.")


def _get(root: dict[str, Any], pointer: str) -> Any:
    node, token = _parent(root, pointer)
    return _child(node, token, pointer)


def _take(root: dict[str, Any], pointer: str) -> Any:
    node, token = _parent(root, pointer)
    value = _child(node, token, pointer)
    if isinstance(node, dict):
        del node[token]
    else:
        del node[int(token)]
    return value


def _replace(root: dict[str, Any], operation: PatchOperation) -> None:
    node, token = _parent(root, operation.path)
    _child(node, token, operation.path)
    if isinstance(node, dict):
        node[token] = _value(operation)
    else:
        node[int(token)] = _value(operation)


def _move(root: dict[str, Any], operation: PatchOperation) -> None:
    source = _source(operation)
    if operation.path.startswith(source + "/"):
        raise ValidationFailed("a value cannot be moved into itself.")
    _insert(root, operation.path, _take(root, source))


def _test(root: dict[str, Any], operation: PatchOperation) -> None:
    found = _get(root, operation.path)
    if not same(found, _value(operation)):
        raise Conflict("the value there is another one.")


def _remove(root: dict[str, Any], operation: PatchOperation) -> None:
    if not operation.path:
        raise ValidationFailed("the whole document cannot be removed; set another value instead.")
    _take(root, operation.path)


_OPERATIONS: dict[str, Callable[[dict[str, Any], PatchOperation], None]] = {
    "add": lambda root, op: _insert(root, op.path, _value(op)),
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": lambda root, op: _insert(root, op.path, copy.deepcopy(_get(root, _source(op)))),
    "test": _test,
}
