"""The promises of the page behind an approval's link."""

import re
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from html import unescape
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.pages.approval import approval_routes
from tests.domain.events.test_thinning import desk_with
from tests.pages.plans import LONG, STEPS, planned
from tests.world import World, caller

pytestmark = pytest.mark.anyio
ANN, BOB = "ann@example.org", "bob@example.org"


@asynccontextmanager
async def browser(world: World) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Starlette(routes=approval_routes(world.desk)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://desk.test") as client:
        yield client


async def link(world: World, *approvers: str, who: str = ANN, **spec: Any) -> tuple[str, str]:
    """An open approval's id and the link of one approver."""
    world.desk = desk_with(world, ApprovalPolicy(links_base="http://desk.test"))
    whole = {"title": "Deploy <v7>", "action": "Run & hide\n<script>", "approvers": approvers or (ANN,)} | spec
    whole = {name: value for name, value in whole.items() if value is not None}
    approval = (await world.desk.approvals.request(world.call, RequestApproval.model_validate(whole))).approval
    url = await world.desk.approvals.link(approval.id, who)
    assert url is not None
    return approval.id, url


def fields(page: httpx2.Response, **chosen: str) -> dict[str, str]:
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return hidden | chosen


async def status(world: World, approval_id: str) -> str:
    return (await world.desk.approvals.get(world.call, approval_id)).status


async def test_looking_decides_nothing_and_shows_everything_escaped(world: World):
    approval_id, url = await link(world, details={"rm": "<img src=x>"})
    async with browser(world) as client:
        for method in ("GET", "HEAD", "GET"):
            page = await client.request(method, url)
            assert page.status_code == 200
    assert await status(world, approval_id) == "pending"
    text = page.text
    assert (
        "&gt; Deploy &lt;v7&gt;" in text
        and "&gt; Run &amp; hide\n&gt; &lt;script&gt;" in text
        and "&lt;img src=x&gt;" in text
    )
    assert "<script" not in text and "<img" not in text and "Asked by user:tester." in text
    assert 'name="viewport"' in text and text.count("<button") == 2 and f"You answer as {ANN}" in text


async def test_the_page_can_be_neither_framed_cached_nor_leak_its_address(world: World):
    _, url = await link(world)
    async with browser(world) as client:
        page = await client.get(url)
        missing = await client.get("/approvals/nonsense")
    for answer in (page, missing):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        style = answer.text.partition("<style>")[2].partition("</style>")[0]
        assert f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy and "{" in style


@pytest.mark.parametrize(("choice", "outcome"), [("approve", "approved"), ("reject", "rejected")])
async def test_posting_the_form_decides_once_and_the_page_then_says_who_and_when(
    world: World, choice: str, outcome: str
):
    approval_id, url = await link(world)
    async with browser(world) as client:
        page = await client.get(url)
        done = await client.post(url, data=fields(page, decision=choice, reason="fine <b>"))
        assert done.status_code == 303
        after = await client.get(done.headers["location"])
        assert outcome.capitalize() in after.text and "<button" not in after.text
        assert f"{ANN} {outcome} by link, 2027-01-15T08:00:00.000Z: fine &lt;b&gt;" in after.text
        again = await client.post(url, data=fields(page, decision="reject"))
        assert again.status_code == 409 and f"{ANN} {outcome} by link at" in again.text
    shown = await world.desk.approvals.get(world.call, approval_id)
    assert (shown.status, len(shown.answers or ())) == (outcome, 1)


async def test_one_of_several_answers_and_the_others_are_still_asked(world: World):
    approval_id, url = await link(world, ANN, BOB, quorum="all")
    other = await world.desk.approvals.link(approval_id, BOB)
    assert other is not None
    async with browser(world) as client:
        await client.post(url, data=fields(await client.get(url), decision="approve"))
        assert "others are still asked" in (await client.get(url)).text
        page = await client.get(other)
        assert "<button" in page.text
        await client.post(other, data=fields(page, decision="approve"))
    assert await status(world, approval_id) == "approved"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://desk.test", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://desk.test"}, 303),
        ({"Origin": "null", "Sec-Fetch-Site": "none"}, 303),
        ({}, 303),
    ],
)
async def test_an_answer_from_another_site_does_not_count(world: World, headers: dict[str, str], code: int):
    approval_id, url = await link(world)
    async with browser(world) as client:
        answer = await client.post(url, data=fields(await client.get(url), decision="approve"), headers=headers)
    assert answer.status_code == code
    assert await status(world, approval_id) == ("approved" if code == 303 else "pending")


async def test_an_answer_that_is_not_the_forms_decides_nothing(world: World):
    approval_id, url = await link(world)
    async with browser(world) as client:
        seen = fields(await client.get(url))
        for body, code in (
            (b"", 400),
            (b"\xff\xfe", 400),
            (b"decision=maybe", 400),
            (b"x" * 20_000, 400),
            (b"decision=approve", 409),
            (b"decision=approve&seen=" + b"0" * 64, 409),
            (f"decision=approve&decision=reject&seen={seen['seen']}".encode(), 400),
            (f"decision=approve&reason={'x' * 2001}&seen={seen['seen']}".encode(), 400),
            (f"decision=approve&seen={seen['seen']}".encode(), 303),
        ):
            assert (await client.post(url, content=body)).status_code == code, body[:40]
            assert await status(world, approval_id) == ("pending" if code != 303 else "approved")
        for method in ("PUT", "DELETE"):
            assert (await client.request(method, url)).status_code == 405


async def test_a_link_that_is_altered_or_late_decides_nothing(world: World):
    approval_id, url = await link(world, ANN, BOB, expires_in_seconds=60)
    async with browser(world) as client:
        page = await client.get(url)
        for wrong in (
            url[:-2],
            url + "A",
            url.replace(".0.", ".1."),
            url.replace(".0.", ".7."),
            url.replace(".0.", ".x."),
        ):
            assert (await client.get(wrong)).status_code == 404
            assert (await client.post(wrong, data=fields(page, decision="approve"))).status_code == 404
        world.clock.advance(61)
        late = await client.post(url, data=fields(page, decision="approve"))
        assert late.status_code == 409 and "expired" in late.text
        await world.settle()
        assert "Expired" in (await client.get(url)).text
    assert await status(world, approval_id) == "expired"


async def test_what_was_decided_elsewhere_is_shown_there(world: World):
    approval_id, url = await link(world, ANN, "bob")
    await world.answer(caller(id="bob"), approval_id, True, "ok", via="client")
    async with browser(world) as client:
        text = (await client.get(url)).text
    assert "bob approved by client" in text and "<button" not in text


async def test_a_plan_of_fifty_steps_is_shown_whole_and_bound_to_its_hash(world: World):
    plan_hash, url = await planned(world, "http://desk.test", ANN)
    async with browser(world) as client:
        text = unescape((await client.get(url)).text)
    assert all(f"> {number}. apply service-{number - 1}\n" in text for number in range(1, STEPS + 1))
    assert plan_hash in text and LONG in text and len(re.findall(r'"replicas": ?2', text)) == STEPS
    assert text.index("50. apply service-49") < text.index("<button"), "it is read before it is decided"


async def test_the_page_is_as_wide_as_its_screen_whatever_it_shows(world: World):
    _, url = await link(world)
    async with browser(world) as client:
        text = (await client.get(url)).text
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert 'content="width=device-width, initial-scale=1"' in text and "maximum-scale" not in text, "it may be zoomed"
    assert "white-space:pre-wrap" in style and "overflow-wrap:anywhere" in style, "long words are broken"
    assert not re.findall(r"[;{](?:min-)?width:\d+(?:px|rem|em)", style), "nothing is wider than the screen"
    assert "<table" not in text and "style=" not in text


async def test_a_page_whose_question_was_overtaken_says_first_that_a_yes_does_nothing(world: World):
    await world.write("n", "plan", {"step": 1})
    patch = {"namespace": "n", "key": "plan", "merge_patch": {"step": 2}, "expected_version": 1}
    _, url = await link(world, action=None, calls=[{"tool": "state_patch", "arguments": patch}])
    async with browser(world) as client:
        before = (await client.get(url)).text
        await world.write("n", "plan", {"step": 9})
        after = (await client.get(url)).text
    told = "STALE: n/plan is at version 2, written by user:tester at "
    assert "STALE" not in before and f"<pre>{told}" in after and after.count("<button") == 2
