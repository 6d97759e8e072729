"""The approval page in a real browser, as a person on a phone has it. Skipped where no Chromium is installed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.pages.approval import approval_routes
from tests.domain.events.test_thinning import desk_with
from tests.pages.browsers import CHROMIUM, CONTRASTS, phone
from tests.pages.plans import LONG, STEPS, planned
from tests.web import served
from tests.world import caller, open_world

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
ANN = "ann@example.org"


@asynccontextmanager
async def asked(sqlite_url: str) -> AsyncGenerator[tuple[Any, str, str]]:
    """A desk, an open approval's id and its link."""
    details = {"command": "deploy --env production --very-long-argument " + "x" * 200, "services": ["web", "api"]}
    command = RequestApproval(
        title="Deploy v7 to production", action="Deploy v7.\nTwo services restart.", details=details, approvers=(ANN,)
    )
    async with open_world(sqlite_url) as world, served(Starlette(routes=approval_routes(world.desk))) as address:
        world.desk = desk_with(world, ApprovalPolicy(links_base=address))
        approval = (await world.desk.approvals.request(world.call, command)).approval
        url = await world.desk.approvals.link(approval.id, ANN)
        assert url is not None
        yield world, approval.id, url


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize(("button", "outcome"), [("Approve", "approved"), ("Reject", "rejected")])
async def test_a_person_reads_and_decides_with_one_tap(sqlite_url: str, javascript: bool, button: str, outcome: str):
    async with (
        asked(sqlite_url) as (world, approval_id, url),
        phone(java_script_enabled=javascript) as (page, complaints),
    ):
        await page.goto(url)
        assert await page.locator("h1").inner_text() == "Your decision"
        assert "Two services restart." in await page.locator("pre").inner_text()
        for name in ("Approve", "Reject"):
            box = await page.get_by_role("button", name=name).bounding_box()
            assert box is not None and box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 360
        await page.get_by_label("Reason").fill("as agreed")
        await page.get_by_role("button", name=button).tap()
        assert outcome.capitalize() in await page.get_by_role("status").inner_text()
        assert await page.get_by_role("button").count() == 0
        await page.reload()
        assert "as agreed" in await page.locator("main").inner_text()
        shown = await world.desk.approvals.get(world.call, approval_id)
        assert (shown.status, len(shown.answers), complaints) == (outcome, 1, [])


async def test_the_page_fits_a_phone_in_light_and_dark(sqlite_url: str, tmp_path: Path):
    async with asked(sqlite_url) as (_, _, url):
        for scheme in ("light", "dark"):
            async with phone(color_scheme=scheme) as (page, complaints):
                await page.goto(url)
                assert await page.evaluate("document.documentElement.scrollWidth") <= 360
                styled = "getComputedStyle(document.querySelector('.yes')).backgroundColor"
                faint = [one for one in await page.evaluate(CONTRASTS) if one[0] < 4.5]
                assert faint == [], "everything can be read"
                assert await page.evaluate(styled) == "rgb(26, 127, 55)", "the style sheet passes the page's own policy"
                await page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
                assert complaints == []


async def test_a_plan_of_fifty_steps_is_read_on_a_phone(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world, served(Starlette(routes=approval_routes(world.desk))) as address:
        async with phone() as (page, complaints):
            _, url = await planned(world, address, ANN)
            await page.goto(url)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360
            shown = page.locator("pre")
            assert await shown.evaluate("one => one.scrollWidth <= one.clientWidth"), (
                "nothing is read by moving sideways"
            )
            text = await shown.inner_text()
            assert f"{STEPS}. apply service-{STEPS - 1}" in text and LONG in text
            assert float(await shown.evaluate("one => parseFloat(getComputedStyle(one).fontSize)")) >= 14
            await page.screenshot(path=tmp_path / "plan.png", full_page=True)
            await page.get_by_role("button", name="Approve").tap()
            assert "Approved" in await page.get_by_role("status").inner_text()
            assert complaints == []


async def test_a_second_tap_on_an_old_page_is_told_who_decided(sqlite_url: str):
    async with asked(sqlite_url) as (world, approval_id, url), phone() as (page, _):
        await page.goto(url)
        await world.answer(caller(id=ANN), approval_id, False, via="link")
        await page.get_by_role("button", name="Approve").tap()
        await page.get_by_text(f"{ANN} rejected by link at").wait_for()
        assert (await world.desk.approvals.get(world.call, approval_id)).status == "rejected"
