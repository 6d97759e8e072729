"""The page of a call in a real browser, against a real WebRTC peer. Skipped where no Chromium is installed."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.pages.peers import calling

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


@asynccontextmanager
async def phone(*flags: str, **how: Any) -> AsyncGenerator[tuple[Page, list[str]]]:
    """A page of a small touch screen, and what the browser complained of."""
    complaints: list[str] = []
    small = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        context = await browser.new_context(**small | how)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        await browser.close()


async def test_a_person_reads_why_joins_writes_and_hangs_up():
    async with calling() as (peer, url), phone() as (page, complaints):
        peer.write("Good morning. v7 is ready.")
        await page.goto(url)
        assert "agent:scribe via user:local" in await page.locator("#invitation").inner_text()
        assert "> Shall v7 go out?" in await page.locator("pre").first.inner_text()
        assert peer.offers == []
        await page.get_by_role("button", name="Join").tap()
        await page.get_by_text("Good morning. v7 is ready.").wait_for()
        assert await page.locator("#state").inner_text() == "Connected"
        await page.get_by_label("Write to the call").fill("Hello")
        await page.keyboard.press("Enter")
        said = await peer.told("text")
        assert said["text"] == "Hello"
        peer.write("Hello", who="ann@example.org", ref=said["ref"])
        await page.get_by_text("ann@example.org wrote").wait_for()
        assert await page.get_by_role("listitem").filter(has_text="Hello").count() == 1
        await page.get_by_role("button", name="Hang up").tap()
        await page.get_by_text("You can close this window.").wait_for()
        assert complaints == []
