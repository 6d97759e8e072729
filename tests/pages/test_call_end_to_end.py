"""A call from the agent's first tool call to what a person's browser hears and decides: a real server, its media
process, Chromium. Skipped where no Chromium is installed."""

import array
import asyncio
import base64
import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp.client import Client
from playwright.async_api import Page, Route, async_playwright, expect

from tests.faults.test_mail_processes import smtp
from tests.integrations.calls.relay import Relay, relayed
from tests.integrations.smtp_servers import smtp_server
from tests.pages.browsers import CHROMIUM, FLAGS, LOUDEST, MICROPHONE, hears, microphone_file, phone
from tests.pages.peers import loudness
from tests.patience import within
from tests.processes import RawClient
from tests.protocol.test_http import http_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
RATE = 16_000
ANN = "ann@example.org"


@dataclass
class Agent:
    """A client of the server, as an agent uses it."""

    client: Client
    process: RawClient
    base: str = ""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def do(self, call_id: str, action: str, **more: Any) -> dict[str, Any]:
        return await self.call("calls_control", call_id=call_id, action=action, **more)

    async def lines(self, call_id: str) -> list[dict[str, Any]]:
        """The whole transcript."""
        (content,) = (await self.client.read_resource(f"ops://calls/{call_id}/transcript")).contents
        return json.loads(content.text)["lines"]

    async def until(self, call_id: str, *words: str) -> None:
        """Wait until the transcript holds each of these."""
        async with asyncio.timeout(90):
            while True:
                said = "\n".join(line["text"] for line in await self.lines(call_id))
                if all(word in said for word in words):
                    return
                await asyncio.sleep(0.1)

    async def call_of(self, call_id: str) -> dict[str, Any]:
        (content,) = (await self.client.read_resource(f"ops://calls/{call_id}")).contents
        return json.loads(content.text)

    async def recorded(self, call_id: str) -> bytes:
        """The PCM of the recording."""
        (content,) = (await self.client.read_resource(f"ops://calls/{call_id}/recording")).contents
        with wave.open(io.BytesIO(base64.b64decode(content.blob))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            return file.readframes(file.getnframes())


@asynccontextmanager
async def agent(url: str, **settings: str) -> AsyncGenerator[Agent]:
    async with http_server(url, **settings) as (base, process), Client(f"{base}/mcp") as client:
        yield Agent(client, process, base)


async def joined(page: Page, url: str, button: str = "Join") -> None:
    await page.goto(url)
    await page.get_by_role("button", name=button, exact=True).click()
    await expect(page.locator("#state")).to_have_text("Connected")


def tone(hertz: float, seconds: int) -> str:
    """A WAV file as base64."""
    second = array.array("h", (int(12_000 * math.sin(math.tau * hertz * at / RATE)) for at in range(RATE)))
    whole = io.BytesIO()
    with wave.open(whole, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(second.tobytes() * seconds)
    return base64.b64encode(whole.getvalue()).decode()


def is_in(hertz: float, pcm: bytes) -> bool:
    """Whether half a second of the last ten of a recording is that tone."""
    parts = [pcm[at : at + RATE] for at in range(max(0, len(pcm) - 20 * RATE) & ~1, len(pcm) - RATE, RATE)]
    return any(loudness(one, hertz, 1, RATE) > 0.7 for one in parts)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def media_process(server: RawClient) -> int:
    (pid,) = [
        pid for pid in children(server.process.pid) if b"calls.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


async def test_an_agent_calls_a_person_answers_in_writing_and_the_link_is_good_once(sqlite_url: str):
    async with agent(sqlite_url) as desk, phone() as (page, complaints):
        late = (await desk.call("calls_open", purpose="Too late", expires_in_seconds=10))["call"]
        call = (await desk.call("calls_open", purpose="Which backup?"))["call"]
        await desk.do(call["id"], "say", text="Good morning. Which backup shall I restore?")
        url = call["join_url"]
        for altered in (url[:-1], url + "A", url.replace(".1.", ".2."), url.replace(call["id"][5:9], "aaaa")):
            assert (await page.goto(altered)).status == 404 and await page.get_by_role("button").count() == 0
        complaints.clear()
        await page.goto(url)
        await page.get_by_label("Your name").fill("Ann")
        await page.get_by_role("button", name="Join").tap()
        await page.get_by_text("Which backup shall I restore?").wait_for()
        await expect(page.locator("#state")).to_have_text("Connected")
        await page.get_by_label("Write to the call").fill("Monday's")
        await page.keyboard.press("Enter")
        heard = await desk.do(call["id"], "listen", after=2, wait_seconds=30)
        assert "Monday's" in [line["text"] for line in heard["messages"]]
        await page.get_by_text("guest Ann wrote").wait_for()
        assert await page.get_by_role("listitem").filter(has_text="Monday's").count() == 1
        await desk.do(call["id"], "say", text="Done.")
        await page.get_by_text("Done.").wait_for()
        async with phone() as (other, _):
            await other.goto(url)
            await other.get_by_text("This link has been used.").wait_for()
            body = json.dumps({"offer": {"type": "offer", "sdp": "x"}})
            ask = "(body) => fetch(location.href + '/join', {method: 'POST', body})"
            answer = await other.evaluate(
                f"(body) => ({ask})(body).then(async (one) => [one.status, (await one.json()).error.code])", body
            )
            assert answer == [403, "permission_denied"]
            async with asyncio.timeout(60):
                while (await other.goto(late["join_url"])).status != 410:
                    await asyncio.sleep(0.5)
            await other.get_by_text("This call is over").wait_for()
        assert complaints == []
        await page.get_by_role("button", name="Hang up").tap()
        await page.get_by_text("You can close this window.").wait_for()
        async with asyncio.timeout(60):
            while (ended := await desk.call_of(call["id"]))["status"] != "ended":
                await asyncio.sleep(0.1)
        task = (await desk.call("tasks_wait", task_ids=[ended["task_id"]], wait_seconds=30))["tasks"][0]
        assert task["status"] == "completed"
        assert (await page.goto(url)).status == 410


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng is installed")
async def test_a_person_hears_the_agent_and_is_heard_and_the_recording_holds_both(sqlite_url: str, tmp_path: Path):
    flag = microphone_file(tmp_path / "microphone.wav", 1000)
    speech = "espeak-ng,--stdin,--stdout"
    async with agent(sqlite_url, calls_speech=speech) as desk, phone(MICROPHONE, flag) as (page, complaints):
        call = (await desk.call("calls_open", purpose="Listen", media="audio", record=True))["call"]
        await desk.do(call["id"], "say", text="Good morning. This is the desk, and you hear it at once.")
        await joined(page, call["join_url"])
        await expect(page.get_by_text("This call is recorded.", exact=True)).to_be_visible()
        assert 50 < await page.evaluate(LOUDEST) < 4000, "the agent's first words are spoken"
        await desk.do(call["id"], "play", wav=tone(440, 60))
        await hears(page, 440)
        async with asyncio.timeout(60):
            while not is_in(440, await desk.recorded(call["id"])):
                await asyncio.sleep(0.2)
        # The browser takes what it hears itself out of what its microphone hears: it is heard once there is silence.
        await desk.do(call["id"], "mute")
        await expect(page.locator("#state")).to_have_text("Connected. The other side is muted")
        async with asyncio.timeout(60):
            while not is_in(1000, await desk.recorded(call["id"])):
                await asyncio.sleep(0.2)
        await desk.do(call["id"], "hold")
        await expect(page.locator("#state")).to_have_text("On hold: nobody is heard. Writing goes on")
        await desk.do(call["id"], "end", text="That was all.")
        await page.get_by_text("That was all.").wait_for()
        recording = (await desk.call_of(call["id"]))["recording"]
        assert recording["seconds"] > 1 and recording["peak_dbfs"] > -30 and complaints == []


async def test_an_approval_that_is_given_in_a_call_releases_its_task(sqlite_url: str):
    with smtp_server() as (mailbox, port):
        async with agent(sqlite_url, **smtp(port)) as desk, phone() as (page, complaints):
            await desk.call("agents_register", name="builder")
            task = (await desk.call("tasks_create", tasks=[{"title": "Deploy", "requires_approval": True}]))["tasks"][0]
            asked = await desk.call(
                "approvals_request", title="Deploy v7", action="Deploy v7 to production.", approvers=[ANN],
                task_id=task["id"],
            )  # fmt: skip
            approval = asked["approval"]
            call = (await desk.call("calls_open", purpose="Shall v7 go out?", participants=[ANN]))["call"]
            assert "join_url" not in json.dumps(call), "the link goes to its mailbox alone"
            url = None
            async with asyncio.timeout(60):
                while url is None:
                    texts = [mail.message.get_body(("plain",)).get_content() for mail in mailbox.mails]
                    url = next((found[0] for text in texts if (found := re.search(r"http\S+/calls/\S+", text))), None)
                    await asyncio.sleep(0.1)
            await joined(page, url)
            await desk.do(call["id"], "ask", approval_id=approval["id"])
            await page.get_by_role("button", name="Approve").wait_for()
            shown = await page.locator(".ask pre").inner_text()
            assert "> Deploy v7 to production." in shown
            assert not (await desk.call("tasks_claim", agent_id="builder"))["claims"]
            await page.get_by_role("button", name="Approve").tap()
            await expect(page.locator(".ask button")).to_have_count(0)
            (claimed,) = (await desk.call("tasks_claim", agent_id="builder"))["claims"]
            assert claimed["task"]["id"] == task["id"]
            found = (await desk.call("approvals_find", approval_id=approval["id"]))["approval"]
            assert found["status"] == "approved" and found["answers"][0]["by"] == ANN
            assert found["answers"][0]["via"] == "call"
            await desk.do(call["id"], "end")
            await page.get_by_text("You can close this window.").wait_for()
            assert "Deploy v7" in await page.locator("#decided").inner_text() and complaints == []


async def through(relay: Relay, page: Page) -> None:
    """Have the page's call go through a relay, so that a test can lose its packets."""

    async def changed(route: Route) -> None:
        asked = route.request.post_data_json
        asked["offer"]["sdp"] = relay.offer(asked["offer"]["sdp"])
        response = await route.fetch(post_data=json.dumps(asked))
        told = await response.json()
        if response.ok:
            told["answer"]["sdp"] = relay.answer(told["answer"]["sdp"])
        await route.fulfill(response=response, json=told)

    await page.route("**/join", changed)


async def test_ten_seconds_without_a_network_are_survived_and_nothing_is_lost(sqlite_url: str):
    async with agent(sqlite_url) as desk, phone() as (page, _), relayed() as relay:
        await through(relay, page)
        call = (await desk.call("calls_open", purpose="Mind the gap"))["call"]
        await joined(page, call["join_url"])
        relay.delays = lambda: None
        began = asyncio.get_running_loop().time()
        await desk.do(call["id"], "say", text="said into the void")
        await desk.until(call["id"], "is not heard of")
        await expect(page.locator("#state")).to_have_text("Connection lost, trying again")
        await asyncio.sleep(max(0, began + 10 - asyncio.get_running_loop().time()))
        relay.delays = lambda: 0.0
        await expect(page.locator("#state")).to_have_text("Connected")
        await page.get_by_text("said into the void").wait_for()
        await page.get_by_label("Write to the call").fill("still here")
        await page.keyboard.press("Enter")
        await desk.until(call["id"], "is back", "still here")
        assert await page.get_by_text("said into the void").count() == 1
        assert (await desk.call_of(call["id"]))["status"] == "active"


async def test_a_killed_browser_is_noticed_within_five_seconds_and_joins_again(sqlite_url: str, tmp_path: Path):
    profile = tmp_path / "profile"

    def processes() -> list[int]:
        found = []
        for one in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if str(profile).encode() in (one / "cmdline").read_bytes():
                    found.append(int(one.name))
        return found

    async with agent(sqlite_url) as desk, async_playwright() as playwright:
        how: Any = {"executable_path": CHROMIUM, "args": [*FLAGS]}
        call = (await desk.call("calls_open", purpose="Still there?"))["call"]
        first = await playwright.chromium.launch_persistent_context(profile, **how)
        await joined(first.pages[0], call["join_url"])
        async with asyncio.timeout(60):
            while not any(b"datamcp-call" in one.read_bytes() for one in profile.glob("**/leveldb/*.log")):
                await asyncio.sleep(0.1)
        with within(5):
            for pid in processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await desk.until(call["id"], "is not heard of")
        with contextlib.suppress(Exception):
            await first.close()
        for lock in profile.glob("Singleton*"):
            lock.unlink()
        second = await playwright.chromium.launch_persistent_context(profile, **how)
        await joined(second.pages[0], call["join_url"], "Join again")
        await desk.until(call["id"], "is back")
        assert (await desk.call_of(call["id"]))["status"] == "active"
        await second.close()


async def test_where_the_media_process_is_killed_the_page_says_that_the_call_is_over(sqlite_url: str):
    async with agent(sqlite_url) as desk, phone() as (page, _):
        call = (await desk.call("calls_open", purpose="Will it hold?"))["call"]
        await joined(page, call["join_url"])
        await page.get_by_label("Write to the call").fill("kept")
        await page.keyboard.press("Enter")
        await desk.until(call["id"], "kept")
        os.kill(media_process(desk.process), signal.SIGKILL)
        await page.get_by_text("You can close this window.").wait_for()
        assert "failed" in await page.locator("#reason").inner_text()
        assert (await desk.call_of(call["id"]))["status"] == "failed"
        assert "kept" in [line["text"] for line in await desk.lines(call["id"])]


async def test_where_the_desk_is_killed_the_page_says_so_and_another_server_that_the_call_has_failed(sqlite_url: str):
    async with phone() as (page, _):
        async with http_server(sqlite_url) as (base, server):
            # An end by force of who serves a client is none of its own.
            with contextlib.suppress(BaseExceptionGroup, Exception):
                async with Client(f"{base}/mcp") as client:
                    call = (await Agent(client, server).call("calls_open", purpose="Will it hold?"))["call"]
                    await joined(page, call["join_url"])
                    server.process.kill()
                    await server.process.wait()
        await page.get_by_text("the desk ended").wait_for()
        await page.get_by_text("You can close this window.").wait_for()
        async with agent(sqlite_url) as desk:
            async with asyncio.timeout(60):
                while (await desk.call_of(call["id"]))["status"] != "failed":
                    await asyncio.sleep(0.2)
            url = re.sub(r":\d+/", f":{urlsplit(desk.base).port}/", call["join_url"])
            assert (await page.goto(url)).status == 410
