"""What people read of a call that writes a document."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from mcp_server.domain.state.commands import Addressed, PatchDocument, RestoreDocument, SetDocument
from mcp_server.kernel.json_pointers import escape
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.json_tools import PatchOperation
from mcp_server.kernel.quoting import named
from mcp_server.kernel.values import plain
from tools.facts import as_json, shown
from tools.spec import several

_PATH_SHOWN = 60
"""How much of a path is told in words."""


def _document(args: Addressed) -> str:
    return f"document {named(address(args))}"


# That it will be refused otherwise is part of what is agreed to.
def _only_at(expected_version: int | None) -> str:
    if expected_version == 0:
        return ", only if it does not exist yet."
    return "." if expected_version is None else f", only if it is at version {expected_version}."


def says_set(args: SetDocument) -> str:
    what = "Delete" if args.delete else "Merge changes into" if args.merge else "Write"
    value = _copy(args) if args.value is None else f" as {shown(args.value)}"
    return f"{what} {_document(args)}{value}{_only_at(args.expected_version)}"


def _copy(args: SetDocument) -> str:
    return "" if args.copy_of is None else f" as a copy of document {named(args.copy_of)}"


def says_patch(args: PatchDocument) -> str:
    replaced = _in_words(args.json_patch or ())
    if replaced:
        return f"Change {several(replaced)} in {_document(args)}{_only_at(args.expected_version)}"
    change = args.merge_patch if args.json_patch is None else list(map(_step, args.json_patch))
    by = f" by {as_json(change)}"
    return f"Change {_parts(args)} in {_document(args)}{by}{_only_at(args.expected_version)}"


def _in_words(steps: Sequence[PatchOperation]) -> list[str]:
    """What steps do of which a person needs no JSON, each as `/count from 5 to 2`; else nothing."""
    if steps and all(one.op == "increment" for one in steps):
        return [f"{named(one.path or '')} by {_value_of(one)}{_floor(one)}" for one in steps]
    return _replacements(steps)


# A test and what replaces it are one change to a person; any other order of steps may be meant otherwise.
def _replacements(steps: Sequence[PatchOperation]) -> list[str]:
    """`/count from 5 to 2`: steps that do no more than to test what is there, and then to replace it."""
    was = {one.path: f" from {_value_of(one)}" for one in steps if one.op == "test"}
    now = {one.path: _value_of(one) for one in steps if one.op == "replace"}
    is_plain = [one.op for one in steps] == ["test"] * len(was) + ["replace"] * len(now)
    if not (is_plain and was.keys() <= now.keys()):
        return []
    return [f"{named(path or '')}{was.get(path, '')} to {value}" for path, value in now.items()]


def _floor(step: PatchOperation) -> str:
    return "" if step.minimum is None else f" (to {dump_json(step.minimum)} at least)"


def _value_of(step: PatchOperation) -> str:
    return as_json(plain(step).get("value"))


def _step(step: PatchOperation) -> dict[str, Any]:
    """One step of a patch, its members in the order in which it is read."""
    said = plain(step)
    return {name: said[name] for name in ("op", "from", "path", "value", "minimum") if name in said}


def _parts(args: PatchDocument) -> str:
    """The places that a patch names, each once, as JSON pointers."""
    if args.json_patch is not None:
        paths = [path or "" for one in args.json_patch if one.op != "test" for path in (one.from_, one.path)]
    else:
        paths = list(_leaves(args.merge_patch, ""))
    shown = [
        named(one if len(one) <= _PATH_SHOWN else f"{one[:_PATH_SHOWN]}...") for one in dict.fromkeys(paths) if one
    ]
    return several(shown) or "parts"


def _leaves(patch: Any, path: str) -> Iterator[str]:
    if not isinstance(patch, dict) or not patch:
        yield path
        return
    for name, member in cast("dict[str, Any]", patch).items():
        yield from _leaves(member, f"{path}/{escape(name)}")


def says_restore(args: RestoreDocument) -> str:
    return f"Write version {args.version} of {_document(args)} again{_only_at(args.expected_version)}"


def address(args: Addressed) -> str:
    return f"{args.namespace}/{args.key}"
