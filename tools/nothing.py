"""Why a list is empty: which of what it was narrowed by nothing has, by what there is. The areas are not loaded for it:
whose list it is brings the class of what is asked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import LIMIT_MAX
from tools.hints import hint, hint_of_newest, phrase

if TYPE_CHECKING:
    from mcp_server.domain.approvals.commands import FindApprovals
    from mcp_server.domain.email.commands import FindEmails
    from mcp_server.domain.state.commands import FindDocuments
    from mcp_server.domain.tasks.commands import FindTasks


async def no_such_tasks(desk: Desk, call: Call, args: "FindTasks") -> str | None:
    """Of tasks; a parent that there is not is refused."""
    if args.parent_id is not None:
        await desk.tasks.get(call, args.parent_id)  # refuses one that there is not
    kinds = hint("task", {"kind": (args.kind, await desk.tasks.kinds(call) if args.kind else ())})
    return kinds or await _no_tag(desk, call, args) or phrase(args.text)


async def no_such_kinds(desk: Desk, call: Call, kinds: Iterable[str]) -> str | None:
    """Of work of some kinds, for who may see which there are; without the full stop."""
    if not call.actor.may(Permission.TASKS_READ):
        return None
    known = await desk.tasks.kinds(call)
    unknown = filter(None, (hint("task", {"kind": (kind, known)}) for kind in kinds))
    return " ".join(unknown).rstrip(".") or None


async def _no_tag(desk: Desk, call: Call, args: "FindTasks") -> str | None:
    # There is no list of tags, and to read all tasks would take long.
    newest = () if args.tag is None else (await desk.tasks.find(call, type(args)(limit=LIMIT_MAX))).items
    return hint_of_newest("task", {"tag": (args.tag, (one for task in newest for one in task.tags or ()))})


async def nothing_sent(desk: Desk, call: Call, args: "FindEmails") -> str | None:
    """Of mails."""
    names = [one.name for one in await desk.emails.templates(call)] if args.template else ()
    why = hint("email", {"template": (args.template, names)})
    return why or await _nobody_got(desk, call, args)


async def _nobody_got(desk: Desk, call: Call, args: "FindEmails") -> str | None:
    newest = () if args.to is None else (await desk.emails.find(call, type(args)(limit=LIMIT_MAX))).items
    everyone = {one for mail in newest for some in (mail.to, mail.cc, mail.bcc) for one in some or ()}
    return hint_of_newest("email", {"to": (args.to, everyone)})


async def no_such_questions(desk: Desk, call: Call, args: "FindApprovals") -> str | None:
    """Of approvals; a task that there is not is refused."""
    if args.task_id is not None and call.actor.may(Permission.TASKS_READ):
        await desk.tasks.get(call, args.task_id)  # refuses one that there is not
    if args.approver is None:
        return None
    newest = (await desk.approvals.find(call, type(args)(limit=LIMIT_MAX))).items
    asked = (one for approval in newest for one in approval.approvers or ())
    return hint_of_newest("approval", {"approver": (args.approver.removeprefix("user:"), asked)})


async def no_such_documents(desk: Desk, call: Call, args: "FindDocuments") -> str | None:
    """Of documents in a namespace, or of all."""
    if args.tag is None and args.prefix is None:
        return None
    some = (await desk.state.find(call, type(args)(namespace=args.namespace, limit=LIMIT_MAX))).items
    tags, keys = (tag for one in some for tag in one.tags or ()), (one.key for one in some)
    return hint_of_newest("document", {"tag": (args.tag, tags), "prefix": (args.prefix, keys)})
