"""Tools of versioned documents."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
    PatchedResult,
    RestoredResult,
    SetResult,
    VersionView,
)
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.paging import floors
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.views import View
from tools.documents import address, says_patch, says_restore, says_set
from tools.hints import hint, phrase
from tools.nothing import no_such_documents
from tools.spec import ADD, READ, UPDATE, Part, Tool, counted, listed, several


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
    why = why if documents or why else await no_such_documents(desk, call, args)
    return FindResult(
        documents=documents,
        namespaces=namespaces if shown else None,
        next_cursor=next_cursor,
        omitted=omitted,
        at_least=floors(omitted=omitted),
        hint=None if documents else why or phrase(args.text),
    )


async def history(desk: Desk, call: Call, args: DocumentHistory) -> HistoryResult:
    """A document's versions, and who said yes to those that an approval's calls wrote."""
    told = await desk.state.history(call, args)
    asked = list(dict.fromkeys(filter(None, (one.approval_id for one in told.versions))))
    granted = await desk.approvals.granted_by(call, asked) if asked and call.is_offered("communication") else {}
    versions = [one.evolved({"approved_by": granted.get(one.approval_id or "")}) for one in told.versions]
    return told.evolved({"versions": versions}) if granted else told


def _say_written(result: DocumentResult | SetResult) -> str:
    document = result.document
    name = named(f"{document.namespace}/{document.key}")
    if document.deleted:
        return f"{name} is deleted; state_restore(version={document.version}) brings it back.{_replaced(result)}"
    if isinstance(result, RestoredResult):
        stays = _stays(result.was_to_expire_at)
        return f"{name} is version {result.is_again} again, as version {document.version}.{stays}{_replaced(result)}"
    if isinstance(result, PatchedResult):
        return f"{name} is at version {document.version}{_numbers(result.now or {})}."
    if not isinstance(result, SetResult):
        return f"{name} is at version {document.version}.{_replaced(result)}"
    merged, stays = _MERGED.get(result.merged, ""), _stays(result.was_to_expire_at)
    hint = "" if document.hint is None else f" {document.hint}"
    return f"{name} is at version {document.version}{merged}.{hint}{stays}{_replaced(result)}"


def _numbers(now: Mapping[str, float]) -> str:
    """What was counted is, each by its place."""
    told = ", ".join(f"{named(path or 'it')} is {number}" for path, number in now.items())
    return f": {told}" if told else ""


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
    last_listed = f"the last of them {newest.version} by {newest.author}{_granted(newest)}"
    said = f"{_of_all(counted(len(written), 'version'), result.of_versions)}, {last_listed}.{_say_ending(last)}"
    if result.compared is None:
        return f"{said}{_more(written)}"
    old, new = result.compared
    each = " `changed_values` of each: what it changed." if written[0].changed_paths else ""
    first = written[-1].version or old
    more = f" from_version={first} compares from there." if first < old else ""
    changes = counted(len(result.changes or ()), "change")
    rest = "" if result.hint is None else f" {result.hint}"
    return f"{said} From version {old} to {new}: {changes}.{rest}{each}{more}"


def _granted(version: VersionView) -> str:
    """Who said yes to a version that an approval's calls wrote."""
    if version.approval_id is None:
        return ""
    by = "" if version.approved_by is None else f", to which {several(list(map(named, version.approved_by)))} said yes"
    return f" as {version.approval_id} asked{by}"


def _more(written: Sequence[VersionView]) -> str:
    """How what each of several versions changed is told."""
    return " With diff=true it says what each changed." if len(written) > 1 else ""


def _of_all(listed: str, total: int | None) -> str:
    return listed if total is None else f"{listed} of {total}"


def _say_ending(last: VersionView) -> str:
    if last.version is not None:
        return ""
    how = f"was deleted by {last.author}" if last.deleted else "expired"
    return f" It {how}{_granted(last)} at {last.at}{'' if last.note is None else f': {quoted(last.note)}'}."


def _copied(args: SetDocument) -> list[str]:
    return [] if args.copy_of is None else [args.copy_of]


def _with_copied(args: SetDocument, values: Mapping[str, str]) -> SetDocument:
    """A copy of what a call before writes, as the writing of that."""
    value = values.get(args.copy_of or "")
    return args if value is None else args.holding(RawJson(value), f"copy of {args.copy_of}")


def _other_ways(args: Addressed, said: dict[str, Any]) -> list[Form]:
    """A document is written by three tools: whichever does it, a rule about one is about it. What a JSON patch or an
    earlier version comes to is not looked up."""
    del args
    value = said.get("value", said.get("merge_patch"))
    value = UNKNOWN if value is None and not said.get("delete") else value
    where = said | {"value": value, "merge_patch": value, "json_patch": _unsummed(said.get("json_patch"))}
    return [Form(name, where) for name in ("state_set", "state_patch", "state_restore")]


def _unsummed(steps: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """A patch for rules: what is added to a number says nothing of what that comes to."""
    if steps is None:
        return None
    return [{**one, "value": UNKNOWN} if one.get("op") == "increment" else one for one in steps]


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
            says_set,
            forms=_other_ways,
            writes=address,
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
        title="Patch a document",
        description="Change parts of a document by one patch.",
        toolset="state",
        permission=Permission.STATE_WRITE,
        hints=ADD,
        arguments=PatchDocument,
        result=PatchedResult,
        write=lambda desk: desk.state.patch,
        part=Part(says_patch, forms=_other_ways, writes=address, observed=_observed),
        others_words=False,
        say=_say_written,
    ),
    Tool(
        name="state_history",
        title="See document versions",
        description="Who changed or deleted a document, when, why; with both versions or diff, what.",
        toolset="state",
        permission=Permission.STATE_READ,
        hints=READ,
        arguments=DocumentHistory,
        result=HistoryResult,
        does=lambda desk: partial(history, desk),
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
        part=Part(says_restore, forms=_other_ways, writes=address, observed=_observed),
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
