"""Mail is data: whatever stands in one, it goes out as it was written, or is told to have failed."""

import re
from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.email import transactions
from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.model import Composed
from mcp_server.domain.email.transactions import NewEmail
from mcp_server.domain.email.transport import Mailer
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.integrations.file_outbox import FileOutbox
from mcp_server.integrations.sendgrid import SendGridMailer
from mcp_server.integrations.smtp import SmtpMailer, SmtpOptions
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.quoting import named
from mcp_server.upkeep.replay import replay
from tests.domain.approvals.test_service import Posted, request
from tests.domain.approvals.test_service import work as work_mails
from tests.domain.email.test_service import get, send, task_of, template, work
from tests.integrations.smtp_servers import smtp_server
from tests.world import World

pytestmark = pytest.mark.anyio
FORGED = "=?utf-8?q?a=0D=0ABcc:_eve@evil.example?="


async def of_before(world: World, *to: str) -> str:
    """The id of a mail that got in by the rules of another version."""
    spec = EmailSpec.model_construct(to=to, subject="s", text="t")
    new = NewEmail(spec, Composed("s", "t", None, (), None), "file", "desk@example.org", None)
    queued = await world.database.write(transactions.queue, world.desk.context.origin(world.call), new)
    return queued.email["id"]


@pytest.mark.parametrize("provider", ["file", "smtp", "sendgrid"])
async def test_a_mail_that_cannot_be_written_fails_and_nothing_is_handed_over(
    world: World, tmp_path: Path, provider: str
):
    wrong = "Team: Ops <ops@example.org>"
    email_id = await of_before(world, "ann@example.org", wrong)
    mailers: dict[str, Mailer] = {
        "file": FileOutbox(tmp_path),
        "smtp": SmtpMailer(SmtpOptions("127.0.0.1", 1, "none")),
        "sendgrid": SendGridMailer("SG.x", "http://127.0.0.1:1"),
    }
    await work(world, mailers[provider])
    email = await world.desk.emails.get(world.call, email_id)
    assert (email.status, sorted(email.outcomes or {})) == ("failed", [wrong, "ann@example.org"])
    assert "not an email address" in str(email.outcomes)
    assert (await task_of(world, email)).status == "failed"
    assert await world.events(type="email.*") == ["email.queued", "email.failed"]
    for mailer in mailers.values():
        await mailer.close()
    assert replay(world.url).differences == ()


async def test_headers_of_before_go_out_with_their_breaks_as_spaces(world: World, tmp_path: Path):
    email_id = await of_before(world, '"a\u2028\x0b\u0085Bcc: x" <ann@example.org>')
    await work(world, FileOutbox(tmp_path))
    email = await world.desk.emails.get(world.call, email_id)
    written = (tmp_path / f"{email_id}.eml").read_bytes()
    assert (email.status, b"\r\nBcc:" in written) == ("sent", False)
    assert b'\r\nTo: "a Bcc: x" <ann@example.org>\r\n' in written


async def test_what_a_template_puts_into_the_subject_is_not_decoded(world: World, tmp_path: Path):
    await template(world, "t", subject="{{ name }}", text="t", variables=["name"])
    plain: dict[str, Any] = {"subject": None, "text": None, "template": "t"}
    email = await send(world, variables={"name": FORGED}, **plain)
    await work(world, FileOutbox(tmp_path))
    sent = await get(world, email)
    assert (sent.subject, sent.status) == (FORGED, "sent")
    assert b"eve@" not in (tmp_path / f"{email.id}.eml").read_bytes()
    with pytest.raises(LimitExceeded, match="at most 998"):
        await send(world, variables={"name": "x" * 999}, **plain)


@pytest.mark.parametrize("title", [FORGED, "\u202eDeploy", "Lee, Ann <x@y.org>" * 11, "é" * 200, '"' * 200])
async def test_any_title_of_a_question_reaches_its_approvers(world: World, title: str, tmp_path: Path):
    await request(world, "ann@example.org", "bob@example.org", title=title)
    await work_mails(world, FileOutbox(tmp_path))
    heads = [file.read_bytes().partition(b"\r\n\r\n")[0] for file in tmp_path.glob("*.eml")]
    assert len(heads) == 2 and not any(b"\r\nBcc" in head or b"eve@" in head for head in heads)


async def test_an_approver_whom_no_mail_can_reach_keeps_the_others_from_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    posted = Posted()
    with monkeypatch.context() as before:
        before.setattr("mcp_server.kernel.addresses._LOCAL", re.compile("[^@]+"))
        await request(world, "a b@x.org", "ann@example.org")
    await work_mails(world, posted)
    assert [mail.to for mail in posted.mails] == [["ann@example.org"]]
    (short,), _ = await world.desk.events.read(world.call, ReadEvents(type="task.failed", limit=9))
    whole = ReadEvents(type="task.failed", aggregate_id=short.aggregate_id)
    (event,), _ = await world.desk.events.read(world.call, whole)
    assert named("a b@x.org") in str(event.data)


async def test_a_mail_is_written_before_it_is_handed_over(world: World, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    built, handed_over = SmtpMailer.send.__globals__["message"], transactions.hand_over
    monkeypatch.setitem(SmtpMailer.send.__globals__, "message", lambda mail: order.append("written") or built(mail))

    def hand_over(*arguments: Any) -> None:
        order.append("handed over")
        handed_over(*arguments)

    monkeypatch.setattr(transactions, "hand_over", hand_over)
    email = await send(world)
    with smtp_server() as (mailbox, port):
        mailer = SmtpMailer(SmtpOptions("127.0.0.1", port, "none", timeout_seconds=5))
        await work(world, mailer)
        await mailer.close()
    assert (order, len(mailbox.mails), (await get(world, email)).status) == (["written", "handed over"], 1, "sent")
