"""Users who are asked: mail reaches them by their profile, and who is not let in any more decides nothing."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.people.commands import AddUser, ChangeUser
from mcp_server.domain.people.managing import PeopleService
from mcp_server.kernel.errors import NotFound
from tests.domain.approvals.test_service import Posted, desk_with, request, work
from tests.world import World

pytestmark = pytest.mark.anyio

PAGES = ApprovalPolicy(links_base="http://desk.test", mails_leave=True, allow=("*@allowed.org",))


async def people(world: World) -> PeopleService:
    """Ann with an address, which only the operator can have allowed; Bob without one."""
    world.desk = desk_with(world, PAGES)
    service = world.desk.get(PeopleService)
    await service.add_user(world.call, AddUser(name="ann", address="Ann <ann@example.org>"))
    await service.add_user(world.call, AddUser(name="bob"))
    return service


async def mails(world: World) -> list[Any]:
    posted = Posted()
    await work(world, posted)
    return posted.mails


async def test_a_user_is_asked_by_mail_at_the_address_of_its_profile(world: World):
    await people(world)
    spec = {"title": "Deploy", "action": "Now.", "approvers": ["user:ann", "bob"]}
    asked = await world.desk.approvals.request(world.call, RequestApproval.model_validate(spec))
    assert asked.links_sent_to == ["ann"]
    (mail,) = await mails(world)
    assert mail.to == ["Ann <ann@example.org>"]
    link = next(word for word in mail.text.split() if word.startswith("http://desk.test/approvals/"))
    opened = await world.desk.approvals.open_link(link.rpartition("/")[2])
    assert opened.voter.name == "ann"


async def test_who_is_not_let_in_any_more_gets_no_mail_and_its_link_opens_nothing(world: World):
    service = await people(world)
    asked = await request(world, "ann", "bob")
    link = await world.desk.approvals.link(asked.id, "ann")
    assert link is not None
    await service.turn_user(world.call, "ann", "disabled")
    assert await mails(world) == []
    with pytest.raises(NotFound, match="not valid, or no longer"):
        await world.desk.approvals.open_link(link.rpartition("/")[2])
    await service.turn_user(world.call, "ann", "enabled")
    assert (await world.desk.approvals.open_link(link.rpartition("/")[2])).voter.name == "ann"


async def test_nobody_is_written_to_where_no_profile_has_an_address(world: World):
    service = await people(world)
    await service.change_user(world.call, ChangeUser(name="ann", address=""))
    await request(world, "ann", "bob", "stranger")
    assert await mails(world) == []
    assert "task.created" in await world.events()
