"""One mailbox or one user is one person, however it is spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.people import distinct, mailbox, person_key
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import InvalidTransition
from tests.domain.approvals.test_service import decide, request
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio
letters = st.text("abcdefXYZ", min_size=1, max_size=8)
addresses = st.builds(lambda local, domain: f"{local}@{domain}.org", letters, letters)


@given(addresses, letters, st.sampled_from(["{a}", " {a} ", "{n} <{a}>", '"{n}, {n}" <{a}>', "<{a}>"]))
def test_every_spelling_of_an_address_is_one_mailbox(address: str, name: str, form: str):
    spelled = form.format(a=address, n=name)
    assert mailbox(spelled) == person_key(spelled) == mailbox(address.swapcase()) == address.lower()


@given(st.lists(st.one_of(addresses, letters), max_size=8))
def test_each_person_is_named_once_and_in_order(people: list[str]):
    found = distinct([*people, *(person.swapcase() for person in people)])
    assert [person_key(one) for one in found] == list(dict.fromkeys(map(person_key, people)))
    assert distinct(found) == found


@pytest.mark.parametrize("wrong", ["a@@x", "ann@", "@x.org", "a@x.org, b@x.org", "Ann <a@x.org> b@x.org"])
def test_what_is_no_address_is_refused_at_the_request(wrong: str):
    with pytest.raises(ValueError, match="address"):
        RequestApproval(title="t", action="a", approvers=(wrong,))


async def test_two_names_of_one_mailbox_have_one_vote(world: World):
    approval = await request(world, "Ann <a@x.org>", "a@X.org", "A@x.org", "bob", quorum="all")
    asked = await world.desk.approvals.get(world.call, approval.id)
    assert (asked.approvers, asked.needed, approval.needed) == (["a@x.org", "bob"], 2, 2)
    assert (await decide(world, "A@X.ORG", approval.id)).status == "pending"
    with pytest.raises(InvalidTransition, match="has answered"):
        await decide(world, "a@x.org", approval.id)
    assert (await decide(world, "Bob", approval.id)).status == "approved"


async def test_the_same_person_by_link_and_at_the_command_line_counts_once(world: World):
    approval = await request(world, "Ann <ann@x.org>", "bob@x.org", quorum="all")
    await world.answer(caller(id="ann@x.org"), approval.id, via="link")
    with pytest.raises(InvalidTransition, match="ann@x.org has answered"):
        await world.answer(caller(id="ANN@x.org"), approval.id, via="command line")
    assert (await world.desk.approvals.get(world.call, approval.id)).status == "pending"


async def test_who_decided_is_the_actor_of_the_decision_also_where_an_agent_had_them_asked(world: World):
    agent = await world.agent("scribe")
    task = await world.task(requires_approval=True)
    await world.answer(speaking(agent, Role.ADMIN), task.id, via="client")
    told, _ = await world.desk.events.read(world.call, ReadEvents(type="approval.approved"))
    assert [(one.actor, one.data["answers"][0]["via"]) for one in told] == [("user:tester", "client")]


async def test_whatever_happens_to_a_question_its_event_tells_what_was_asked(world: World):
    for granted in (True, False):
        approval = await request(world, "ann@x.org", title="Rent a van?", expires_in_seconds=60)
        world.clock.advance(31)
        await world.settle()
        await world.answer(caller(id="ann@x.org"), approval.id, granted, via="link")
    told, _ = await world.desk.events.read(world.call, ReadEvents(type="approval.*"))
    assert {event.type for event in told} >= {"approval.reminded", "approval.approved", "approval.rejected"}
    assert {event.data["title"] for event in told} == {"Rent a van?"}
