"""The system tasks of email."""

from mcp_server.domain.email.model import DEFERRED
from mcp_server.domain.email.transport import MailProvider, Unbuildable
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.kernel.services import Services


def send_email(services: Services) -> Handler:
    """Sends one mail. What may have gone already is never sent again."""

    async def handle(job: Job) -> dict[str, str]:
        from mcp_server.domain.email.delivery import EmailDelivery  # loaded by who sends

        delivery, provider = services.get(EmailDelivery), services.option(MailProvider)
        email_id = job.input["email_id"]
        done = await delivery.deliver(email_id, job.lease_token, provider.open())
        # The mail says why: recipients and providers' answers are not for all who may see tasks.
        why = f"Not everyone has got it: email_find(email_id='{email_id}') says why."
        if done.deferred:
            raise HandlerFailed(why, DEFERRED, True, done.retry_after_seconds)
        if done.status in ("failed", "unknown"):
            raise HandlerFailed(why, done.status, retryable=False)
        return {"status": done.status}

    return handle


def write_to_approvers(services: Services) -> Handler:
    """Writes to everyone whom an approval asks."""

    async def handle(job: Job) -> dict[str, int]:
        from mcp_server.domain.email.delivery import EmailDelivery

        try:
            return {"mails": await services.get(EmailDelivery).ask_approvers(job.input)}
        except Unbuildable as error:
            raise HandlerFailed(str(error), "validation", retryable=False) from error

    return handle
