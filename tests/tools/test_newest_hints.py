"""An empty list says what there is instead of what nothing has."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.state.commands import SetDocument
from mcp_server.kernel.errors import NotFound
from tests.world import World
from tools import approvals, email, state, tasks

pytestmark = pytest.mark.anyio
FINDS: dict[str, tuple[Any, Any]] = {
    "tasks": (tasks.find, tasks.FindArguments),
    "email": (email.find, email.FindArguments),
    "approvals": (approvals.find, approvals.FindArguments),
    "state": (state.find, state.FindDocuments),
}


async def hint(world: World, area: str, **said: Any) -> str | None:
    find, arguments = FINDS[area]
    return (await find(world.desk, world.call, arguments.model_validate(said))).hint


async def filled(world: World) -> None:
    desk, call = world.desk, world.call
    await world.created({"tags": ["code", "docs"]})
    await desk.emails.send(call, SendEmail(to=("ann@example.org",), cc=("bob@example.org",), subject="s", text="t"))
    await desk.approvals.request(call, RequestApproval(title="t", action="a", approvers=("ann", "bob@example.org")))
    await desk.state.set(call, SetDocument(namespace="notes", key="week/1", value=1, tags=("plan",)))


@pytest.mark.parametrize(
    ("area", "said", "hinted"),
    [
        (
            "tasks",
            {"tag": "coed"},
            "None of the newest tasks has tag coed. Did you mean 'code'? They have: code, docs.",
        ),
        ("email", {"to": "an@example.org"}, "They have: ann@example.org, bob@example.org."),
        ("approvals", {"approver": "anne"}, "None of the newest approvals has approver anne."),
        ("approvals", {"approver": "user:anne"}, "has approver anne."),
        ("state", {"namespace": "notes", "tag": "plane"}, "None of the newest documents has tag plane."),
        ("state", {"prefix": "weak/"}, "has prefix weak/."),
    ],
)
async def test_what_nothing_has_is_said_with_what_there_is(world: World, area: str, said: Any, hinted: str):
    assert "None of the newest" not in (await hint(world, area, **said) or ""), "there is nothing at all"
    await filled(world)
    assert hinted in (await hint(world, area, **said) or "")


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ("tasks", {"tag": "code"}),
        ("tasks", {"tag": "code", "status": "failed"}),
        ("email", {"to": "ann@", "status": ["failed"]}),
        ("approvals", {"approver": "user:Ann", "status": "rejected"}),
        ("state", {"namespace": "notes", "tag": "plan", "prefix": "week"}),
    ],
)
async def test_what_something_has_is_not_said_to_be_missing(world: World, area: str, said: Any):
    await filled(world)
    assert "None of the newest" not in (await hint(world, area, **said) or "")


async def test_approvals_of_a_task_that_there_is_not_are_refused_with_that(world: World):
    task = await world.task()
    assert await hint(world, "approvals", task_id=task.id) is None
    with pytest.raises(NotFound):
        await hint(world, "approvals", task_id="task_bcdfghjkmnpq")
