"""Calls from being opened to their end, on both engines."""

import asyncio
import base64

import pytest

from mcp_server.domain.calls.age import is_anything_old
from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.calls.joining import LinkOver, LinkUnknown, LinkUsed
from mcp_server.domain.calls.media import MediaDied
from mcp_server.domain.calls.model import Line
from mcp_server.domain.calls.orders import Away, Back, Candidate, Close, Gone, Hold, Mute, Play, Recorded, Say
from mcp_server.domain.calls.owning import Fence, heard
from mcp_server.domain.calls.retention import CallRetention
from mcp_server.domain.calls.views import OpenedCall
from mcp_server.domain.calls.wav import wav_file
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import (
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    OpsError,
    PermissionDenied,
    Unavailable,
)
from mcp_server.upkeep.replay import replay
from tests.domain.calls.desks import BASE, CallDesk, holding, token_of
from tests.world import World, caller, speaking
from tools import TOOLS

pytestmark = pytest.mark.anyio
CALLS_OPEN = next(tool for tool in TOOLS if tool.name == "calls_open")


async def task_of(desk: CallDesk, task_id: str | None) -> TaskView:
    """A call's task, once it has ended."""
    assert task_id is not None
    async with desk.desk.changes.listen("task") as listener, asyncio.timeout(60):
        while (task := await desk.desk.tasks.get(desk.call, task_id)).status not in TERMINAL:
            await listener.wait(10)
    return task


async def test_a_call_goes_from_its_link_to_its_end_and_its_outcome_is_its_tasks(world: World):
    async with holding(world) as desk:
        parent = await world.task()
        opened = await desk.open("Which backup?", task_id=parent.id)
        assert (opened.status, opened.join_url is not None) == ("pending", True)
        await desk.do(opened.id, "say", text="Good morning")
        shown = await desk.desk.calls.invitation(token_of(opened.join_url))
        assert (shown.purpose, shown.is_used, shown.status) == ("Which backup?", False, "pending")

        joined = await desk.join(opened.join_url, name="Ann")
        assert joined.answer == "answer to o" and joined.resume is not None
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        (welcome,) = media.messages("welcome")
        assert [line["text"] for line in welcome["lines"]] == ["Good morning"]

        media.says(1, type="text", text="The latest", ref="r1")
        heard = await desk.do(opened.id, "listen", after=2, wait_seconds=20)
        assert [(line.who, line.text) for line in heard.messages or ()] == [("guest Ann", "The latest")]
        await media.until(lambda: any(m["line"].get("ref") == "r1" for m in media.messages("line", 1)))

        ended = await desk.do(opened.id, "end", text="done")
        assert (ended.call.status, ended.call.reason) == ("ended", "done")
        task = await task_of(desk, opened.task_id)
        assert task.status == "completed" and task.parent_id == parent.id
        assert (task.result["outcome"], task.result["joined"]) == ("ended", 1)
        assert "Ann" not in str(task) and "done" not in str(task)  # nor whoever else is named, nor anybody's words
        assert media.left and any(isinstance(order, Close) for order in media.orders)
        assert await world.database.fetch_all("call_requests_open", call_id=opened.id) == []
        owned = await world.database.fetch_one("due.call_owners")
        assert owned is not None and owned["at"] is None


async def test_who_is_the_last_to_leave_ends_the_call(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        desk.media.calls[opened.id].says(1, type="hangup")
        over = await desk.until(opened.id, "ended")
        assert over.reason == "guest was the last to leave (hung up)"
        assert ("desk", "note", "guest left: hung up") in await desk.lines(opened.id)


async def test_a_link_is_good_once_and_the_secret_it_gave_brings_back_who_has_joined(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        joined = await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        with pytest.raises(LinkUsed):
            await desk.join(opened.join_url)
        with pytest.raises(LinkUsed):
            await desk.join(opened.join_url, resume="resume_of_somebody_else")
        desk.media.calls[opened.id].told.put_nowait(Away("1"))
        again = await desk.join(opened.join_url, resume=joined.resume)
        assert again.resume == joined.resume
        for altered in (f"{opened.join_url}x", f"{BASE}/calls/x.1.y", f"{BASE}/calls/{opened.id}", "\ud800.1.2"):
            with pytest.raises(LinkUnknown):
                await desk.join(altered)
        token = token_of(opened.join_url)
        other = token.replace(".1.", ".2.")
        with pytest.raises(LinkUnknown):
            await desk.desk.calls.invitation(other)
        await desk.do(opened.id, "end")
        with pytest.raises(LinkOver):
            await desk.desk.calls.invitation(token)


async def test_a_call_that_nobody_joins_in_time_has_failed_and_its_link_with_it(world: World):
    async with holding(world) as desk:
        opened = await desk.open(expires_in_seconds=10)
        world.clock.advance(11)
        with pytest.raises(LinkOver):
            await desk.join(opened.join_url)
        await world.settle()
        assert (await desk.see(opened.id)).reason == "nobody joined in time"
        task = await task_of(desk, opened.task_id)
        assert task.status == "failed" and "nobody joined" in str(task.error)


async def test_a_call_lasts_no_longer_than_the_operator_allows(world: World):
    async with holding(world, minutes_max=0.05) as desk:
        opened = await desk.open()
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        world.clock.advance(4)
        await world.settle()
        assert (await desk.see(opened.id)).reason == "it lasted 0.05 minutes, as long as calls may"


async def test_hold_and_mute_reach_the_media_and_each_is_an_event(world: World):
    async with holding(world) as desk:
        opened = await desk.open(media="audio")
        with pytest.raises(InvalidTransition):
            await desk.do(opened.id, "hold")
        await desk.join(opened.join_url, audio=True)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        await desk.do(opened.id, "mute")
        await desk.do(opened.id, "mute")
        await media.until(lambda: Mute(True) in media.orders)
        assert (await desk.do(opened.id, "hold")).call.status == "on_hold"
        await media.until(lambda: Hold(True) in media.orders)
        assert (await desk.do(opened.id, "resume")).call.status == "active"
        await desk.do(opened.id, "unmute")
        await media.until(lambda: media.orders.count(Mute(False)) > 0)
        types = await world.events()
        for what in ("call.muted", "call.unmuted", "call.held", "call.resumed"):
            assert types.count(what) == 1


async def test_an_offer_that_is_none_is_refused_with_the_reason_and_leaves_the_link_good(world: World):
    async with holding(world) as desk:
        opened = await desk.open()

        desk.media.refuses = "it has no m-line"
        with pytest.raises(OpsError, match="it has no m-line"):
            await desk.join(opened.join_url)
        shown = await desk.desk.calls.invitation(token_of(opened.join_url))
        assert (shown.is_used, shown.status) == (False, "pending")


async def test_a_call_whose_media_process_dies_has_failed_and_keeps_what_was_said_and_recorded(world: World):
    async with holding(world) as desk:
        opened = await desk.open(media="audio", record=True)
        await desk.join(opened.join_url, audio=True)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        assert desk.media.opened == [(opened.id, True, True)]
        media.told.put_nowait(Recorded(b"\x01\x00" * 16_000, -20.0))
        media.told.put_nowait(MediaDied("killed"))
        over = await desk.until(opened.id, "failed")
        assert over.reason == "its media process ended: killed"
        assert over.recording is not None and (over.recording.seconds, over.recording.peak_dbfs) == (1.0, -20.0)
        data = await desk.desk.calls.recording(desk.call, opened.id, 0)
        assert data[:4] == b"RIFF" and len(data) == 44 + 32_000
        with pytest.raises(NotFound):
            await desk.desk.calls.recording(desk.call, opened.id, 2)
        assert (await task_of(desk, opened.task_id)).status == "failed"
        assert "guest joined; this call is recorded" in [text for _, _, text in await desk.lines(opened.id)]


async def test_who_is_away_and_back_is_told_of_and_who_stays_away_is_gone(world: World):
    async with holding(world) as desk:
        opened = await desk.open(participants=["user:ann", "user:bob"])
        links = [one.join_url for one in opened.participants or ()]
        for link in links:
            await desk.join(link)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        media.told.put_nowait(Away("1"))
        media.told.put_nowait(Back("1"))
        media.told.put_nowait(Gone("2", "away for a minute"))
        heard = ""
        while "bob left" not in heard:
            found = await desk.do(opened.id, "listen", wait_seconds=20)
            heard = "; ".join(line.text for line in found.messages or ())
            await asyncio.sleep(0.01)
        assert "ann is not heard of; ann is back; bob left: away for a minute" in heard
        assert [one.state for one in (await desk.see(opened.id)).participants or ()] == ["joined", "left"]


async def test_two_people_read_each_other_and_who_comes_later_what_was_said_before(world: World):
    async with holding(world) as desk:
        opened = await desk.open(participants=["user:ann", "user:bob"])
        ann, bob = [one.join_url for one in opened.participants or ()]
        await desk.join(ann)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        media.says(1, type="text", text="Is anybody here?")
        await media.until(lambda: "Is anybody here?" in [m["line"]["text"] for m in media.messages("line")])
        await desk.join(bob)
        welcome = media.messages("welcome")[-1]
        assert (welcome["you"], "Is anybody here?" in [line["text"] for line in welcome["lines"]]) == (2, True)


async def test_what_an_agent_says_is_spoken_where_there_is_a_command_for_it(world: World):
    async with holding(world, speaks=True) as desk:
        opened = await desk.open(media="audio")
        await desk.do(opened.id, "say", text="Good morning")
        await desk.join(opened.join_url, audio=True)
        await desk.until(opened.id, "active")
        media = desk.media.calls[opened.id]
        await media.until(lambda: any(isinstance(order, Say) for order in media.orders))
        assert [order.text for order in media.orders if isinstance(order, Say)] == ["Good morning"]


async def test_agents_are_asked_in_by_a_message_and_take_part_without_a_link(world: World):
    async with holding(world) as desk:
        scribe, other = await world.agent("scribe"), await world.agent("other")
        opened = await desk.open(participants=["scribe"], purpose="Numbers")
        assert "written to" not in CALLS_OPEN.say(OpenedCall(call=opened)), "no mail went to anybody"
        with pytest.raises(InvalidTransition, match="No person takes part.*approvals_request; approvals_decide"):
            await desk.do(opened.id, "ask", text="May I?")
        inbox = await world.desk.messages.read(speaking(scribe), ReadMessages())
        assert opened.id in inbox.messages[0].body
        as_scribe, as_other = speaking(scribe, id="s"), speaking(other, id="o")
        await desk.do(opened.id, "say", as_scribe, text="Seven")
        assert ((await desk.do(opened.id, "listen", as_scribe)).messages or [])[-1].text == "Seven"
        with pytest.raises(PermissionDenied):
            await desk.do(opened.id, "end", as_scribe)
        with pytest.raises(NotFound):
            await desk.do(opened.id, "say", as_other, text="x")
        answered = await desk.do(opened.id, "accept_offer", as_scribe, offer="v=0")
        assert answered.answer == "answer to v=0"


async def test_a_program_joins_by_the_offer_with_which_it_opens(world: World):
    async with holding(world) as desk:
        opened = await desk.desk.calls.open(desk.call, OpenCall(purpose="Why", offer="v=0"))
        assert (opened.answer, opened.call.join_url) == ("answer to v=0", None)
        await desk.until(opened.call.id, "active")


async def test_without_the_extra_the_tools_say_how_to_get_it(world: World):
    with pytest.raises(Unavailable):
        await world.desk.calls.open(world.call, OpenCall(purpose="Why"))


async def test_calls_are_their_openers_alone(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        stranger = caller(Role.AGENT, id="stranger")
        for read in (desk.desk.calls.get(stranger, opened.id), desk.desk.calls.transcript(stranger, opened.id, 0)):
            with pytest.raises(NotFound):
                await read
        with pytest.raises(NotFound):
            await desk.do(opened.id, "say", stranger, text="x")
        assert (await desk.desk.calls.get(caller(Role.OPERATOR, id="op"), opened.id)).id == opened.id


async def test_what_was_said_is_forgotten_when_its_time_is_over_and_the_call_stays(world: World):
    async with holding(world, keep_days=30) as desk:
        opened = await desk.open()
        await desk.do(opened.id, "say", text="Good morning")
        await desk.do(opened.id, "end")
        retention = desk.desk.get(CallRetention)
        assert await retention.forget_some() == 0
        world.clock.advance(31 * 86_400)
        assert await is_anything_old(desk.desk) and await retention.forget_some() == 1
        seen = await desk.see(opened.id)
        assert (await desk.lines(opened.id), seen.purpose, seen.forgotten_at is not None) == ([], "Why", True)
        assert not await is_anything_old(desk.desk)


async def test_what_is_played_is_a_wav_file_given_or_kept_in_a_document(world: World):
    async with holding(world) as desk:
        opened = await desk.open(media="audio")
        sound = base64.b64encode(wav_file(b"\x01\x00" * 8000)).decode()
        await world.write("sounds", "chime", sound)
        for what in ("no base64!", base64.b64encode(b"no sound").decode(), "sounds/none"):
            with pytest.raises(OpsError):
                await desk.do(opened.id, "play", wav=what)
        await desk.join(opened.join_url, audio=True)
        await desk.until(opened.id, "active")
        await desk.do(opened.id, "play", wav="sounds/chime")
        media = desk.media.calls[opened.id]
        await media.until(lambda: any(isinstance(order, Play) for order in media.orders))
        assert ("played", "sounds/chime (0.5 s)") in [(kind, text) for _, kind, text in await desk.lines(opened.id)]
        written = await desk.open()
        with pytest.raises(InvalidTransition, match="in writing"):
            await desk.do(written.id, "play", wav=sound)


async def test_candidates_reach_the_connection_of_who_gives_them(world: World):
    async with holding(world) as desk:
        opened = await desk.desk.calls.open(desk.call, OpenCall(purpose="Why", offer="v=0"))
        await desk.until(opened.call.id, "active")
        media, one = desk.media.calls[opened.call.id], {"candidate": "candidate:1", "sdpMid": "0"}
        await desk.do(opened.call.id, "add_candidate", candidate=one)
        await media.until(lambda: Candidate("1", one) in media.orders)
        stranger = await desk.open()
        with pytest.raises(InvalidTransition, match="No program of yours"):
            await desk.do(stranger.id, "add_candidate", candidate=one)


async def test_no_more_calls_go_on_at_once_than_the_operator_allows(world: World):
    async with holding(world, at_once=1) as desk:
        first, second = await desk.open(), await desk.open()
        await desk.join(first.join_url)
        await desk.until(first.id, "active")
        with pytest.raises(LimitExceeded, match="at once"):
            await desk.join(second.join_url)
        await desk.do(first.id, "end")
        assert (await desk.join(second.join_url)).answer


async def test_cancelling_its_task_ends_a_call(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        assert opened.task_id is not None
        await desk.desk.tasks.control(desk.call, ControlTasks(task_ids=(opened.task_id,), action="cancel"))
        over = await desk.until(opened.id, "ended")
        assert over.reason == "its task was cancelled"


async def test_a_call_whose_server_gives_no_sign_has_failed_and_its_late_server_writes_nothing(world: World):
    async with holding(world) as desk:
        opened = await desk.open()
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        world.clock.advance(7)
        await world.settle()
        assert (await desk.see(opened.id)).reason == "the server that held it ended"
        with pytest.raises(LeaseLost):
            origin = world.desk.context.origin(desk.call)
            await world.database.write(heard, origin, Fence(opened.id, 1), Line("ann", "text", "late", 1))


async def test_a_call_of_anothers_clock_that_was_ahead_lasts_no_longer_for_it(world: World):
    world.clock.set(86_400)
    async with holding(world) as desk:
        opened = await desk.open(expires_in_seconds=60)
        world.clock.set(-86_400)
        await world.desk.housekeeping.keep_time()
        row = await world.database.fetch_one("call_by_id", id=opened.id)
        assert row is not None and row["due_at"] - world.clock.now == 60_000_000


async def test_calls_are_rebuilt_from_their_events(world: World):
    async with holding(world) as desk:
        opened = await desk.open(participants=["user:ann"])
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        desk.media.calls[opened.id].says(1, type="text", text="hello")
        await desk.do(opened.id, "listen", after=1, wait_seconds=20)
        await desk.do(opened.id, "hold")
        await desk.do(opened.id, "end")
        await task_of(desk, opened.task_id)
    assert replay(world.url).differences == ()


async def test_a_link_by_which_no_connection_came_to_be_is_good_again(world: World):
    async with holding(world) as desk:
        desk.media.connects = False
        opened = await desk.open()
        await desk.join(opened.join_url)
        await desk.until(opened.id, "ringing")
        with pytest.raises(LinkUsed):
            await desk.join(opened.join_url)
        desk.media.calls[opened.id].told.put_nowait(Gone("1", "could not be connected"))
        await desk.until(opened.id, "pending")
        desk.media.calls[opened.id].connects = True
        await desk.join(opened.join_url)
        assert (await desk.until(opened.id, "active")).status == "active"
