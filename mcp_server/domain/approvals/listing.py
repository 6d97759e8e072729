"""How the list of questions is narrowed, and by what it is read."""

from mcp_server.domain.approvals.commands import FindApprovals
from mcp_server.kernel.paging import Query, decode_cursor
from mcp_server.kernel.searching import lower_ascii

_MOST = (None, "approved")
"""Where what was put to somebody is read by that. Nearly all that was ever asked is approved; of what stands otherwise
there is little, and each is asked whether it was put to them."""


def listed(command: FindApprovals) -> Query:
    """The list, newest first, narrowed by what is asked."""
    query = _put_to(command).where("approval_task", approval_task=command.task_id)
    if command.status == "answered":
        query = query.where("approval_answered")
    else:
        query = query.where("approval_status", approval_status=command.status)
    if command.cursor is None:
        return query
    at, after_id = decode_cursor(query.listed, command.cursor, (int, str))
    after = "approval_put_to_after" if query.statement == "approvals_put_to" else "approval_after"
    return query.where(after, after_at=at, after_id=after_id)


def _put_to(command: FindApprovals) -> Query:
    """The list of what was put to somebody, by whatever it is read."""
    if not command.approver:
        return Query("approvals_find")
    approver = lower_ascii(command.approver.removeprefix("user:"))
    if command.status in _MOST:
        return Query("approvals_put_to", parameters=(("approver", approver),))
    return Query("approvals_find").where("approval_put_to_beside", approver=approver)
