"""The promises of sending through SMTP, against a real server and against broken ones."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.email.attachments import Attachment
from mcp_server.domain.email.transport import Mail, Report
from mcp_server.integrations.smtp import SmtpMailer, SmtpOptions
from tests.integrations.smtp_servers import authenticator, breaking_server, certificate, smtp_server

pytestmark = pytest.mark.anyio


def mail(number: int = 1, **changes: Any) -> Mail:
    facts: dict[str, Any] = {
        "id": f"email_{number}",
        "message_id": f"<email_{number}@example.org>",
        "date": 1_800_000_000_000_000,
        "sender": "The Desk <desk@example.org>",
        "to": ["Ann Lee <ann@example.org>"],
        "cc": [],
        "bcc": [],
        "reply_to": None,
        "subject": "Hello",
        "text": "A line.\n.\n..two dots\nnaïve ☃\n",
        "html": None,
        "attachments": [],
    }
    return Mail(**facts | changes)


async def send(
    port: int, one: Mail, recipients: Sequence[str] = ("ann@example.org",), **options: Any
) -> tuple[Report, int]:
    """Send over a fresh mailer; the report and how often the content was handed over."""
    mailer = SmtpMailer(
        SmtpOptions(**{"host": "127.0.0.1", "port": port, "tls": "none", "timeout_seconds": 5} | options)
    )
    handed_over = 0

    async def hand_over() -> None:
        nonlocal handed_over
        handed_over += 1

    try:
        return await mailer.send(one, recipients, hand_over), handed_over
    finally:
        await mailer.close()


def statuses(report: Report) -> dict[str, str]:
    return {address: outcome.status for address, outcome in report.outcomes.items()}


async def test_a_mail_arrives_whole_and_bcc_is_in_no_header():
    attachment = Attachment("résumé.json", "application/json", 2, "e30=")
    one = mail(
        cc=["cid@example.org"],
        bcc=["secret@example.org"],
        reply_to="answers@example.org",
        html="<p>naïve ☃</p>",
        attachments=[attachment],
        subject="Grüße ☃ " + "x" * 100,
    )
    everyone = ["ann@example.org", "cid@example.org", "secret@example.org"]
    with smtp_server() as (mailbox, port):
        report, handed_over = await send(port, one, everyone)
    assert (set(statuses(report).values()), handed_over) == ({"sent"}, 1)
    (got,) = mailbox.mails
    message = got.message
    assert (got.sender, got.recipients) == ("desk@example.org", everyone)
    assert b"secret@example.org" not in got.raw
    assert (message["Message-ID"], message["From"], message["To"], message["Cc"], message["Reply-To"]) == (
        "<email_1@example.org>",
        "The Desk <desk@example.org>",
        "Ann Lee <ann@example.org>",
        "cid@example.org",
        "answers@example.org",
    )
    assert message["Subject"] == one.subject and message["Date"].startswith("Fri, 15 Jan 2027 08:00:00")
    parts = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
    assert parts["text/plain"].get_content().replace("\r\n", "\n") == one.text
    assert parts["text/html"].get_content().strip() == one.html
    assert parts["application/json"].get_filename() == "résumé.json"
    assert parts["application/json"].get_content() in ("{}", b"{}")


async def test_a_mail_that_answers_another_stands_in_its_thread_and_names_no_address_for_answers():
    with smtp_server() as (mailbox, port):
        await send(port, mail(answers="<email_0@example.org>"), ["ann@example.org"])
    message = mailbox.mails[0].message
    assert message["In-Reply-To"] == message["References"] == "<email_0@example.org>" and message["Reply-To"] is None


async def test_international_addresses_go_as_ascii_domains_or_with_smtputf8():
    one = mail(to=["Zoë <zoe@bücher.example>"])
    other = mail(2, to=["zoë@bücher.example"])
    with smtp_server() as (mailbox, port):
        for each, plain in ((one, "zoe@bücher.example"), (other, "zoë@bücher.example")):
            report, _ = await send(port, each, [plain])
            assert statuses(report) == {plain: "sent"}
    assert [got.recipients for got in mailbox.mails] == [
        ["zoe@xn--bcher-kva.example"],
        ["zoë@xn--bcher-kva.example"],
    ]


async def test_a_server_without_smtputf8_is_not_asked_for_what_it_cannot_do():
    async with breaking_server() as (server, port):
        report, handed_over = await send(port, mail(to=["zoë@example.org"]), ["zoë@example.org"])
    (outcome,) = report.outcomes.values()
    assert outcome.status == "failed" and "SMTPUTF8" in (outcome.message or "") and handed_over == 0
    assert server.accepted == 0


async def test_a_server_that_takes_seven_bits_gets_seven_bits():
    long, name = "naïve ☃ " * 300, "Zoë Ünal " * 5
    one = mail(
        sender=f'"{name}" <desk@bücher.example>',
        to=[f'"{name}" <ann@bücher.example>'],
        subject=long[:150],
        text=long,
        html=f"<p>{long}</p>" + "x" * 2000,
        attachments=[Attachment(name, "text/plain", 5, "w6nDqQo=")],
    )
    with smtp_server(enable_SMTPUTF8=False, decode_data=True) as (mailbox, port):
        report, _ = await send(port, one, ["ann@bücher.example"])
        other, handed_over = await send(port, mail(2, to=["zoë@example.org"]), ["zoë@example.org"])
    assert statuses(report) == {"ann@bücher.example": "sent"}
    (got,) = mailbox.mails
    assert got.raw.isascii() and max(map(len, got.raw.splitlines())) < 998
    parts = {part.get_content_type(): part for part in got.message.walk() if not part.is_multipart()}
    assert parts["text/html"].get_content().strip() == one.html
    assert got.message.get_body(("plain",)).get_content().strip() == long.strip()  # type: ignore[union-attr]
    (outcome,) = other.outcomes.values()
    assert outcome.status == "failed" and "no SMTPUTF8" in (outcome.message or "") and handed_over == 0


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_tls_and_a_password_are_used_and_a_wrong_one_is_explained(tmp_path: Path, tls: str):
    server_side, client_side = certificate(tmp_path)
    secured = (
        {"tls_context": server_side, "require_starttls": True} if tls == "starttls" else {"ssl_context": server_side}
    )
    options = {"host": "localhost", "tls": tls, "tls_context": client_side, "username": "desk"}
    with smtp_server(authenticator=authenticator, auth_require_tls=tls == "starttls", **secured) as (mailbox, port):
        report, _ = await send(port, mail(), **options, password="s3cret")
        assert statuses(report) == {"ann@example.org": "sent"}
        wrong, handed_over = await send(port, mail(2), **options, password="letmein")
        untrusted, _ = await send(port, mail(3), **options | {"tls_context": None}, password="s3cret")
    assert [got.user for got in mailbox.mails] == ["desk"] and handed_over == 0
    for refused, says in ((wrong, "535"), (untrusted, "ertificate")):
        (outcome,) = refused.outcomes.values()
        assert outcome.status == "failed" and says in (outcome.message or ""), outcome
        assert "letmein" not in str(refused) and "s3cret" not in str(refused)


async def test_each_recipient_has_an_outcome_of_its_own():
    one = mail(to=["ann@example.org", "nobody@example.org"], cc=["busy@example.org"])
    everyone = ["ann@example.org", "nobody@example.org", "busy@example.org"]
    with smtp_server() as (mailbox, port):
        report, handed_over = await send(port, one, everyone)
        none, not_handed_over = await send(port, mail(2), ["nobody@example.org"])
    assert statuses(report) == dict(zip(everyone, ("sent", "failed", "deferred"), strict=True))
    assert "no such user" in (report.outcomes["nobody@example.org"].message or "")
    assert (statuses(none), handed_over, not_handed_over) == ({"nobody@example.org": "failed"}, 1, 0)
    assert [got.recipients for got in mailbox.mails] == [["ann@example.org"]]


FAULTS = [
    # step, what happens there, outcome, whether the content may be there
    ("connect", "hang up", "deferred", 0),
    ("connect", "421 too busy", "deferred", 0),
    ("connect", "554 go away", "failed", 0),
    ("connect", "stall", "deferred", 0),
    ("EHLO", "hang up", "deferred", 0),
    ("MAIL", "hang up", "deferred", 0),
    ("MAIL", "stall", "deferred", 0),
    ("MAIL", "451 later", "deferred", 0),
    ("MAIL", "550 not you", "failed", 0),
    ("RCPT", "hang up", "deferred", 0),
    ("RCPT", "stall", "deferred", 0),
    ("RCPT", "452 full", "deferred", 0),
    ("RCPT", "550 unknown", "failed", 0),
    ("DATA", "hang up", "deferred", 0),
    ("DATA", "stall", "deferred", 0),
    ("DATA", "451 later", "deferred", 0),
    ("DATA", "554 no", "failed", 0),
    ("content", "452 no room", "deferred", 0),
    ("content", "554 spam", "failed", 0),
    ("content", "hang up", "unknown", 1),
    ("content", "stall", "unknown", 1),
]


@pytest.mark.parametrize(("step", "what", "outcome", "accepted"), FAULTS, ids=[f"{s} {w}" for s, w, _, _ in FAULTS])
async def test_what_a_broken_server_means_depends_on_where_it_broke(step: str, what: str, outcome: str, accepted: int):
    async with breaking_server(**{step: what}) as (server, port):
        report, handed_over = await send(port, mail(), timeout_seconds=0.3)
    assert statuses(report) == {"ann@example.org": outcome}
    assert report.outcomes["ann@example.org"].message
    assert server.accepted == accepted
    assert handed_over == (step == "content"), "handed over exactly where the content went out"


async def test_nothing_goes_out_when_handing_over_is_refused():
    async def refuse() -> None:
        raise RuntimeError("the lease is lost")

    async with breaking_server() as (server, port):
        mailer = SmtpMailer(SmtpOptions("127.0.0.1", port, "none", timeout_seconds=5))
        with pytest.raises(RuntimeError):
            await mailer.send(mail(), ["ann@example.org"], refuse)
        await mailer.close()
    assert server.accepted == 0


async def test_a_server_that_is_not_there_is_a_temporary_failure():
    report, handed_over = await send(1, mail())
    assert (statuses(report), handed_over) == ({"ann@example.org": "deferred"}, 0)


async def test_connections_are_kept_and_a_dead_one_is_replaced():
    async def hand_over() -> None: ...

    with smtp_server() as (mailbox, port):
        mailer = SmtpMailer(SmtpOptions("127.0.0.1", port, "none", timeout_seconds=5))
        sends = [mailer.send(mail(number), ["ann@example.org"], hand_over) for number in range(40)]
        reports = await asyncio.gather(*sends)
        assert all(set(statuses(report).values()) == {"sent"} for report in reports)
        assert mailbox.connections <= 4 and len(mailbox.mails) == 40
        for _, client in mailer._idle:
            client.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        report = await mailer.send(mail(99), ["ann@example.org"], hand_over)
        assert set(statuses(report).values()) == {"sent"}
        await mailer.close()
    numbers = sorted(int(re.findall(r"\d+", got.message["Message-ID"])[0]) for got in mailbox.mails)
    assert numbers == [*range(40), 99], "each arrived once"


def test_options_do_not_show_their_password():
    assert "s3cret" not in repr(SmtpOptions("h", 25, "none", "u", "s3cret"))
