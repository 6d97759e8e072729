"""Whom a call keeps out: other callers, whatever they are called; users who are not let in any more; and one caller
from taking what is there for all."""

import asyncio
import base64
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.calls.joining import LinkUnknown
from mcp_server.domain.calls.opening import OPEN_MAX, OPEN_OF_ONE_MAX
from mcp_server.domain.calls.wav import wav_file
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel.authority import Actor, Permission, Role, Scope
from mcp_server.kernel.call import Call
from mcp_server.kernel.composing import CalledTool
from mcp_server.kernel.errors import LimitExceeded, NotFound, OpsError, PermissionDenied
from tests.domain.calls.desks import BASE, holding, token_of
from tests.domain.people.test_keys import people, user
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["a_b", "%", "AXB", 'a"b', "a\\b"])
async def test_a_caller_whose_name_is_like_anothers_sees_nothing_of_the_calls_in_which_that_one_is(
    world: World, name: str
):
    async with holding(world) as desk:
        other, own = caller(Role.AGENT, id="axb"), caller(Role.AGENT, id=name)
        theirs = (await desk.desk.calls.open(other, OpenCall(purpose="Theirs", offer="o"))).call
        assert (await desk.desk.calls.get(other, theirs.id)).purpose == "Theirs"
        with pytest.raises(NotFound):
            await desk.desk.calls.get(own, theirs.id)
        with pytest.raises(NotFound):
            await desk.do(theirs.id, "listen", own)
        opened = await desk.open("Ours")
        await desk.do(opened.id, "say", text="hello")
        program = (await desk.desk.calls.open(own, OpenCall(purpose="Own", offer="o"))).call
        assert (await desk.desk.calls.get(own, program.id)).purpose == "Own"


async def test_one_caller_leaves_room_for_the_calls_of_others_whoever_speaks_for_it(world: World):
    async with holding(world) as desk:
        agent = await world.agent("scribe")
        greedy, through = caller(Role.AGENT, id="greedy"), speaking(agent, id="greedy")
        for number in range(OPEN_OF_ONE_MAX):
            await desk.open(call=through if number % 2 else greedy)
        for one in (greedy, through):
            with pytest.raises(LimitExceeded, match="calls of yours wait or go on"):
                await desk.open(call=one)
        assert OPEN_OF_ONE_MAX < OPEN_MAX
        opened = await desk.open(call=caller(Role.AGENT, id="other"))
        assert opened.status == "pending"


async def test_a_link_leads_nowhere_once_who_called_or_is_called_is_not_let_in_any_more(world: World):
    async with holding(world) as desk:
        for name in ("ann", "bob"):
            await user(world, name)
        by_ann = await desk.open(call=caller(Role.AGENT, id="ann"))
        through = await desk.open(call=speaking(await world.agent("scribe"), id="ann"))
        for_bob = await desk.open(participants=["user:bob"])
        calls, urls = desk.desk.calls, (by_ann.join_url, through.join_url, for_bob.join_url)
        for url in urls:
            assert not (await calls.invitation(token_of(url))).is_used
        for name in ("ann", "bob"):
            await people(world).turn_user(world.call, name, "disabled")
        for url in urls:
            with pytest.raises(LinkUnknown):
                await calls.invitation(token_of(url))
            with pytest.raises(LinkUnknown):
                await desk.join(url)


@pytest.mark.parametrize("altered", ["a\0b.1.x", "%.1.x", "_.1.x", "\ud800.1.x", "ä.1.x", f"{'a' * 5000}.1.x", ".1."])
async def test_what_cannot_be_a_link_is_refused_as_one_that_is_not_valid(world: World, altered: str):
    async with holding(world) as desk:
        with pytest.raises(LinkUnknown):
            await desk.join(f"{BASE}/calls/{altered}")


async def test_a_call_that_people_said_yes_to_shows_its_link_to_who_asked_and_keeps_it_nowhere(world: World):
    async with holding(world) as desk:
        asks, watches = caller(Role.AGENT, id="ann"), caller(Role.VIEWER, id="eve")
        calls = (
            CalledTool(tool="calls_open", arguments={"purpose": "Why", "participants": ["user:bob", "user:carl"]}),
        )
        request = RequestApproval(title="May I?", calls=calls, approvers=("tester",))
        approval = (await desk.desk.approvals.request(asks, request)).approval
        await world.answer(desk.call, approval.id)
        async with desk.desk.changes.listen("task") as listener, asyncio.timeout(60):
            while (task := await desk.desk.tasks.get(watches, approval.task_id)).status not in TERMINAL:
                await listener.wait(1)
        (opened,) = (one["call"] for one in task.result["results"])
        kept = str([task, await world.events(), await world.database.fetch_all("call_by_id", id=opened["id"])])
        assert "/calls/" not in kept and "join_url" not in kept
        shown = (await desk.do(opened["id"], "listen", asks)).call
        urls = [one.join_url for one in shown.participants or ()]
        assert len(urls) == 2 and all(urls)
        others = (await desk.do(opened["id"], "listen", desk.call)).call  # an admin's, who did not open it
        assert "/calls/" not in str(others)
        await desk.join(urls[0])
        await desk.until(opened["id"], "active")
        left = (await desk.do(opened["id"], "listen", asks)).call
        assert left.join_url == urls[1]


async def test_what_is_played_out_of_a_document_lies_within_what_the_key_reaches(world: World):
    sound = base64.b64encode(wav_file(b"\x01\x00" * 8000)).decode()
    for namespace in ("team.a", "team.b"):
        await world.write(namespace, "chime", sound)
    role = Role.AGENT.permissions
    narrow = Call(Actor(kind="user", id="ann", permissions=role, scope=Scope(namespace="team.a")), "c")
    blind = Call(Actor(kind="user", id="bob", permissions=role - {Permission.STATE_READ}), "c")
    async with holding(world) as desk:
        for key, place in ((narrow, "team.b/chime"), (blind, "team.a/chime")):
            opened = await desk.open(call=key, media="audio")
            with pytest.raises(OpsError) as refused:
                await desk.do(opened.id, "play", key, wav=place)
            with pytest.raises(OpsError) as missing:
                await desk.do(opened.id, "play", key, wav=f"{place}s")
            assert str(refused.value).replace(place, "") == str(missing.value).replace(f"{place}s", "")
        opened = await desk.open(call=narrow, media="audio")
        assert (await desk.do(opened.id, "play", narrow, wav="team.a/chime")).call.lines == 1


async def test_who_did_not_open_a_call_does_nothing_to_it_but_speak(world: World):
    scribe = await world.agent("scribe")
    async with holding(world, mails_leave=True) as desk:
        opened = await desk.open(participants=["scribe", "user:bob"])
        as_scribe, stranger = speaking(scribe, id="another"), caller(Role.AGENT, id="stranger")
        asked: list[tuple[Any, dict[str, Any]]] = [
            *(("end", {}), ("mute", {}), ("unmute", {}), ("hold", {}), ("resume", {})),
            *(("ask", {"text": "May I?"}), ("invite", {"participants": ["user:eve"]})),
        ]
        for action, more in asked:
            with pytest.raises(PermissionDenied, match="Only who opened"):
                await desk.do(opened.id, action, as_scribe, **more)
        for action, more in (*asked, ("say", {"text": "x"}), ("listen", {}), ("accept_offer", {"offer": "v=0"})):
            with pytest.raises(NotFound):
                await desk.do(opened.id, action, stranger, **more)
        assert await world.events(type="approval.requested") == []
        seen = await desk.see(opened.id)
        assert (seen.status, seen.lines, len(seen.participants or ())) == ("pending", 0, 2)
        assert "/calls/" not in str((await desk.do(opened.id, "listen", as_scribe)).call)
