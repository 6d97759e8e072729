"""Tools of versioned documents."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from mcp_server.domain.approvals.rules import UNKNOWN, Form
from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import (
    Addressed,
    DocumentHistory,
    FindDocuments,
    GetDocument,
    PatchDocument,
    RestoreDocument,
    SetDocument,
)
from mcp_server.domain.state.views import (
    DocumentResult,
    DocumentView,
    HistoryResult,
    NamespaceView,
    RestoredResult,
    SetResult,
    VersionView,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.json_tools import PatchOperation, escape
from mcp_server.kernel.paging import floors
from mcp_server.kernel.quoting import named, quoted, shown_json
from mcp_server.kernel.values import plain
from mcp_server.kernel.views import View
from tools.hints import hint, phrase
from tools.spec import ADD, READ, UPDATE, Part, Tool, counted, listed, several

_PATH_SHOWN = 60
"""How much of a path is told in words."""

_VALUE_SHOWN = 120
"""And of what is written."""


class FindResult(View):
    """Documents without their values; the namespaces where none was named."""

    documents: list[DocumentView]
    namespaces: list[NamespaceView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def get(desk: Desk, call: Call, args: GetDocument) -> DocumentResult:
    """A document with its value."""
    return DocumentResult(document=await desk.state.get(call, args))


async def find(desk: Desk, call: Call, args: FindDocuments) -> FindResult:
    """A filtered list of documents."""
    documents, next_cursor, omitted = await desk.state.find(call, args)
    shown = args.namespace is None
    namespaces = await desk.state.namespaces(call) if shown or not documents else []
    why = None if shown else hint("document", {"namespace": (args.namespace, (one.namespace for one in namespaces))})
    return FindResult(
        documents=documents,
        namespaces=namespaces if shown else None,
        next_cursor=next_cursor,
        omitted=omitted,
        at_least=floors(omitted=omitted),
        hint=None if documents else why or phrase(args.text),
    )


def _say_written(result: DocumentResult | SetResult) -> str:
    document = result.document
    name = named(f"{document.namespace}/{document.key}")
    if document.deleted:
        return f"{name} is deleted; state_restore(version={document.version}) brings it back.{_replaced(result)}"
    if isinstance(result, RestoredResult):
        stays = _stays(result.was_to_expire_at)
        return f"{name} is version {result.is_again} again, as version {document.version}.{stays}{_replaced(result)}"
    if not isinstance(result, SetResult):
        return f"{name} is at version {document.version}.{_replaced(result)}"
    merged, stays = _MERGED.get(result.merged, ""), _stays(result.was_to_expire_at)
    return f"{name} is at version {document.version}{merged}.{stays}{_replaced(result)}"


_MERGED: dict[bool | None, str] = {
    True: ", with others' changes merged in",
    False: "; nothing was to be merged, since nobody has written since base_version",
}


def _stays(ended_at: str | None) -> str:
    """That a restored document has no end any more, which one that had one would be thought to keep."""
    if ended_at is None:
        return ""
    return f" It stays for good now; it was to expire at {ended_at}. state_set with ttl_seconds sets an end."


def _replaced(result: DocumentResult | SetResult) -> str:
    before = result.replaced
    if before is None:
        return ""
    back = "" if result.document.deleted else f", state_restore(version={before.version}) brings it back"
    what = "That was" if result.document.deleted else "It replaced"
    return (
        f" {what} version {before.version} of {before.author}; expected_version refuses that where you have not read "
        f"it{back}."
    )


def _say_history(result: HistoryResult) -> str:
    written = [one for one in result.versions if one.version is not None]
    newest, last = written[0], result.versions[0]
    last_listed = f"the last of them {newest.version} by {newest.author}"
    said = f"{_of_all(counted(len(written), 'version'), result.of_versions)}, {last_listed}.{_say_ending(last)}"
    if result.compared is None:
        return said
    old, new = result.compared
    each = " `changed_paths` of each: what it changed." if written[0].changed_paths else ""
    return f"{said} From version {old} to {new}: {counted(len(result.changes or ()), 'change')}.{each}"


def _of_all(listed: str, total: int | None) -> str:
    return listed if total is None else f"{listed} of {total}"


def _say_ending(last: VersionView) -> str:
    if last.version is not None:
        return ""
    how = f"was deleted by {last.author}" if last.deleted else "expired"
    return f" It {how} at {last.at}{'' if last.note is None else f': {quoted(last.note)}'}."


def _document(args: Addressed) -> str:
    return f"document {named(_address(args))}"


def _only_at(expected_version: int | None) -> str:
    if expected_version == 0:
        return ", only if it does not exist yet."
    return "." if expected_version is None else f", only if it is at version {expected_version}."


def _says_set(args: SetDocument) -> str:
    what = "Delete" if args.delete else "Merge changes into" if args.merge else "Write"
    value = _copy(args) if args.value is None else f" as {_shown(args.value)}"
    return f"{what} {_document(args)}{value}{_only_at(args.expected_version)}"


def _copy(args: SetDocument) -> str:
    return "" if args.copy_of is None else f" as a copy of document {named(args.copy_of)}"


def _copied(args: SetDocument) -> list[str]:
    return [] if args.copy_of is None else [args.copy_of]


def _with_copied(args: SetDocument, values: Mapping[str, str]) -> SetDocument:
    """A copy of what a call before writes, as the writing of that."""
    value = values.get(args.copy_of or "")
    return args if value is None else args.holding(RawJson(value), f"copy of {args.copy_of}")


def _says_patch(args: PatchDocument) -> str:
    replaced = _in_words(args.json_patch or ())
    if replaced:
        return f"Change {several(replaced)} in {_document(args)}{_only_at(args.expected_version)}"
    change = args.merge_patch if args.json_patch is None else list(map(_step, args.json_patch))
    by = f" by {_shown(dump_json(change))}"
    return f"Change {_parts(args)} in {_document(args)}{by}{_only_at(args.expected_version)}"


def _in_words(steps: Sequence[PatchOperation]) -> list[str]:
    """What steps do of which a person needs no JSON, each as `/count from 5 to 2`; else nothing."""
    if steps and all(one.op == "increment" for one in steps):
        return [f"{named(one.path or '')} by {_value_of(one)}{_floor(one)}" for one in steps]
    return _replacements(steps)


def _replacements(steps: Sequence[PatchOperation]) -> list[str]:
    """`/count from 5 to 2`: steps that do no more than to test what is there, and then to replace it."""
    was = {one.path: f" from {_value_of(one)}" for one in steps if one.op == "test"}
    now = {one.path: _value_of(one) for one in steps if one.op == "replace"}
    is_plain = [one.op for one in steps] == ["test"] * len(was) + ["replace"] * len(now)
    if not (is_plain and was.keys() <= now.keys()):
        return []
    return [f"{named(path or '')}{was.get(path, '')} to {value}" for path, value in now.items()]


def _floor(step: PatchOperation) -> str:
    return "" if step.minimum is None else f" (to {step.minimum:g} at least)"


def _value_of(step: PatchOperation) -> str:
    return _shown(dump_json(plain(step).get("value")))


def _step(step: PatchOperation) -> dict[str, Any]:
    """One step of a patch, its members in the order in which it is read."""
    said = plain(step)
    return {name: said[name] for name in ("op", "from", "path", "value", "minimum") if name in said}


def _shown(text: str) -> str:
    """JSON that is written, as far as it fits into a sentence: the call itself stands beside it in full. What is whole
    ends where its brackets and quotes do; what is cut stands in quotes of ours."""
    return shown_json(text) if len(text) <= _VALUE_SHOWN else quoted(text, _VALUE_SHOWN)


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


def _says_restore(args: RestoreDocument) -> str:
    return f"Write version {args.version} of {_document(args)} again{_only_at(args.expected_version)}"


def _other_ways(args: Addressed, said: dict[str, Any]) -> list[Form]:
    """A document is written by three tools: whichever does it, a rule about one is about it. What a JSON patch or an
    earlier version comes to is not looked up."""
    del args
    value = said.get("value", said.get("merge_patch"))
    value = UNKNOWN if value is None and not said.get("delete") else value
    where = said | {"value": value, "merge_patch": value}
    return [Form(name, where) for name in ("state_set", "state_patch", "state_restore")]


def _address(args: Addressed) -> str:
    return f"{args.namespace}/{args.key}"


def _value(args: SetDocument) -> str | None:
    return None if args.merge else args.value


async def _observed(desk: Desk, args: SetDocument | PatchDocument | RestoreDocument) -> dict[str, Any]:
    """The version that the document has now, where the caller has not said which one it means; who merges takes any."""
    if args.expected_version is not None or (isinstance(args, SetDocument) and args.merge):
        return {}
    return {"expected_version": await desk.state.version_of(args)}


TOOLS = (
    Tool(
        name="state_get",
        title="Read a document",
        description="Read a shared JSON document, now or at a version.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=GetDocument,
        result=DocumentResult,
        does=lambda desk: partial(get, desk),
        say=_say_written,
    ),
    Tool(
        name="state_set",
        title="Write a document",
        description="Write a shared JSON document as its next version. expected_version refuses it if somebody "
        "was faster (0: must not exist).",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=UPDATE,
        arguments=SetDocument,
        result=SetResult,
        write=lambda desk: desk.state.set,
        part=Part(
            _says_set,
            forms=_other_ways,
            writes=_address,
            value=_value,
            observed=_observed,
            reads=_copied,
            put_in=_with_copied,
            content=lambda desk, call, args: desk.state.with_copied(call, args),
        ),
        others_words=False,
        say=_say_written,
    ),
    Tool(
        name="state_patch",
        title="Change part of a document",
        description="Change parts of a document by one patch.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=ADD,
        arguments=PatchDocument,
        result=DocumentResult,
        write=lambda desk: desk.state.patch,
        part=Part(_says_patch, forms=_other_ways, writes=_address, observed=_observed),
        others_words=False,
        say=_say_written,
    ),
    Tool(
        name="state_history",
        title="See a document's versions",
        description="Who changed or deleted a document, when and why; with both versions, or diff, what changed.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=DocumentHistory,
        result=HistoryResult,
        does=lambda desk: desk.state.history,
        say=_say_history,
    ),
    Tool(
        name="state_restore",
        title="Restore a version",
        description="Write an earlier version again as the newest; history stays.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=ADD,
        arguments=RestoreDocument,
        result=RestoredResult,
        write=lambda desk: desk.state.restore,
        part=Part(_says_restore, forms=_other_ways, writes=_address, observed=_observed),
        others_words=False,
        say=_say_written,
    ),
    Tool(
        name="state_find",
        title="Find documents",
        description="List documents, without values.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=FindDocuments,
        result=FindResult,
        does=lambda desk: partial(find, desk),
        say=lambda r: f"{listed(len(r.documents), 'document', r.omitted)} {r.hint or ''}".rstrip(),
    ),
)
