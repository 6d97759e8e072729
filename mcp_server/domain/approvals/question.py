"""The question as every channel shows it: the server's own words first, then the words of who asks, each line marked
as theirs. Nothing is cut: a channel that has no room for all of it does not ask."""

import json
from typing import Any, cast

from mcp_server.domain.approvals.model import Approval
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import LINE_END, fenced, one_line
from mcp_server.kernel.times import iso

DIALOG_CHARACTERS_MAX = 2000
"""How much a client's dialog is trusted to show."""

_ONE_LINE_MAX = 80


def question_text(approval: Approval) -> str:
    """Everything that a person needs to see before deciding."""
    parts = [
        f"{_opening(approval)}\n"
        f"Asked by {one_line(approval.requested_by)}. Lines that begin with > are the words of others.\n"
        f"{_asked(approval)}",
        f"What is asked:\n{fenced(one_line(approval.title))}\n{fenced(approval.action)}",
    ]
    if approval.calls is not None:
        parts.append(_calls(json.loads(approval.calls)))
    if approval.details not in (None, "{}"):
        parts.append(f"Details:\n{fenced(shown_json(json.loads(approval.details)))}")
    if approval.about is not None:
        parts.append(f"What {approval.task_id} will do:\n{fenced(shown_json(json.loads(approval.about)))}")
    takes = approval.takes()
    if takes.choices:
        parts.append(f"What may be chosen:\n{fenced(chr(10).join(map(one_line, takes.choices)))}")
    if takes.free_text:
        parts.append("It may be answered in your own words.")
    parts.append(f"SHA-256 of this: {approval.action_hash[:16]}")
    return "\n\n".join(parts)


def _opening(approval: Approval) -> str:
    if approval.takes().is_open:
        return f"A question: {approval.id} waits for a person's answer."
    return f"May this happen? {approval.id} waits for a person's decision."


def _calls(calls: list[dict[str, Any]]) -> str:
    """What a yes runs, in the server's words, each with its arguments whole."""
    lines = [f"{number}. {one_line(call['says'])}\n{fenced(_shown_call(call))}" for number, call in enumerate(calls, 1)]
    return "\n".join(["A yes makes these calls at once, all of them or none:", *lines])


def _shown_call(call: dict[str, Any]) -> str:
    content = f"\nIt comes to:\n{shown_json(call['content'])}" if "content" in call else ""
    return f"{one_line(call['tool'])}\n{shown_json(call['arguments'])}{content}"


def notice_text(approval: Approval) -> str:
    """What is said where the question itself is shown elsewhere: the server's words alone."""
    return f"{approval.id} waits for your decision. This page of DataMCPServerAgent shows what is asked, and by whom."


def shown_json(value: Any) -> str:
    """JSON for people: what is long one member below the other, texts of several lines as such, each line marked."""
    text = dump_json(value)
    if len(text) <= _ONE_LINE_MAX or not isinstance(value, dict):
        return _compact(value)
    members = cast("dict[str, Any]", value)
    return "\n".join(f"{one_line(name)}:{_member(member)}" for name, member in members.items())


def _member(value: Any) -> str:
    lines = LINE_END.split(value) if isinstance(value, str) else []
    return "".join(f"\n  | {line}" for line in lines) if len(lines) > 1 else f" {_compact(value)}"


def _compact(value: Any, indent: str = "\n") -> str:
    """JSON in which each list and object that fits into one line stands in one: who reads on a phone scrolls less."""
    text = dump_json(value)
    if len(text) <= _ONE_LINE_MAX or not isinstance(value, dict | list):
        return text
    deeper = f"{indent}  "
    if isinstance(value, list):
        return f"[{','.join(deeper + _compact(one, deeper) for one in cast('list[Any]', value))}{indent}]"
    members = cast("dict[str, Any]", value).items()
    return f"{{{','.join(f'{deeper}{dump_json(name)}: {_compact(one, deeper)}' for name, one in members)}{indent}}}"


def _asked(approval: Approval) -> str:
    people = ", ".join(one_line(person) for person in approval.people())
    what = "agree" if approval.takes().is_open else "approve"
    of = f"Asked of {people}; {approval.needed} must {what}." if people else "Anyone who may decide can answer."
    return of if approval.expires_at is None else f"{of} Open until {iso(approval.expires_at)}."
