"""Questions with choices and texts, behind an approval's link and on the command line."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_server.commands.approvals import approvals
from mcp_server.domain.approvals.commands import RequestApproval
from tests.pages.test_approval_page import browser, fields, link, status
from tests.world import World, caller, open_world

COLOURS = {"title": "Which <b>?", "action": "", "choices": ["<red>", "green"], "free_text": True}


async def posted(world: World, url: str, **chosen: str) -> int:
    async with browser(world) as client:
        return (await client.post(url, data=fields(await client.get(url), **chosen))).status_code


@pytest.mark.anyio
async def test_a_choice_and_a_text_are_answered_on_the_page_and_nothing_else_is(world: World):
    approval_id, url = await link(world, **COLOURS)
    async with browser(world) as client:
        page = await client.get(url)
    assert "&lt;red&gt;" in page.text and "<b>" not in page.text and page.text.count('type="radio"') == 2
    for wrong in ({"choice": "7"}, {"choice": "red"}, {"text": "x" * 10_001}, {}):
        assert await posted(world, url, decision="approve", **wrong) in (400, 409)
    assert await status(world, approval_id) == "pending"
    assert await posted(world, url, decision="approve", choice="1") == 303
    answered = await world.desk.approvals.get(world.call, approval_id)
    assert (answered.status, (answered.answers or [])[0].choice) == ("answered", "green")
    other_id, url = await link(world, **COLOURS)
    assert await posted(world, url, decision="approve", text=" neither ") == 303
    assert ((await world.desk.approvals.get(world.call, other_id)).answers or [])[0].text == "neither"
    third_id, url = await link(world, **COLOURS)
    assert await posted(world, url, decision="reject", choice="1") == 303
    assert await status(world, third_id) == "rejected"


def test_a_question_is_answered_on_the_command_line(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'desk.db'}"

    async def ask() -> str:
        async with open_world(url) as world:
            command = RequestApproval.model_validate({"title": "t", "approvers": ["ann"], "choices": ["red", "green"]})
            return (await world.desk.approvals.request(caller(), command)).approval.id

    approval_id = asyncio.run(ask())
    at = ["answer", approval_id, "--yes", "--user", "ann", "--database", url, "--choice"]
    refused = CliRunner().invoke(approvals, [*at, "blue"])
    assert refused.exit_code != 0 and "one of" in refused.output
    done = CliRunner().invoke(approvals, [*at, "red"])
    assert done.exit_code == 0 and f"{approval_id} is answered: " in done.output, done.output
