"""What waited for people runs exactly once after a yes and never after a no, whatever is killed, and when."""

import asyncio
import random
import signal
import sys
from collections import Counter

import pytest

from tests.faults.test_mail_processes import restarted, smtp, until_settled
from tests.integrations.smtp_servers import breaking_server
from tests.processes import server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def decide(url: str, approval_id: str, verb: str, chance: random.Random) -> bool:
    """Decide on the command line, or be killed at some moment of it; whether the command ended well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "approvals", verb, approval_id, "--yes", "--database", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if chance.random() < 0.4:
        await asyncio.sleep(chance.uniform(0.3, 1.2))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    return await process.wait() == 0


async def decided(url: str, approvals: list[tuple[str, str]], chance: random.Random) -> None:
    for approval_id, verb in approvals:
        for _ in range(20):
            if await decide(url, approval_id, verb, chance):
                break
            # Killed after its commit? Then a second answer is refused, and that is fine.
            if await decided_already(url, approval_id):
                break


async def decided_already(url: str, approval_id: str) -> bool:
    async with server(url) as client:
        return (await client.call("approvals_find", approval_id=approval_id))["approval"]["status"] != "pending"


async def test_kills_at_every_step_neither_lose_nor_repeat_nor_let_through(sqlite_url: str):
    chance = random.Random(11)
    async with breaking_server(content_seconds=0.01) as (smtp_, port):
        settings = smtp(port, email_allow="*@example.org", email_approvers="local")
        async with server(sqlite_url, **settings) as client:
            mails = [
                (await client.call("email_send", to=[f"a{n}@elsewhere.test"], subject="s", text="t"))["email"]
                for n in range(16)
            ]
        verbs = {mail["id"]: "approve" if number % 2 else "reject" for number, mail in enumerate(mails)}
        approvals = [(mail["approval_id"], verbs[mail["id"]]) for mail in mails]
        senders = asyncio.gather(*(restarted(sqlite_url, settings, 25, chance) for _ in range(2)))
        await asyncio.gather(decided(sqlite_url, approvals[:8], chance), decided(sqlite_url, approvals[8:], chance))
        kills = sum(await senders)
        async with server(sqlite_url, **settings) as client:
            statuses = {mail["id"]: await until_settled(client, mail["id"]) for mail in mails}
        accepted = Counter(smtp_.message_ids)
    assert kills >= 5
    for mail in mails:
        status, times = statuses[mail["id"]]["status"], accepted[mail["message_id"]]
        if verbs[mail["id"]] == "reject":
            assert (status, times) == ("rejected", 0)
        else:
            assert status in ("sent", "unknown") and times <= 1
            assert status != "sent" or times == 1
