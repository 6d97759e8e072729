"""The page of a call in a real browser, against a real WebRTC peer. Skipped where no Chromium is installed."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from mcp_server.domain.calls.joining import LinkOver
from mcp_server.kernel.errors import Unavailable
from tests.pages.browsers import CHROMIUM, CONTRASTS, MICROPHONE, hears, microphone_file, phone
from tests.pages.peers import RATE, RESUME, Peer, calling, loudness
from tests.pages.test_rendering import HOSTILE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
ASK = {
    "type": "ask",
    "id": "approval_1",
    "title": "Deploy v7",
    "action": "Deploy v7 to production.\nTwo services restart.",
    "choices": None,
    "free_text": False,
    "action_hash": "ab" * 32,
    "expires_at": "2027-01-15T09:00:00.000Z",
}
SECOND = 4 * RATE
"""Bytes of a second of 16-bit stereo sound."""


async def joined(page: Page, url: str, button: str = "Join") -> None:
    await page.goto(url)
    await page.get_by_role("button", name=button, exact=True).tap()
    await expect(page.locator("#state")).to_have_text("Connected")


async def enough(peer: Peer, seconds: float = 1.0) -> bytes:
    """What is heard from the microphone from now on."""
    peer.heard.clear()
    async with asyncio.timeout(60):
        while len(peer.heard) < SECOND * seconds:
            await asyncio.sleep(0.02)
    return bytes(peer.heard)


async def becomes(peer: Peer, hertz: float, is_heard: bool) -> None:
    """Wait until the tone is heard, or until there is silence."""
    async with asyncio.timeout(60):
        while (loudness(await enough(peer, 0.2), hertz, 2, RATE) > 0.5) != is_heard:
            pass


async def test_a_person_reads_why_joins_writes_and_hangs_up():
    async with calling() as (peer, url), phone() as (page, complaints):
        peer.write("Good morning. v7 is ready.")
        await page.goto(url)
        assert "agent:scribe via user:local" in await page.locator("#invitation").inner_text()
        assert "> Shall v7 go out?" in await page.locator("pre").first.inner_text()
        assert peer.offers == [] and await page.evaluate("lines.length") == 0
        await page.get_by_role("button", name="Join").tap()
        await page.get_by_text("Good morning. v7 is ready.").wait_for()
        await expect(page.locator("#state")).to_have_text("Connected")
        sizes = await page.locator(".words, label").evaluate_all(
            "all => all.map((one) => getComputedStyle(one).fontSize)"
        )
        assert set(sizes) == {"17px"}, "what the agent says is no small print"
        await page.get_by_label("Write to the call").fill("Hello")
        await page.keyboard.press("Enter")
        said = await peer.told("text")
        assert said["text"] == "Hello"
        peer.write("Hello", who="ann@example.org", ref=said["ref"])
        await page.get_by_text("ann@example.org wrote").wait_for()
        assert await page.get_by_role("listitem").filter(has_text="Hello").count() == 1
        await page.get_by_role("button", name="Hang up").tap()
        await page.get_by_text("You can close this window.").wait_for()
        assert await page.locator("#reason").inner_text() == "You hung up."
        assert await page.get_by_role("button").count() == 0
        assert await page.evaluate("[askedFor.length, localStorage.length]") == [0, 0]
        assert complaints == []


async def test_sound_goes_both_ways_and_the_microphone_only_where_it_was_asked_for(tmp_path: Path):
    flag = microphone_file(tmp_path / "tone.wav", 1000)
    async with calling(media="audio", record=True) as (peer, url), phone(MICROPHONE, flag) as (page, complaints):
        peer.tone = 440
        await page.goto(url)
        assert await page.evaluate("askedFor.length") == 0
        await joined(page, url)
        assert await page.evaluate("askedFor.map((one) => [Boolean(one.audio), one.video])") == [[True, False]]
        await expect(page.get_by_text("This call is recorded.", exact=True)).to_be_visible()
        await hears(page, 440)
        await becomes(peer, 1000, True)
        assert loudness(await enough(peer), 440, 2, RATE) < 0.05, "what is heard does not come back"
        await page.get_by_label("Muted").check()
        while not (await peer.told("muted"))["on"]:
            pass
        await becomes(peer, 1000, False)
        await page.get_by_label("Hold to talk").check()
        talk = page.get_by_role("button", name="Hold to talk")
        await talk.focus()
        await page.keyboard.down("Space")
        assert (await peer.told("talking"))["on"] is True
        await becomes(peer, 1000, True)
        await page.keyboard.up("Space")
        assert (await peer.told("talking"))["on"] is False
        await becomes(peer, 1000, False)
        await talk.dispatch_event("pointerdown", {"pointerId": 1})
        assert await talk.get_attribute("aria-pressed") == "true"
        await talk.dispatch_event("pointerup", {"pointerId": 1})
        assert [(await peer.told("talking"))["on"] for _ in range(2)] == [True, False]
        await page.get_by_label("Open").check()
        await becomes(peer, 1000, True)
        await page.get_by_role("button", name="Hang up").tap()
        await page.get_by_text("You can close this window.").wait_for()
        assert complaints == []


async def test_who_gives_no_microphone_hears_and_writes():
    async with calling(media="audio") as (peer, url), phone() as (page, complaints):
        peer.tone = 440
        await joined(page, url)
        assert "was not allowed. You can listen and write" in await page.get_by_role("alert").inner_text()
        assert not await page.locator("#microphone").is_visible()
        await hears(page, 440)
        assert "a=recvonly" in peer.offers[0].offer and complaints == []


async def test_where_another_speaks_already_the_page_gives_the_microphone_back_and_says_so():
    async with calling(media="audio") as (peer, url), phone(MICROPHONE) as (page, complaints):
        peer.takes_no_sound = True
        await joined(page, url)
        assert "Another person speaks in this call" in await page.get_by_role("alert").inner_text()
        assert not await page.locator("#microphone").is_visible() and complaints == []
        senders = "lines[0].getSenders().map((one) => one.track.readyState)"
        assert await page.evaluate(senders) == ["ended"]


async def test_without_https_the_page_says_why_there_is_no_microphone_and_asks_for_none():
    flag = "--host-resolver-rules=MAP lan.test 127.0.0.1"
    async with calling(media="audio") as (peer, url), phone(MICROPHONE, flag) as (page, _):
        peer.tone = 440
        await page.goto(url.replace("127.0.0.1", "lan.test"))
        assert "does not come over https" in await page.get_by_role("alert").inner_text()
        await page.get_by_role("button", name="Join").tap()
        await expect(page.locator("#state")).to_have_text("Connected")
        assert "only to pages over https" in await page.get_by_role("alert").inner_text()
        assert await page.evaluate("askedFor.length") == 0 and len(peer.offers) == 1


async def test_what_is_asked_is_shown_whole_and_answered_once_by_its_hash():
    async with calling() as (peer, url), phone() as (page, complaints):
        await joined(page, url)
        peer.say(**ASK)
        shown = page.locator(".ask pre")
        await shown.wait_for()
        text = await shown.inner_text()
        assert text == "> Deploy v7 to production.\n> Two services restart.", "which its title but begins"
        peer.say(**ASK | {"id": "approval_2", "title": "Ship it"})
        titled = await page.locator(".ask pre").nth(1).inner_text()
        assert titled == f"> Ship it\n{text}"
        peer.say(type="asked", id="approval_2", outcome="expired")
        peer.say(**ASK)
        await expect(page.get_by_role("button", name="Approve")).to_have_count(1)
        await page.get_by_role("button", name="Approve").tap()
        answer = {"type": "answer", "id": "approval_1", "action_hash": "ab" * 32, "decision": "approve"}
        assert await peer.told("answer") == answer
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()
        peer.say(type="error", text="Somebody has asked anew.", about="approval_1")
        await page.get_by_text("Somebody has asked anew.").wait_for()
        await page.get_by_role("button", name="Reject").tap()
        assert await peer.told("answer") == answer | {"decision": "reject"}
        peer.say(type="asked", id="approval_1", outcome="ann@example.org rejected")
        await expect(page.locator(".ask button")).to_have_count(0)
        peer.say(type="bye", reason="The agent ended the call.")
        decided = ["Ship it: expired", "Deploy v7: ann@example.org rejected"]
        await expect(page.locator("#decided li")).to_have_text(decided)
        assert await page.locator("#reason").inner_text() == "The agent ended the call."
        assert await page.evaluate("document.activeElement.id") == "over"
        assert complaints == []


async def test_a_question_is_answered_by_a_choice_or_in_ones_own_words():
    async with calling() as (peer, url), phone() as (page, _):
        await joined(page, url)
        question = ASK | {"choices": ["blue", "green <b>"], "free_text": True}
        for number, (how, told) in enumerate([("green <b>", {"choice": "green <b>"}), ("purple", {"text": "purple"})]):
            peer.say(**question | {"id": f"approval_{number}", "details": "Asked by agent:scribe.\n> Which\u202e?"})
            card = page.locator(".ask").last
            assert await card.locator("pre").inner_text() == "Asked by agent:scribe.\n> Which\\u202e?"
            await card.get_by_role("button", name="Answer", exact=True).tap()
            await card.get_by_text("Choose an answer first.").wait_for()
            if "choice" in told:
                await card.get_by_label(how).check()
            else:
                await card.get_by_label("Or your own answer").fill(how)
            await card.get_by_role("button", name="Answer", exact=True).tap()
            answer = await peer.told("answer")
            assert {name: answer.get(name) for name in ("choice", "text") if name in answer} == told
            peer.say(type="asked", id=f"approval_{number}", outcome=how)
            await expect(page.locator(".ask").last.locator("button")).to_have_count(0)


async def test_words_of_others_stay_words_and_hide_nothing():
    async with calling(purpose=HOSTILE, opened_by=HOSTILE, participant=HOSTILE) as (peer, url):
        async with phone() as (page, complaints):
            await joined(page, url)
            before = await page.evaluate("document.querySelectorAll('script,img,style').length")
            peer.write(HOSTILE, who=HOSTILE)
            peer.write("one\ntwo\u202e\u200bthree", kind="constructor")
            peer.say(**ASK | {"title": HOSTILE, "action": HOSTILE, "choices": [HOSTILE]})
            people = [{"name": HOSTILE, "state": HOSTILE}]
            peer.say(type="state", status="active", recording=False, muted=False, participants=people)
            peer.say(type="error", text=HOSTILE)
            peer.say(type="__proto__", text=HOSTILE)
            await expect(page.get_by_role("alert")).to_have_text(HOSTILE)
            assert "one\ntwo\\u202e\\u200bthree" in await page.locator(".words").last.inner_text()
            for place in ("#invitation", ".ask pre", "#people", "#lines", ".choices"):
                assert HOSTILE in (await page.locator(place).inner_text()).replace("\n", ""), place
            peer.say(type="bye", reason=HOSTILE)
            await expect(page.locator("#reason")).to_have_text(HOSTILE)
            assert await page.evaluate("document.querySelectorAll('script,img,style').length") == before
            assert complaints == []


async def test_a_silent_line_is_noticed_and_joined_again_and_nothing_is_told_twice():
    async with calling() as (peer, url), phone() as (page, complaints):
        peer.write("first")
        await joined(page, url)
        await page.get_by_label("Write to the call").fill("on its way")
        await page.keyboard.press("Enter")
        await peer.told("text")
        peer.fall_silent()
        peer.refusal = Unavailable("Whoever holds the call does not answer.")
        await expect(page.locator("#state")).to_have_text("Connection lost, trying again")
        await page.get_by_text("It may not have arrived").wait_for()
        async with asyncio.timeout(60):
            while len(peer.offers) < 2:
                await asyncio.sleep(0.05)
        peer.refusal = None
        peer.lines.append({"n": 2, "at": "2027-01-15T08:00:00Z", "who": "a", "kind": "text", "text": "missed"})
        await expect(page.locator("#state")).to_have_text("Connected")
        await page.get_by_text("missed").wait_for()
        assert [offer.resume for offer in peer.offers][0] is None
        assert {offer.resume for offer in peer.offers[1:]} == {"resume-secret"}
        assert await page.get_by_text("first").count() == 1
        assert not [one for one in complaints if "503" not in one]


async def test_a_line_that_ended_without_a_word_is_joined_again_at_once_unless_the_call_has_ended():
    async with calling() as (peer, url), phone() as (page, _):
        await joined(page, url)
        await peer.vanish()
        async with asyncio.timeout(60):
            while len(peer.offers) < 2:
                await asyncio.sleep(0.05)
        await expect(page.locator("#state")).to_have_text("Connected")
        peer.refusal = LinkOver("The call has failed: its media process died.")
        await peer.vanish()
        await page.get_by_text("its media process died").wait_for()
        assert await page.locator("#over").is_visible()


async def test_a_page_that_is_loaded_again_joins_again_and_another_browser_does_not():
    async with calling() as (peer, url), phone() as (page, _):
        await joined(page, url)
        await joined(page, url, "Join again")
        assert [offer.resume for offer in peer.offers] == [None, "resume-secret"]
        async with phone() as (other, complaints):
            await other.goto(url)
            await other.get_by_text("This link has been used.").wait_for()
            assert await other.get_by_role("button").count() == 0 and complaints == []


async def test_who_is_not_let_in_is_told_why_and_may_try_again():
    async with calling(participant="guest") as (peer, url), phone() as (page, _):
        peer.refusal = Unavailable("Whoever holds the call does not answer.")
        await page.goto(url)
        await page.get_by_label("Your name").fill("Ann")
        await page.get_by_role("button", name="Join").tap()
        await expect(page.get_by_role("alert")).to_have_text("Whoever holds the call does not answer.")
        assert await page.locator("#state").inner_text() == "Not connected"
        peer.refusal, peer.is_deaf = None, True
        await page.get_by_role("button", name="Join").tap()
        await expect(page.get_by_role("alert")).to_have_text("The call does not connect.")
        peer.is_deaf = False
        await page.get_by_role("button", name="Join").tap()
        await expect(page.locator("#state")).to_have_text("Connected")
        assert [(offer.name, offer.resume) for offer in peer.offers] == [("Ann", None), ("Ann", None), ("Ann", RESUME)]


async def test_without_javascript_the_page_says_that_a_call_needs_it():
    async with calling() as (_, url), phone(java_script_enabled=False) as (page, complaints):
        await page.goto(url)
        assert "A call needs JavaScript" in await page.locator("noscript").inner_text()
        assert "> Shall v7 go out?" in await page.locator("pre").first.inner_text()
        assert await page.get_by_role("button").count() == 0 and complaints == []


async def sides(page: Page, peer: Peer, url: str) -> Any:
    """Each face of the page in turn: before joining, in the call with all that may stand there, after its end."""
    await page.goto(url)
    yield "door"
    await page.get_by_role("button", name="Join").click()
    await expect(page.locator("#state")).to_have_text("Connected")
    peer.write("Good morning. Version 7 passed its tests and waits for your word.", kind="said")
    peer.write("joined the call", who="ann@example.org", kind="note")
    peer.write("x" * 300, who="a" * 64, kind="question")
    peer.say(
        **ASK | {"choices": ["Now", "Tonight, " + "y" * 80], "free_text": True},
        details=f"Details:\n> {'z' * 90}\n> {'w' * 200}",
    )
    people = [{"name": "ann@example.org", "state": "joined"}, {"name": "v" * 80, "state": "away"}]
    peer.say(type="state", status="active", recording=True, muted=False, participants=people)
    peer.say(type="error", text="Too many messages: wait a second.")
    await page.get_by_role("alert").wait_for()
    await page.get_by_label("Hold to talk").check()
    await page.get_by_label("Write to the call").fill("Hello")
    await page.keyboard.press("Enter")
    yield "call"
    peer.say(type="asked", id="approval_1", outcome="ann@example.org approved")
    peer.say(type="bye", reason="agent:scribe ended the call.")
    await page.locator("#over").wait_for()
    yield "over"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_fits_every_screen_can_be_read_in_light_and_dark_and_names_every_control(
    scheme: Any, width: int, tmp_path: Path
):
    size = {"width": width, "height": 740}
    async with calling(media="audio", record=True, participant="guest") as (peer, url):
        how = {"viewport": size, "color_scheme": scheme, "is_mobile": width < 800}
        async with phone(MICROPHONE, **how) as (page, complaints):
            async for side in sides(page, peer, url):
                await page.screenshot(path=tmp_path / f"{side}-{width}-{scheme}.png", full_page=True)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, side
                for contrast, words in await page.evaluate(CONTRASTS):
                    assert contrast >= 4.5, (side, scheme, words, contrast)
                controls = re.findall(
                    r"- (button|textbox|radio|group|log)(.*)", await page.locator("body").aria_snapshot()
                )
                assert [said for _, said in controls if not said.startswith(' "')] == [], side
                for button in await page.get_by_role("button").all():
                    box = await button.bounding_box()
                    assert box is not None and box["height"] >= 44 and box["x"] + box["width"] <= width
            assert complaints == []


async def test_everything_is_reached_by_the_keyboard_in_the_order_in_which_it_stands():
    async with calling(media="audio") as (peer, url), phone(MICROPHONE, has_touch=False, is_mobile=False) as (page, _):
        await page.goto(url)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "join"
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_have_text("Connected")
        assert await page.evaluate("document.activeElement.id") == "text", "who has joined may write at once"
        peer.say(**ASK)
        await page.get_by_role("button", name="Approve").wait_for()
        assert await page.evaluate("document.activeElement.id") == "text", "what is asked takes nobody's words away"
        await page.get_by_label("Hold to talk").check()
        await page.evaluate("document.activeElement.blur()")
        await page.evaluate("document.getElementById('invitation').scrollIntoView()")
        await page.locator("h1").click()
        reached = list[str]()
        for _ in range(9):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate(
                    "document.activeElement.id || document.activeElement.value || document.activeElement.tagName"
                )
            )
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", reached
        assert reached == ["PRE", "approve", "reject", "log", "text", "BUTTON", "held", "talk", "hangup"]
