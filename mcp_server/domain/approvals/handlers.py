"""The system tasks of approvals: what waited for people may go on, and the calls that they said yes to are made."""

import json
from functools import partial
from typing import Any

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.approvals.answers import answered
from mcp_server.domain.approvals.model import Approval, approval_id_of, no_approval
from mcp_server.domain.approvals.outcomes import overtaken_words
from mcp_server.domain.approvals.overtaking import say_who
from mcp_server.domain.approvals.principals import Principals
from mcp_server.domain.approvals.transactions import overtake, run
from mcp_server.domain.approvals.words import AskedAs
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor, Permission, Scope
from mcp_server.kernel.call import Call, Grant
from mcp_server.kernel.composing import CalledTool, Composing, landed
from mcp_server.kernel.errors import Busy, Conflict, LeaseLost, OpsError, Unavailable
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.kernel.services import Services
from mcp_server.kernel.views import dumped


def approved(services: Services) -> Handler:
    """What waited for people may be waited for: it ends when they have answered, with what they answered."""

    async def handle(job: Job) -> dict[str, Any]:
        approval = await _approval_of(services, job)
        answer = answered(approval.given())
        if answer is None:
            return {"approved": True}
        # "Not before Christmas" is an answer and no consent: who asks for more than a yes is told of none.
        return {"answer": answer, "answered_by": [one.by for one in approval.given() if one.said == answer]}

    return handle


def make_calls(services: Services) -> Handler:
    """Makes the calls that people said yes to: once, in the name of who asked, and never more than that one could do
    when it asked and still can. Where the world has moved, nothing is done, and the approval says what moved."""

    async def handle(job: Job) -> dict[str, Any]:
        approval = await _approval_of(services, job)
        if approval.ran_at is not None:
            return {"approved": True} | json.loads(approval.outcome or "{}")
        if approval.status == "stale":
            raise _failed(json.loads(approval.outcome or "{}").get("message", ""))
        call, speaker = await _in_the_name_of_who_asked(services, approval, job)
        try:
            return {"approved": True, "results": await _made(services, call, speaker, approval)}
        except (Busy, Unavailable, LeaseLost):
            raise  # it is tried again, or somebody else does it
        except OpsError as error:
            context = services.context
            await say_who(context.database, error, approval.opened_at)
            await context.database.write(*context.written(call, overtake, approval.id, error))
            raise _failed(error.message) from None

    return handle


async def _made(services: Services, call: Call, speaker: str | None, approval: Approval) -> list[dict[str, Any]]:
    if speaker is not None:
        call = call.spoken_by(await services.get(Speaking).asked_for(call.actor, speaker), call.lease_token)
    shown = json.loads(approval.calls or "[]")
    asked = [CalledTool(tool=one["tool"], arguments=one["arguments"]) for one in shown]
    changes = await services.option(Composing).compose(services, call, asked, "calls")
    for one, change in zip(shown, changes, strict=True):
        with change.named():
            _require_same(one.get("content"), change.content)
    done = await landed(services, call, changes, partial(run, approval.id))
    return [dumped(view.kept()) for view in done.views]  # who sees the task need not see links


def _require_same(shown: Any, now: Any) -> None:
    if shown != now:
        raise Conflict(
            "What it names (a template, an attached document) was changed after people were asked.",
            next="Ask anew: approvals_request.",
        )


async def _in_the_name_of_who_asked(services: Services, approval: Approval, job: Job) -> tuple[Call, str | None]:
    """A call with what its principal could do when it asked and still can, and the agent that spoke, if one did."""
    asked = AskedAs(**json.loads(approval.asked_as or "null"))
    could = frozenset(one for one in Permission if one.value in asked.permissions)
    scope = Scope.model_validate(asked.scope or {})
    told = {"kind": asked.kind, "id": asked.id, "is_local": asked.is_local, "scope": scope, "key_id": asked.key_id}
    then = Actor.model_validate({**told, "permissions": could})
    now = (await services.get(Standing).still(then)) or then.model_copy(update={"permissions": frozenset[Permission]()})
    can = could & now.permissions & services.option(Principals).now(then.label)
    actor = then.model_copy(update={"permissions": can})
    yes = tuple(answer.by for answer in approval.given() if answer.granted)
    grant = Grant(tuple(approval.people()), approval.needed, yes)
    call = Call(actor, approval.id, lease_token=job.lease_token, toolsets=actor.scope.toolsets, grant=grant)
    return call, asked.speaker


async def _approval_of(services: Services, job: Job) -> Approval:
    approval_id = approval_id_of(job.task_id)
    row = await services.database.fetch_one("approval_by_id", id=approval_id)
    if row is None:
        raise no_approval(approval_id)
    return Approval.adopt(dict(row))


def _failed(why: str) -> HandlerFailed:
    return HandlerFailed(overtaken_words(why), "stale", False)
