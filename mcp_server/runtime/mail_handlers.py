"""The handlers behind emails and approvals."""

from collections.abc import Callable, Mapping

from mcp_server.domain.mail_transport import Mailer
from mcp_server.runtime.handlers import Handler, HandlerFailed, Report
from mcp_server.services.desk import Desk
from mcp_server.services.views import TaskView


def mail_handlers(desk: Desk, mailer: Callable[[], Mailer]) -> Mapping[str, Handler]:
    """Every handler by kind. `mailer` opens this process's provider at its first use."""

    async def email(task: TaskView, report: Report) -> dict[str, str]:
        """Send one mail. What may have gone already is never sent again."""
        del report
        done = await desk.delivery.deliver(task.input["email_id"], task.attempt, mailer())
        if done.deferred:
            raise HandlerFailed(done.message or "deferred", "deferred", True, done.retry_after_seconds)
        if done.status in ("failed", "unknown"):
            raise HandlerFailed(done.message or done.status, done.status, retryable=False)
        return {"status": done.status}

    async def approval(task: TaskView, report: Report) -> dict[str, bool]:
        """What waited for people may be waited for: it ends when they have said yes."""
        del task, report
        return {"approved": True}

    async def approval_mails(task: TaskView, report: Report) -> dict[str, int]:
        """Write to everyone who is asked."""
        del report
        return {"mails": await desk.delivery.ask_approvers(task.input)}

    return {
        f"system.email.{desk.emails.policy.provider}": email,
        "system.approval": approval,
        "system.approval_mails": approval_mails,
    }
