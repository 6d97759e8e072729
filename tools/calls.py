"""Tools of calls."""

from typing import Any

from mcp_server.domain.approvals.people import is_mailbox
from mcp_server.domain.approvals.rules import UNKNOWN, Form
from mcp_server.domain.calls.commands import ControlCall, OpenCall
from mcp_server.domain.calls.inviting import MAIL_SUBJECT
from mcp_server.domain.calls.links import PERSON
from mcp_server.domain.calls.views import CallResult, CallView, OpenedCall
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.quoting import named, quoted
from tools.spec import ADD, Alone, Part, Tool, counted, several


def _says_open(args: OpenCall) -> str:
    whom = several(list(map(named, args.participants))) if args.participants else "whoever gets the link"
    recorded = ", recorded" if args.record else ""
    return f"Open a call ({args.media}{recorded}) with {whom}: {quoted(args.purpose)}."


def _as_written_to(args: OpenCall, said: dict[str, Any]) -> list[Form]:
    """Who is asked in is written to, with the purpose: people by mail, also where their profiles say to which address;
    agents by message."""
    del said
    people = [one for one in args.participants if is_mailbox(one) or one.startswith(PERSON)]
    agents = [one for one in args.participants if one not in people]
    to = [one if is_mailbox(one) else UNKNOWN for one in people]
    mail = {"to": to, "cc": to, "bcc": to, "subject": MAIL_SUBJECT, "text": args.purpose}
    message = {"to": agents, "subject": UNKNOWN, "body": UNKNOWN}
    return [Form("email_send", mail)] * bool(people) + [Form("messages_send", message)] * bool(agents)


def _alone(args: OpenCall) -> Alone | None:
    why = "an offer is answered at once, and nothing is there before all has landed"
    return None if args.offer is None else Alone(why)


def _say_opened(result: OpenedCall) -> str:
    call = result.call
    again = "was opened before under this key, nobody was asked in now; it " if call.replayed else ""
    if call.status in ("ended", "failed"):
        return f"{call.id} {again}has {call.status}{_why(call)}. Another takes another key."
    return f"{call.id} {again}is {call.status}. {_how(call)}Say your first words now, then listen (calls_control)."


def _how(call: CallView) -> str:
    """How people who are asked in get there; of agents alone there is nothing to say."""
    if call.join_url is not None:
        return "Give your user join_url: it opens in a browser and is good once. "
    if any(one.join_url for one in call.participants or ()):
        return "Each join_url opens in a browser and is good once. "
    people = any(one.kind != "agent" for one in call.participants or ())
    return "Those who were asked in have been written to. " if people else ""


def _say_done(result: CallResult) -> str:
    call = result.call
    lines = f" {counted(len(result.messages), 'line')}." if result.messages is not None else ""
    asked = f" tasks_wait(task_ids=['{result.approval_task_id}']) waits for the answer." if result.approval_id else ""
    return f"{call.id} is {call.status}{_why(call)}.{lines}{asked}"


def _why(call: CallView) -> str:
    return f": {quoted(call.reason)}" if call.reason else ""


TOOLS = (
    Tool(
        name="calls_open",
        title="Open a call",
        description="People join in a browser by a one-time link, to write or speak. No telephone, no transcription.",
        toolset="communication",
        permission=Permission.CALLS_OPEN,
        hints=ADD,
        arguments=OpenCall,
        result=OpenedCall,
        write=lambda desk: desk.calls.open,
        part=Part(
            _says_open,
            makes=lambda args: ["call"],
            made=lambda done: [done.call.id],
            names=frozenset(("participants", "task_id")),
            alone=_alone,
            forms=_as_written_to,
            is_private=True,
        ),
        say=_say_opened,
    ),
    Tool(
        name="calls_control",
        title="Act in a call",
        description="Say, listen, ask for a decision, and so on.",
        toolset="communication",
        permission=Permission.CALLS_OPEN,
        hints=ADD,
        arguments=ControlCall,
        result=CallResult,
        does=lambda desk: desk.calls.control,
        say=_say_done,
    ),
)
