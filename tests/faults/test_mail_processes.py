"""Mail and approvals through real server processes: what arrives, what is kept secret, and what a kill leaves."""

import asyncio
import base64
import json
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.commands.test_approvals_command import at_a_terminal
from tests.integrations.smtp_servers import authenticator, breaking_server, smtp_server
from tests.integrations.test_sendgrid import Signed, StandIn, sendgrid
from tests.patience import Stopwatch
from tests.ports import free_port
from tests.processes import RawClient, server, start
from tests.protocol.test_http import http_server

pytestmark = pytest.mark.anyio
SETTLED = ("sent", "failed", "unknown", "partly_sent", "rejected")


def smtp(port: int, **more: str) -> dict[str, str]:
    facts = {"email_provider": "smtp", "email_from": "desk@example.org", "smtp_host": "127.0.0.1"}
    return facts | {"smtp_port": str(port), "smtp_tls": "none"} | more


async def settled(client: RawClient, email_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            email = (await client.call("email_find", email_id=email_id))["email"]
            if email["status"] in SETTLED:
                return email
            await client.call("tasks_wait", task_id=email["task_id"], wait_seconds=5)


@pytest.mark.slow
async def test_a_mail_leaves_through_smtp_and_no_secret_shows_anywhere(sqlite_url: str, tmp_path: Path):
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    with smtp_server(authenticator=authenticator, auth_require_tls=False) as (mailbox, port):
        settings = smtp(port, smtp_username="desk", smtp_password_file=str(password), log_level="debug")
        async with server(sqlite_url, stderr=asyncio.subprocess.PIPE, **settings) as client:
            sent = (await client.call("email_send", to=["ann@example.org"], subject="s", text="t"))["email"]
            email = await settled(client, sent["id"])
            events = await client.call("events_read", limit=100)
        assert client.process.stderr is not None
        log = (await client.process.stderr.read()).decode()
    assert email["status"] == "sent" and [got.user for got in mailbox.mails] == ["desk"]
    stored = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes().decode("latin-1")
    for where in (json.dumps(email), json.dumps(events), log, stored):
        assert "s3cret" not in where and base64.b64encode(b"\0desk\0s3cret").decode() not in where


@pytest.mark.slow
async def test_settings_that_cannot_work_are_told_at_the_start(sqlite_url: str):
    client = await start(sqlite_url, stderr=asyncio.subprocess.PIPE, email_provider="smtp")
    _, told = await asyncio.wait_for(client.process.communicate(b""), 60)
    client.process._transport.close()
    assert client.process.returncode == 2 and "DATAMCP_EMAIL_FROM" in told.decode()


@pytest.mark.slow
async def test_sendgrid_and_its_webhook_through_a_real_server(sqlite_url: str):
    stand_in, signed = StandIn(), Signed()
    async with sendgrid(stand_in) as mailer:
        settings = {
            "email_provider": "sendgrid",
            "email_from": "desk@example.org",
            "sendgrid_api_key": "SG.right",
            "sendgrid_base_url": str(mailer._http.base_url),
            "sendgrid_webhook_key": signed.public_key,
        }
        async with http_server(sqlite_url, **settings) as (base, _), server(sqlite_url, **settings) as client:
            sent = (await client.call("email_send", to=["ann@example.org"], subject="s", text="t"))["email"]
            assert (await settled(client, sent["id"]))["status"] == "sent"
            event = {"event": "delivered", "email": "ann@example.org", "email_id": sent["id"]}
            body = json.dumps([event]).encode()
            headers = {
                "X-Twilio-Email-Event-Webhook-Signature": signed.sign(body, "17"),
                "X-Twilio-Email-Event-Webhook-Timestamp": "17",
            }
            async with httpx2.AsyncClient() as http:
                forged = await http.post(f"{base}/webhooks/sendgrid", content=body + b" ", headers=headers)
                taken = await http.post(f"{base}/webhooks/sendgrid", content=body, headers=headers)
            assert (forged.status_code, taken.status_code, taken.json()) == (403, 200, {"news": 1})
            email = (await client.call("email_find", email_id=sent["id"]))["email"]
            assert email["status"] == "delivered"
    assert len(stand_in.bodies) == 1


@pytest.mark.slow
async def test_a_person_decides_on_the_console_page_and_work_in_another_process_goes_on(sqlite_url: str):
    settings = {"console_port": str(free_port())}
    async with server(sqlite_url, **settings) as client, server(sqlite_url, **settings) as other:
        agent = (await other.call("agents_register", name="a"))["agent"]["id"]
        task = (await client.call("tasks_create", tasks=[{"title": "t", "requires_approval": True}]))["tasks"][0]["id"]
        asked = await client.call(
            "approvals_request", title="t", action="Run t.", approvers=["ann@example.org"], task_id=task
        )
        assert asked["links_sent_to"] == [], "the mail stays in a folder"
        flags = ("--database", sqlite_url, "--console-port", settings["console_port"])
        shown = await asyncio.to_thread(at_a_terminal, "approvals", "list", *flags)
        (link,) = re.findall(r"http://127\.0\.0\.1:\S+", shown)
        waiting = asyncio.create_task(other.call("tasks_claim", agent_id=agent, wait_seconds=30))
        async with httpx2.AsyncClient() as http:
            page = await http.get(link)
            seen = dict(re.findall(r'name="(seen)" value="(\w+)"', page.text))
            watch = Stopwatch()
            decided = await http.post(link, data=seen | {"decision": "approve"})
        claims = (await waiting)["claims"]
        assert (decided.status_code, [claim["task"]["id"] for claim in claims]) == (303, [task])
        assert watch.seconds < 10
        assert "set-cookie" not in page.headers
        found = (await other.call("approvals_find", task_id=task))["approvals"][0]
        assert (found["status"], found["answers"][0]["via"]) == ("approved", "link")


async def restarted(url: str, settings: dict[str, str], seconds: float, chance: random.Random) -> int:
    """A server that is killed again and again while it sends, five times at least; how often."""
    kills, stop = 0, time.monotonic() + seconds
    while time.monotonic() < stop or kills < 5:
        client = await start(url, **settings)
        await client.initialize()
        await asyncio.sleep(chance.uniform(0.1, 0.9))
        client.process.send_signal(signal.SIGKILL)
        await client.process.wait()
        client.process._transport.close()
        kills += 1
    return kills


@pytest.mark.slow
async def test_killing_senders_at_any_moment_sends_no_mail_twice_and_loses_none(sqlite_url: str):
    chance = random.Random(7)
    async with breaking_server(content_seconds=0.02) as (smtp_, port):
        settings = smtp(port)
        async with server(sqlite_url, **settings) as client:
            emails = [
                (await client.call("email_send", to=[f"a{n}@example.org"], subject="s", text="t"))["email"]["id"]
                for n in range(60)
            ]
            client.process.send_signal(signal.SIGKILL)
            await client.process.wait()
        senders = [restarted(sqlite_url, settings, 20, chance) for _ in range(2)]
        kills = sum(await asyncio.gather(*senders))
        async with server(sqlite_url, **settings) as client:
            ended = {email_id: (await until_settled(client, email_id)) for email_id in emails}
        accepted = Counter(smtp_.message_ids)
    assert kills >= 10
    assert max(accepted.values()) == 1, "no mail was accepted twice"
    by_status = Counter(email["status"] for email in ended.values())
    assert by_status.keys() <= {"sent", "unknown"}, by_status
    for email in ended.values():
        if email["status"] == "sent":
            assert accepted[email["message_id"]] == 1, "what is called sent was accepted"
    assert len(ended) == 60 and sum(accepted.values()) >= by_status["sent"]


async def until_settled(client: RawClient, email_id: str) -> dict[str, Any]:
    """A killed sender's lease has to end first."""
    async with asyncio.timeout(90):
        while True:
            email = (await client.call("email_find", email_id=email_id))["email"]
            if email["status"] in SETTLED:
                return email
            await asyncio.sleep(0.25)
