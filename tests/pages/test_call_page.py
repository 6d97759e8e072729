"""The promises of the page behind a call's link that need no browser: what it shows, its headers, whom it lets join."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from mcp_server.domain.calls.joining import Invitation, JoinCall, Joined, LinkOver, LinkUnknown, LinkUsed
from mcp_server.domain.calls.media import OFFER_BYTES_MAX
from mcp_server.kernel.errors import LimitExceeded, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.hosts import Hosts
from mcp_server.pages.call import STATIC, call_routes
from mcp_server.pages.door import Door
from tests.pages.peers import invited
from tests.pages.test_rendering import HOSTILE, Read

pytestmark = pytest.mark.anyio
URL = "/calls/secret"
OFFER = {"offer": {"type": "offer", "sdp": "v=0\r\n"}, "audio": False}
STATIC_FOLDER = Path(__file__).parent.parent.parent / "mcp_server" / "pages" / "static"


class Desk:
    """Answers as it is told to, and keeps what it was asked."""

    def __init__(self, invitation: Invitation, refusal: OpsError | None = None) -> None:
        self._invitation, self._refusal = invitation, refusal
        self.joins = list[JoinCall]()

    def get(self, _: type) -> "Desk":
        """Stand where the page looks for the service of calls."""
        return self

    async def invitation(self, token: str) -> Invitation:
        return self._told(token, self._invitation)

    async def join(self, token: str, command: JoinCall) -> Joined:
        self.joins.append(command)
        return self._told(token, Joined("v=0 answer", "call_1", "resume-secret"))

    def _told(self, token: str, told: Any) -> Any:
        if self._refusal is not None:
            raise self._refusal
        if token != "secret":
            raise LinkUnknown("This link is not valid, or no longer.", next="Ask for a new one.")
        return told


@asynccontextmanager
async def browser(refusal: OpsError | None = None, **told: Any) -> AsyncGenerator[tuple[httpx2.AsyncClient, Desk]]:
    desk: Any = Desk(invited(**told), refusal)
    transport = httpx2.ASGITransport(app=Door(Starlette(routes=call_routes(desk)), Hosts(["desk.test"])))
    async with httpx2.AsyncClient(transport=transport, base_url="http://desk.test") as client:
        yield client, desk


def data(page: httpx2.Response) -> dict[str, Any]:
    """What the page tells its script."""
    found = re.search(r'type="application/json" id="call">(.*?)</script>', page.text)
    assert found is not None
    return json.loads(found[1])


async def test_looking_uses_nothing_up_and_says_who_calls_why_and_what_is_kept():
    servers = [{"urls": ["turn:turn.test"], "username": "u", "credential": "c"}]
    async with browser(record=True, media="audio", ice_servers=servers) as (client, desk):
        for method in ("GET", "HEAD", "GET"):
            page = await client.request(method, URL)
            assert page.status_code == 200
    assert desk.joins == []
    text = unescape(page.text)
    assert "agent:scribe via user:local" in text and "> Shall v7 go out?" in text
    assert "You join as <bdi>ann@example.org</bdi>" in text and "This call is recorded: its sound" in text
    assert "Your microphone is asked for after you press Join" in text and "2027-01-15, 08:00 UTC" in text
    assert "A call needs JavaScript" in text.partition("<noscript>")[2].partition("</noscript>")[0]
    assert data(page) == {
        "purpose": "Shall v7 go out?",
        "from": "agent:scribe via user:local",
        "media": "audio",
        "record": True,
        "is_used": False,
        "ice_servers": servers,
        "join": "secret/join",
    }


async def test_a_call_in_writing_says_so_and_may_not_have_the_microphone():
    async with browser() as (client, _):
        text = await client.get(URL)
    async with browser(media="audio") as (client, _):
        audio = await client.get(URL)
    assert "Your microphone is not asked for" in text.text and "no sound is recorded" in text.text
    assert text.headers["permissions-policy"].startswith("microphone=(),")
    assert audio.headers["permissions-policy"].startswith("microphone=(self),")


async def test_a_guest_is_asked_for_a_name_and_others_are_not():
    async with browser(participant="guest") as (client, _):
        assert 'id="name"' in (await client.get(URL)).text
    async with browser() as (client, _):
        assert 'id="name"' not in (await client.get(URL)).text


async def test_nothing_of_the_page_is_cached_framed_found_or_tells_where_it_was_read():
    async with browser() as (client, _):
        answers = [
            await client.get(URL),
            await client.get("/calls/altered"),
            await client.get("/calls/static/call.js"),
            await client.get("/calls/static/call.css"),
            await client.post(f"{URL}/join", json=OFFER),
            await client.post(f"{URL}/join", json={}),
        ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy and "data:" not in policy
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_script_or_style_stands_in_the_page_and_none_comes_from_elsewhere():
    async with browser() as (client, _):
        page = await client.get(URL)
        assert not re.findall(r"\son\w+=|style=|<style", page.text)
        scripts = re.findall(r"<script([^>]*)>", page.text)
        assert scripts == [' type="application/json" id="call"', ' type="module" src="static/call.js"']
        for name, media_type in STATIC.items():
            got = await client.get(f"/calls/static/{name}")
            assert (got.status_code, got.headers["content-type"]) == (200, f"{media_type}; charset=utf-8")
            assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"//.*$|/\*.*?\*/", "", got.text))
        for name in ("approval.css", "x.js", "..%2f..%2fcall.py", "%2e%2e/call.html"):
            assert (await client.get(f"/calls/static/{name}")).status_code == 404


def test_every_file_of_the_page_is_served_and_every_module_asks_for_files_that_are():
    modules = {path.name for path in STATIC_FOLDER.glob("call*")}
    assert modules == set(STATIC)
    for path in STATIC_FOLDER.glob("*.js"):
        text = path.read_text("utf-8")
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= modules
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text), path.name


async def test_hostile_words_stay_words_in_the_page_and_in_what_its_script_reads():
    told = {"purpose": f"{HOSTILE}\n> Approved.\u202e", "opened_by": HOSTILE, "participant": HOSTILE}
    async with browser(**told) as (client, _):
        page = await client.get(URL)
    async with browser() as (client, _):
        harmless = await client.get(URL)
    assert Read(page.text).tags == Read(harmless.text).tags
    assert (data(page)["purpose"], data(page)["from"]) == (told["purpose"], HOSTILE)
    shown = unescape(page.text.partition("<pre")[2])
    assert f"> {HOSTILE}\n> > Approved.\\u202e" in shown


@pytest.mark.parametrize(
    ("refusal", "code", "title"),
    [
        (LinkUnknown("No such link."), 404, "This link does not work"),
        (LinkOver("The call has ended."), 410, "This call is over"),
        (Unavailable("The store does not answer."), 503, "That did not work"),
    ],
)
async def test_a_link_that_leads_to_no_call_says_so(refusal: OpsError, code: int, title: str):
    async with browser(refusal) as (client, _):
        page = await client.get(URL)
    assert page.status_code == code and f"<h1>{title}</h1>" in page.text and refusal.message in page.text
    assert "<script" not in page.text


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (ValidationFailed("The offer is no SDP."), 400),
        (LinkUsed("This link has been used."), 403),
        (LinkUnknown("No such link."), 404),
        (LinkOver("The call has ended."), 410),
        (LimitExceeded("Ten calls are held already."), 429),
        (Unavailable("Whoever holds the call does not answer."), 503),
    ],
)
async def test_a_join_that_is_refused_says_why(refusal: OpsError, code: int):
    async with browser(refusal) as (client, _):
        answer = await client.post(f"{URL}/join", json=OFFER)
    assert answer.status_code == code
    assert answer.json() == {"error": {"code": refusal.code, "message": refusal.message}}


async def test_a_join_hands_on_the_offer_and_answers_with_the_desks():
    asked = {**OFFER, "audio": True, "name": "Ann", "resume": "before"}
    async with browser() as (client, desk):
        answer = await client.post(f"{URL}/join", json=asked)
    assert desk.joins == [JoinCall(offer="v=0\r\n", audio=True, name="Ann", resume="before")]
    assert answer.json() == {
        "answer": {"type": "answer", "sdp": "v=0 answer"},
        "call": "call_1",
        "resume": "resume-secret",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"offer"',
        b"{}",
        b"[" * 50_000,
        json.dumps({"offer": "v=0"}).encode(),
        json.dumps({"offer": {"type": "answer", "sdp": "v=0"}}).encode(),
        json.dumps({"offer": {"type": "offer", "sdp": 7}}).encode(),
        json.dumps({"offer": {"type": "offer", "sdp": "x" * (OFFER_BYTES_MAX + 1)}}).encode(),
        json.dumps({**OFFER, "name": "two\nlines"}).encode(),
        json.dumps({**OFFER, "name": "x" * 65}).encode(),
        json.dumps({**OFFER, "resume": "x" * 65}).encode(),
        json.dumps({**OFFER, "approve": True}).encode(),
        json.dumps({**OFFER, "pad": "x" * 200_000}).encode(),
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
async def test_what_is_no_join_reaches_nobody(body: bytes):
    async with browser() as (client, desk):
        answer = await client.post(f"{URL}/join", content=body)
    assert (answer.status_code, answer.json()["error"]["code"], desk.joins) == (400, "validation", [])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://desk.test", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://desk.test"}, 200),
        ({}, 200),
    ],
)
async def test_a_page_of_another_site_joins_nothing(headers: dict[str, str], code: int):
    async with browser() as (client, desk):
        answer = await client.post(f"{URL}/join", json=OFFER, headers=headers)
    assert (answer.status_code, len(desk.joins)) == (code, int(code == 200))


async def test_nothing_else_than_reading_the_page_and_joining_can_be_asked():
    async with browser() as (client, desk):
        for method in ("POST", "PUT", "DELETE"):
            assert (await client.request(method, URL)).status_code == 405
        for method in ("GET", "PUT"):
            assert (await client.request(method, f"{URL}/join")).status_code == 405
    assert desk.joins == []
