"""The promises of email, on both engines, with a provider that the test plays."""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.domain.approvals.commands import RequestApproval, Vote
from mcp_server.domain.approvals.voting import user_at
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.email.delivery import EmailDelivery
from mcp_server.domain.email.model import Email, Outcome, outcomes_for
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.email.templates import Rendering
from mcp_server.domain.email.transactions import track
from mcp_server.domain.email.transport import Mail, Mailer, MailProvider, Report
from mcp_server.domain.email.views import EmailState, EmailView
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.rules import TaskAction
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import (
    IdempotencyConflict,
    LimitExceeded,
    NotFound,
    OpsError,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.kernel.events import Origin
from mcp_server.kernel.paging import Listed
from mcp_server.kernel.times import iso
from mcp_server.kernel.understanding import understood
from mcp_server.kernel.views import dumped
from mcp_server.protocol.completions import complete
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import desk_with
from tests.world import World, caller

pytestmark = pytest.mark.anyio
Says = str | BaseException | Report


class Provider:
    """Says what it is told to, in order; then `sent`. Keeps what went out, by recipient."""

    def __init__(self, *says: Says) -> None:
        self.says = list(says)
        self.got: list[tuple[str, str]] = []
        self.mails: list[Mail] = []
        self.after_hand_over: Callable[[], Awaitable[None]] | None = None

    async def send(self, mail: Mail, recipients: Sequence[str], hand_over: Callable[[], Awaitable[None]]) -> Report:
        says = self.says.pop(0) if self.says else "sent"
        if isinstance(says, Report):
            return says
        if says == "deferred":
            return Report(outcomes_for(recipients, "deferred", 451, "later"))
        if says == "failed":
            return Report(outcomes_for(recipients, "failed", 550, "no such user"))
        await hand_over()
        self.mails.append(mail)
        self.got += [(mail.message_id, address) for address in recipients]
        if self.after_hand_over is not None:
            await self.after_hand_over()
        if isinstance(says, BaseException):
            raise says
        return Report(outcomes_for(recipients, "unknown" if says == "unknown" else "sent", 250, says))

    async def close(self) -> None: ...


async def send(world: World, *to: str, **spec: Any) -> EmailState:
    whole = {"to": to or ("ann@example.org",), "subject": "s", "text": "t"} | spec
    return (await world.desk.emails.send(world.call, SendEmail.model_validate(whole))).email


def worker_with(world: World, provider: Mailer) -> SystemWorker:
    return SystemWorker(desk_with(world, world.desk.emails.policy, MailProvider(lambda: provider)), AREAS.kinds)


async def work(world: World, provider: Mailer) -> None:
    worker = worker_with(world, provider)
    while await worker.look():
        await worker.idle()


async def get(world: World, email: EmailState) -> EmailView:
    return await world.desk.emails.get(world.call, email.id or "")


async def task_of(world: World, email: EmailState) -> Any:
    return await world.desk.tasks.get(world.call, email.task_id or "")


async def control(world: World, email: EmailState, action: TaskAction, **more: Any) -> ControlledTasks:
    said = {"task_ids": [email.task_id], "action": action} | more
    return await world.desk.tasks.control(world.call, ControlTasks.model_validate(said))


async def refused(world: World, email: EmailState, action: TaskAction, **more: Any) -> str:
    done = await control(world, email, action, **more)
    assert done.tasks == [] and done.refused is not None
    return done.refused[0].message


async def find(world: World, **narrowed: Any) -> Listed[EmailView]:
    return await world.desk.emails.find(world.call, understood("email_find", FindEmails, narrowed))


def allow(world: World, **changes: Any) -> None:
    world.desk = desk_with(world, EmailPolicy(**changes))


async def template(world: World, key: str, **parts: Any) -> None:
    await world.write("email-templates", key, parts)


async def test_a_mail_goes_out_once_under_a_name_made_of_its_id(world: World):
    provider = Provider()
    email = await send(world, "Ann <ann@example.org>", cc=["bob@example.org"], bcc=["cid@example.org"])
    assert (email.status, email.message_id) == ("queued", f"<{email.id}@localhost>")
    await work(world, provider)
    await work(world, provider)
    done = await get(world, email)
    assert (done.status, sorted(done.outcomes or {})) == (
        "sent",
        ["ann@example.org", "bob@example.org", "cid@example.org"],
    )
    assert len(provider.mails) == 1 and (await task_of(world, email)).status == "completed"
    assert await world.events(type="email.*") == ["email.queued", "email.handed_over", "email.sent"]


async def test_the_same_key_finds_the_first_mail_and_other_content_is_refused(world: World):
    provider = Provider()
    first = await send(world, idempotency_key="k")
    again = await send(world, idempotency_key="k")
    assert (again.id, again.replayed) == (first.id, True)
    with pytest.raises(IdempotencyConflict, match="used for another email"):
        await send(world, idempotency_key="k", text="other")
    await work(world, provider)
    assert len(provider.mails) == 1


async def test_the_same_mail_at_another_time_is_not_said_to_be_another_that_needs_a_new_key(world: World):
    first = await send(world, idempotency_key="k", send_at="2027-02-01T09:00:00Z")
    with pytest.raises(IdempotencyConflict, match="this very mail at another time") as refused:
        await send(world, idempotency_key="k", send_at="2027-02-01T09:00:07Z")
    assert f"{first.id} goes at 2027-02-01T09:00:00" in refused.value.message and "new key" not in refused.value.message
    with pytest.raises(IdempotencyConflict, match="Use a new key for new content"):
        await send(world, idempotency_key="k", send_at="2027-02-01T09:00:07Z", text="other words")


async def test_a_temporary_failure_is_retried_after_about_five_seconds_for_those_it_was_for(world: World):
    busy = Report({"ann@example.org": Outcome("sent", 250, "ok"), "bob@example.org": Outcome("deferred", 451, "full")})
    provider = Provider(busy)
    email = await send(world, "ann@example.org", "bob@example.org")
    await work(world, provider)
    task = await task_of(world, email)
    assert ((await get(world, email)).status, task.status) == ("sending", "pending")
    assert task.run_at == "2027-01-15T08:00:05.000Z"
    world.clock.advance(6)
    await world.settle()
    await work(world, provider)
    assert (await get(world, email)).status == "sent"
    assert provider.got == [(email.message_id, "bob@example.org")], "ann had it already"


async def test_a_provider_that_asks_to_be_left_alone_is(world: World):
    provider = Provider(Report(outcomes_for(["ann@example.org"], "deferred", 429, "slow down"), 120))
    email = await send(world)
    await work(world, provider)
    assert (await task_of(world, email)).run_at == "2027-01-15T08:02:00.000Z"


async def test_a_temporary_failure_that_lasts_ends_as_failed_with_the_reason(world: World):
    provider = Provider(*["deferred"] * 6)
    email = await send(world)
    for _ in range(6):
        await work(world, provider)
        world.clock.advance(2000)
        await world.settle()
    done = await get(world, email)
    assert (done.status, (await task_of(world, email)).status) == ("failed", "failed")
    assert (
        done.outcomes is not None
        and done.outcomes["ann@example.org"].status == "failed"
        and "later" in (done.error or "")
    )


async def test_a_permanent_failure_is_explained_and_not_retried_by_itself_but_by_a_person(world: World):
    provider = Provider("failed")
    email = await send(world)
    await work(world, provider)
    done = await get(world, email)
    assert (done.status, done.error) == ("failed", "ann@example.org: no such user")
    assert (await task_of(world, email)).error == {
        "code": "failed",
        "message": f"Not everyone has got it: email_find(email_id='{email.id}') says why.",
        "attempt": 1,
    }
    await control(world, email, "retry")
    await work(world, provider)
    assert (await get(world, email)).status == "sent"


async def test_some_who_fail_do_not_keep_the_others_from_getting_it(world: World):
    mixed = Report({"ann@example.org": Outcome("sent", 250), "bob@example.org": Outcome("failed", 550, "unknown")})
    email = await send(world, "ann@example.org", "bob@example.org")
    await work(world, Provider(mixed))
    assert ((await get(world, email)).status, (await task_of(world, email)).status) == ("partly_sent", "completed")


@pytest.mark.parametrize("lost", ["the answer", "the process"])
async def test_what_may_have_gone_is_unknown_and_never_sent_again(world: World, lost: str):
    provider = Provider("unknown" if lost == "the answer" else RuntimeError("killed"))
    email = await send(world)
    await work(world, provider)
    for _ in range(3):
        world.clock.advance(2000)
        await world.settle()
        await work(world, provider)
    done = await get(world, email)
    assert (done.status, len(provider.got)) == ("unknown", 1)
    assert (await task_of(world, email)).error["code"] == "unknown"
    await control(world, email, "retry")
    await work(world, provider)
    assert len(provider.got) == 1, "not even a retry by hand sends what may have arrived"


async def test_a_lost_lease_keeps_the_content_from_going_out(world: World):
    provider = Provider()
    email = await send(world)
    (claimed,) = await world.desk.system.claim({"system.email.file": 1}, 30)
    world.clock.advance(31)
    await world.settle()
    with pytest.raises(OpsError, match="does not hold"):
        await world.desk.get(EmailDelivery).deliver(email.id or "", claimed.lease_token, provider)
    assert provider.got == []
    world.clock.advance(6)
    await world.settle()
    await work(world, provider)
    assert len(provider.got) == 1


async def test_a_worker_told_to_stop_waits_for_the_answer_of_a_mail_that_is_going_out(world: World):
    provider, out, answer = Provider(), asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        out.set()
        await answer.wait()

    provider.after_hand_over = pause
    email = await send(world)
    running = asyncio.create_task(worker_with(world, provider).run())
    await out.wait()
    running.cancel()
    await asyncio.sleep(0)
    answer.set()
    await asyncio.gather(running, return_exceptions=True)
    assert (await get(world, email)).status == "sent"
    provider.after_hand_over = None
    await work(world, provider)
    assert len(provider.got) == 1


async def test_a_mail_for_later_waits_and_can_be_cancelled(world: World):
    provider = Provider()
    later = await send(world, send_at="2027-01-15T09:00:00Z")
    never = await send(world, send_at="2027-01-15T09:00:00Z")
    await work(world, provider)
    assert provider.got == []
    await control(world, never, "cancel", reason="wrong text")
    world.clock.advance(3601)
    await world.settle()
    await work(world, provider)
    assert ((await get(world, later)).status, (await get(world, never)).status) == ("sent", "cancelled")
    assert (await get(world, never)).error == "wrong text" and len(provider.got) == 1


async def test_a_mail_for_later_is_moved_with_its_task_and_goes_out_once_at_its_new_time(world: World):
    provider = Provider()
    first, second = [await send(world, send_at="2027-01-15T09:00:00Z", idempotency_key=key) for key in "ab"]
    moved = await control(world, first, "reschedule", run_at="2027-01-15T10:00:00Z", reason="not yet")
    assert (moved.refused, moved.tasks[0].run_at, moved.tasks[0].edited) == (
        None,
        "2027-01-15T10:00:00.000Z",
        ["run_at"],
    )
    assert (await get(world, first)).send_at == "2027-01-15T10:00:00.000Z"
    again = await send(world, send_at="2027-01-15T09:00:00Z", idempotency_key="a")
    assert (again.replayed, again.send_at) == (True, "2027-01-15T10:00:00.000Z"), "the key is of what was said"
    await control(world, second, "run_now")
    assert (await get(world, second)).send_at is None
    await work(world, provider)
    assert provider.got == [(second.message_id, "ann@example.org")]
    world.clock.advance(2 * 3600 - 1)
    await world.settle()
    await work(world, provider)
    assert len(provider.got) == 1
    world.clock.advance(1)
    await world.settle()
    await work(world, provider)
    assert provider.got[1:] == [(first.message_id, "ann@example.org")]
    told = await world.events(aggregate_id=first.id)
    assert told == ["email.queued", "email.rescheduled", "email.handed_over", "email.sent"]
    assert replay(world.url).differences == ()


async def test_a_mail_whose_sending_has_begun_is_not_put_off_and_is_tried_again_sooner(world: World):
    provider = Provider("deferred")
    email = await send(world)
    await work(world, provider)
    assert "its sending has begun" in await refused(world, email, "reschedule", run_at="2027-01-16T00:00:00Z")
    await control(world, email, "run_now")
    await work(world, provider)
    assert ((await get(world, email)).status, (await get(world, email)).send_at) == ("sent", None)


async def test_a_mail_about_which_people_were_asked_goes_when_they_saw_that_it_would(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    later = {"send_at": "2027-01-15T09:00:00Z"}
    granted, waiting = [await send(world, "eve@evil.test", text=text, **later) for text in "ab"]
    await world.decide(caller(id="ann"), granted.approval_id or "", granted=True)
    among = world.call
    world.call = replace(among, correlation_id="approval_aaaaaaaaaaab")
    called = await send(world, **later)
    world.call = among
    gated, agreed = [await send(world, **later) for _ in range(2)]
    for email in (gated, agreed):
        question = RequestApproval(title="t", action="Send it at nine", approvers=("ann",), task_id=email.task_id)
        asked = (await world.desk.approvals.request(world.call, question)).approval
        if email is agreed:
            await world.decide(caller(id="ann"), asked.id, granted=True)
    for email in (granted, waiting, called, gated, agreed):
        for how in ({"action": "reschedule", "run_at": "2027-01-15T08:30:00Z"}, {"action": "run_now"}):
            assert "People were asked about email" in await refused(world, email, **how)
        assert (await get(world, email)).send_at == "2027-01-15T09:00:00.000Z"
    assert "email.rescheduled" not in await world.events(type="email.*")


async def test_a_host_without_a_dot_is_remarked_on_and_a_templates_subject_is_told_as_it_goes_out(world: World):
    await template(world, "bill", subject="Bill for {{ name }}", text="t")
    filled = {"subject": None, "text": None, "template": "bill", "variables": {"name": "Ann"}}
    for more in ({"dry_run": True}, {}):
        mail = SendEmail.model_validate({"to": ["carla@Corvo", "b@c.org"], "cc": ["me@localhost"]} | filled | more)
        told = await world.desk.emails.send(world.call, mail)
        assert "corvo has no dot: a host of your own network?" in (told.warnings or [])
        assert (told.email.subject, told.kept().email.subject) == ("Bill for Ann", None)
    assert (await send(world)).subject is None, "its sender wrote it"


async def test_only_allowed_recipients_get_mail(world: World):
    allow(world, allow=("*@example.org", "boss@corp.test"))
    await send(world, "Ann@Example.ORG", "boss@corp.test")
    with pytest.raises(PermissionDenied, match=r"may not send to eve@evil.test, boss@corp.test.evil") as refused:
        await send(world, "ann@example.org", "eve@evil.test", bcc=["boss@corp.test.evil"])
    assert refused.value.details["allowed"] == ["*@example.org", "boss@corp.test"]
    assert len(await world.events(type="email.*")) == 1


async def test_a_mail_to_somebody_else_waits_for_a_person_and_goes_out_once_or_never(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    provider = Provider()
    yes, no, late = [await send(world, "eve@evil.test", text=f"text {number}") for number in range(3)]
    await work(world, provider)
    assert (yes.status, provider.got) == ("waiting", [])
    shown = await world.desk.approvals.get(world.call, yes.approval_id or "")
    assert shown.details["text"] == "text 0" and shown.details["to"] == ["eve@evil.test"]
    for email, granted in ((yes, True), (no, False)):
        await world.decide(caller(id="ann"), email.approval_id or "", granted)
    world.clock.advance(8 * 86_400)
    await world.settle()
    for _ in range(2):
        await work(world, provider)
    assert [(await get(world, email)).status for email in (yes, no, late)] == ["sent", "rejected", "rejected"]
    assert provider.got == [(yes.message_id, "eve@evil.test")]


async def test_who_is_asked_about_a_mail_sees_all_of_it_or_is_not_asked(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    end = "and now the part that nobody was to see"
    long = {"text": "x\n" * 20_000 + end, "html": "<p>" * 10_000 + end}
    later = {"reply_to": "eve@evil.test", "send_at": "2027-02-01T09:00:00+01:00"}
    files = [{"name": "a.html", "media_type": "text/html", "content_base64": base64.b64encode(b"hi").decode()}]
    email = await send(world, "x@other.org", attachments=files, **long, **later)
    asked = (await world.desk.approvals.get(world.call, email.approval_id or "")).details
    assert (asked["text"], asked["html"]) == (long["text"], long["html"])
    assert (asked["reply_to"], asked["send_at"]) == ("eve@evil.test", "2027-02-01T08:00:00.000Z")
    sha256 = hashlib.sha256(b"hi").hexdigest()
    assert asked["attachments"] == [{"name": "a.html", "media_type": "text/html", "bytes": 2, "sha256": sha256}]
    with pytest.raises(LimitExceeded, match="see all of it"):
        await send(world, "x@other.org", text="é" * 150_000)
    assert len((await find(world)).items) == 1, "nothing was queued"
    await send(world, "ann@example.org", text="é" * 150_000)


async def test_what_became_of_a_mail_is_told_by_the_mail_and_not_by_its_task(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    refused = await send(world, "x@other.org")
    shown = await world.desk.approvals.shown(world.call, refused.approval_id or "")
    ann = caller(id="ann")
    vote = Vote(approve=False, reason="not to x@other.org")
    await world.desk.approvals.decide(ann, user_at(ann, "client"), shown.approval.id, vote, shown.seen)
    failed, late = await send(world, "bob@example.org"), await send(world, "cid@example.org")
    await work(world, Provider("failed", *["deferred"] * 6))
    for _ in range(6):
        world.clock.advance(2000)
        await world.settle()
        await work(world, Provider(*["deferred"] * 6))
    told = [(await get(world, email)).error for email in (refused, failed, late)]
    assert told == [
        "rejected by ann: not to x@other.org",
        "bob@example.org: no such user",
        "cid@example.org: later",
    ]
    other = caller(Role.AGENT, id="other")
    tasks = await world.desk.tasks.find(other, FindTasks(include_system=True, limit=100))
    whole = [await world.desk.tasks.get(other, task.id) for task in tasks.items]
    events, _ = await world.desk.events.read(other, ReadEvents(limit=100))
    seen = str([dumped(one) for one in (*tasks.items, *whole, *events)])
    assert all(email.task_id in seen for email in (refused, failed, late) if email.task_id)
    assert not any(secret in seen for secret in ("other.org", "example.org", "no such user", "later"))


async def test_no_more_than_so_many_an_hour(world: World):
    allow(world, per_hour=2)
    for _ in range(2):
        await send(world)
        world.clock.advance(600)
    with pytest.raises(LimitExceeded, match="after 2027-01-15T09:00:00") as refused:
        await send(world)
    again = "2027-01-15T09:00:00.000Z"
    assert refused.value.details == {"per_hour": 2, "sent": 2, "recipients": 1, "again_at": again}
    world.clock.advance(2401)
    await send(world)


async def test_a_dry_run_shows_the_mail_and_sends_and_stores_nothing(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    shown = await send(world, dry_run=True)
    assert (shown.id, shown.status, shown.subject, shown.text) == (None, "dry_run: would be sent", "s", "t")
    assert (await send(world, "eve@evil.test", dry_run=True)).status == "dry_run: would wait for an approval"
    assert await world.events() == []


async def test_of_an_attached_document_it_is_told_before_and_after_which_version_it_is(world: World):
    for total in (5, 6):
        await world.write("reports", "q3", {"total": total})
    files = [{"namespace": "reports", "key": "q3"}, {"name": "n.txt", "content_base64": "aGVsbG8="}]
    shown = await send(world, attachments=files, dry_run=True)
    email = await send(world, attachments=files)
    await world.write("reports", "q3", {"total": 7})
    for view in (shown, await get(world, email), (await find(world)).items[0]):
        told = [(one.name, one.bytes, one.document) for one in view.attachments or ()]
        assert told == [("q3", 16, "reports/q3@2"), ("n.txt", 5, None)]
    await work(world, provider := Provider())
    assert json.loads(base64.b64decode(provider.mails[0].attachments[0].content_base64)) == {"total": 6}


async def test_a_mail_that_answers_another_goes_into_its_thread(world: World):
    first = await send(world)
    assert first.id and first.message_id
    for reply_to in (first.id, first.message_id):
        provider, answer = Provider(), await send(world, reply_to=reply_to)
        shown = await world.desk.emails.get(world.call, answer.id or "")
        assert shown.reply_to == first.message_id
        await work(world, provider)
        mail = next(one for one in provider.mails if one.message_id == answer.message_id)
        assert (mail.answers, mail.reply_to) == (first.message_id, None)
    with pytest.raises(NotFound):
        await send(world, reply_to="email_222222222222")
    assert (await world.desk.emails.get(world.call, (await send(world, reply_to="a@example.org")).id or "")).reply_to
    assert replay(world.url).differences == ()


async def test_a_reply_that_does_not_say_what_it_is_about_is_about_the_same_and_says_re_once(world: World):
    first = await send(world, subject="Figures for May")
    reply = await send(world, subject=None, reply_to=first.id)
    again = await send(world, subject=None, reply_to=reply.id, dry_run=True)
    said = [(await get(world, one)).subject for one in (first, reply)]
    assert [*said, again.subject] == ["Figures for May", "Re: Figures for May", "Re: Figures for May"]
    assert (await send(world, subject="Other", reply_to=first.id, dry_run=True)).subject == "Other"
    with pytest.raises(ValidationError, match="needs `subject`"):
        await send(world, subject=None, reply_to="ann@example.org")


async def test_a_mail_is_found_by_the_id_of_its_task(world: World):
    email = await send(world)
    assert (await world.desk.emails.get(world.call, email.task_id or "")).id == email.id
    with pytest.raises(NotFound):
        await world.desk.emails.get(caller(Role.AGENT, id="other"), email.task_id or "")


async def test_a_template_that_declares_no_variables_takes_those_that_it_uses(world: World):
    await template(world, "t", subject="Hi {{ name }}", text="{{ order }}")
    plain = {"subject": None, "text": None, "template": "t", "dry_run": True}
    (view,) = await world.desk.emails.templates(world.call)
    assert view.variables == ["name", "order"]
    shown = await send(world, variables={"name": "Ann", "order": 7}, **plain)
    assert shown.subject == "Hi Ann"
    with pytest.raises(ValidationFailed, match='"order" is not among the variables given'):
        await send(world, variables={"name": "Ann"}, **plain)


async def test_a_template_is_a_document_and_its_variables_are_checked(world: World):
    await template(
        world,
        "welcome",
        subject="Hello {{ name }}",
        text="Dear {{ name }},{% for item in items %} {{ item }}{% endfor %}",
        html="<p>{{ name }}</p>",
        variables=["name", "items"],
    )
    plain: dict[str, Any] = {"subject": None, "text": None, "template": "welcome"}
    shown = await send(world, dry_run=True, variables={"name": "<b>Ann</b>", "items": [1, 2]}, **plain)
    assert (shown.subject, shown.text, shown.html, shown.template) == (
        "Hello <b>Ann</b>",
        "Dear <b>Ann</b>, 1 2",
        "<p>&lt;b&gt;Ann&lt;/b&gt;</p>",
        "welcome@1",
    )
    for variables, says in (
        ({"name": "Ann"}, '"items" not given'),
        ({"name": "Ann", "items": [], "x": 1}, '"x" not declared'),
        ({"name": "a\nBcc: eve@evil.test", "items": []}, "line break"),
        ({"name": "a", "items": 5}, "cannot be filled in"),
    ):
        with pytest.raises(ValidationFailed, match=says):
            await send(world, variables=variables, **plain)
    with pytest.raises(NotFound, match="email-templates/none"):
        await send(world, subject=None, text=None, template="none")
    (view,) = await world.desk.emails.templates(world.call)
    assert (view.name, view.version, view.variables) == ("welcome", 1, ["name", "items"])


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ ''.__class__.__mro__ }}", "nothing that is called"),
        ("{{ name.upper() }}", "holds a call"),
        ("{{ 'x' * 10000000000 }}", "holds a multiplication"),
        ("{{ '%1000000000d' % 1 }}", "the operator %"),
        ("{{ range(9) }}", "holds a call"),
        ("{{ self }}", "the name self"),
        ("{% include 'x' %}", "holds an include"),
        ("{% macro m() %}{% endmacro %}", "holds a macro"),
        (
            "{% for a in name %}{% for b in name %}{% for c in name %}{% endfor %}{% endfor %}{% endfor %}",
            "a loop 3 deep",
        ),
        ("{{ name|center(999999999) }}", "the filter center"),
        ("{% if %}", "line 1"),
        ("{{ other }}", "not among the variables given"),
    ],
)
async def test_a_template_cannot_do_more_than_fill_in(world: World, source: str, says: str):
    await template(world, "t", subject="s", text=source, variables=["name"])
    with pytest.raises(ValidationFailed, match=says):
        await send(world, subject=None, text=None, template="t", variables={"name": "ann"})


async def test_a_document_that_is_no_template_is_named_where_templates_are_listed(world: World):
    await template(world, "broken", subject=5)
    await template(world, "empty", subject="s")
    broken, empty = await world.desk.emails.templates(world.call)
    assert "subject" in (broken.problem or "") and "neither text nor html" in (empty.problem or "")


async def test_a_document_that_is_a_text_is_attached_as_it_reads_where_a_text_is_asked_for(world: World):
    provider = Provider()
    await world.write("reports", "label", "RETURN\nto sender")
    document = {"namespace": "reports", "key": "label"}
    await send(
        world, attachments=[{"name": "l.txt", "media_type": "text/plain"} | document, {"name": "l.json"} | document]
    )
    await work(world, provider)
    text, whole = (base64.b64decode(one.content_base64) for one in provider.mails[0].attachments)
    assert (text, whole) == (b"RETURN\nto sender", b'"RETURN\\nto sender"')


async def test_files_come_from_base64_or_a_document_and_are_limited(world: World):
    provider = Provider()
    await world.write("reports", "q3", {"total": 5})
    files = [
        {"name": "a.bin", "content_base64": base64.b64encode(b"\x00\xff").decode()},
        {"name": "q3.json", "namespace": "reports", "key": "q3"},
    ]
    email = await send(world, attachments=files)
    await work(world, provider)
    one, two = provider.mails[0].attachments
    assert (base64.b64decode(one.content_base64), one.media_type) == (b"\x00\xff", "application/octet-stream")
    assert (json.loads(base64.b64decode(two.content_base64)), two.media_type) == ({"total": 5}, "application/json")
    assert [(a.name, a.bytes) for a in (await get(world, email)).attachments or ()] == [("a.bin", 2), ("q3.json", 16)]
    big = {"name": "b", "content_base64": base64.b64encode(b"x" * 600_000).decode()}
    for wrong, error, says in (
        ([big], LimitExceeded, "524288"),
        ([{"name": "a", "content_base64": "%%"}], ValidationFailed, "not base64"),
        ([{"name": "a", "namespace": "reports", "key": "none"}], NotFound, "reports/none"),
    ):
        with pytest.raises(error, match=says):
            await send(world, attachments=wrong)
    for bad in (
        {"name": "../../etc/passwd", "content_base64": ""},
        {"name": "a"},
        {"name": "a", "path": "/etc/passwd"},
    ):
        with pytest.raises((ValidationError, ValidationFailed)):
            await send(world, attachments=[bad])


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": ["ann@example.org\nBcc: eve@evil.test"]},
        {"to": ["ann"]},
        {"to": ["a@b@c"]},
        {"to": ["@example.org"]},
        {"to": ["ann@-bad-.org"]},
        {"to": []},
        {"subject": "Hi\r\nBcc: eve@evil.test"},
        {"subject": ""},
        {"subject": None},
        {"text": None},
        {"reply_to": "x\n<a@b.c>"},
        {"variables": {"a": 1}},
        {"template": "t"},
        {"to": [f"a{n}@example.org" for n in range(60)], "cc": [f"b{n}@example.org" for n in range(60)]},
        {"send_at": "tomorrow"},
    ],
)
async def test_what_makes_no_mail_is_refused_and_nothing_is_queued(world: World, wrong: dict[str, Any]):
    with pytest.raises((ValidationError, ValidationFailed)):
        await send(world, **wrong)
    assert await world.events() == []


async def test_a_webhook_moves_the_status_forwards_only(world: World):
    email = await send(world, "ann@example.org", "bob@example.org")
    await work(world, Provider())
    track = world.desk.emails.track
    id_ = email.id or ""
    assert await track([(id_, "ann@example.org", "opened", None), (id_, "bob@example.org", "delivered", None)]) == 2
    assert (await get(world, email)).status == "delivered"
    assert await track([(id_, "ann@example.org", "delivered", None), ("email_none", "a@b.c", "opened", None)]) == 0
    assert await track([(id_, "eve@evil.test", "opened", None)]) == 0
    assert await track([(id_, "bob@example.org", "bounced", "550 gone")]) == 1
    done = await get(world, email)
    assert done.status == "bounced" and done.outcomes is not None
    assert (done.outcomes["ann@example.org"].status, done.outcomes["bob@example.org"].message) == ("opened", "550 gone")


async def test_a_webhook_resolves_what_was_unknown(world: World):
    email = await send(world)
    await work(world, Provider("unknown"))
    assert await world.desk.emails.track([(email.id or "", "ann@example.org", "delivered", None)]) == 1
    assert (await get(world, email)).status == "delivered"


@pytest.mark.parametrize("fate", ["delivered", "opened", "clicked", "bounced"])
async def test_a_lost_answer_leaves_what_a_webhook_told_of_everybody(world: World, fate: Any):
    email = await send(world)

    def handed_over_and_lost(tx: Any, origin: Origin) -> None:
        mail, event = Email.adopt(tx.one("email_for_update", id=email.id)).handed_over(origin.at)
        tx.record(origin, event)
        assert track(tx, origin, mail.id, "ann@example.org", fate, None)
        found = Email.adopt(tx.one("email_for_update", id=email.id))
        tx.record(origin, found.lost(origin.at)[1])

    await world.database.write(handed_over_and_lost, Origin(world.clock(), "system:server", "c"))
    seen = await get(world, email)
    assert seen.status == fate and seen.outcomes is not None
    assert [outcome.status for outcome in seen.outcomes.values()] == [fate]


@pytest.mark.parametrize("fate", ["bounced", "unknown"])
async def test_what_went_to_one_and_not_surely_to_another_needs_a_look(world: World, fate: Any):
    email = await send(world, "ann@example.org", "bob@example.org")
    fates = {"ann@example.org": Outcome("sent"), "bob@example.org": Outcome(fate)}
    await work(world, Provider(Report(fates)))
    assert (await get(world, email)).status == fate


async def test_mails_are_found_by_recipient_status_and_template(world: World):
    await template(world, "t", subject="s", text="t")
    one = await send(world, "ann@example.org", bcc=["cid@example.org"])
    two = await send(world, "bob@example.org", subject=None, text=None, template="t")
    await work(world, Provider("failed"))
    for narrowed, expected in (
        ({"to": "CID@"}, [one.id]),
        ({"to": "bob@example.org"}, [two.id]),
        ({"template": "t"}, [two.id]),
        ({"status": "waiting"}, []),
        ({}, [two.id, one.id]),
    ):
        found = (await find(world, **narrowed)).items
        assert sorted(e.id or "" for e in found) == sorted(expected), narrowed
        assert all(e.text is None for e in found), "lists leave the text out"
    page, cursor, omitted = await find(world, limit=1)
    rest, _, _ = await find(world, limit=1, cursor=cursor)
    assert ({page[0].id, rest[0].id}, omitted) == ({one.id, two.id}, 1)
    with pytest.raises(NotFound):
        await world.desk.emails.get(world.call, "email_none")


async def test_ids_of_mails_and_approvals_are_completed(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    email = await send(world, "eve@evil.test")
    for argument, id_ in (("email_id", email.id or ""), ("approval_id", email.approval_id or "")):
        assert await complete(world.desk, world.call, argument, id_[:9], {}) == [id_]


async def test_who_may_read_or_send_mail_depends_on_the_role(world: World):
    command = SendEmail(to=("ann@example.org",), subject="s", text="t")
    await world.desk.emails.send(caller(Role.AGENT, "agent", "agent_x"), command)
    with pytest.raises(PermissionDenied, match="emails:send"):
        await world.desk.emails.send(caller(Role.VIEWER), command)


async def test_the_outbox_is_rebuilt_from_its_events(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    provider = Provider("deferred", "failed", RuntimeError("killed"))
    for number in range(5):
        await send(
            world, f"a{number}@example.org", html="<p>é</p>", attachments=[{"name": "a", "content_base64": "YQ=="}]
        )
    await send(world, "eve@evil.test")
    for _ in range(4):
        await work(world, provider)
        world.clock.advance(100)
        await world.settle()
    assert replay(world.url).differences == ()


async def test_templates_are_filled_in_off_the_event_loop_and_two_at_a_time(world: World):
    running, most, place = 0, 0, threading.Lock()
    both, threads = threading.Barrier(2), set[threading.Thread]()

    def slow(what: str, source: str, variables: Any, *, html: bool) -> str:
        nonlocal running, most
        with place:
            running += 1
            most = max(most, running)
        threads.add(threading.current_thread())
        both.wait(60)
        with place:
            running -= 1
        return "filled"

    world.desk = desk_with(world, Rendering(slow))
    await template(world, "t", subject="s", text="t")
    plain: dict[str, Any] = {"subject": None, "text": None, "template": "t", "dry_run": True}
    shown = await asyncio.gather(*(send(world, **plain) for _ in range(4)))
    assert [email.text for email in shown] == ["filled"] * 4
    assert (most, threading.main_thread() in threads) == (2, False)


async def test_mails_of_several_statuses_and_times_are_one_list_with_one_cursor(world: World):
    at: list[str] = []
    for number in range(6):
        at.append(iso(world.clock.now))
        await send(world, f"ann{number % 2}@example.org", send_at="2027-02-01T09:00:00Z", subject=f"{number}")
        world.clock.advance(60)
    mails = (await find(world)).items
    assert [one.subject for one in mails] == ["5", "4", "3", "2", "1", "0"]
    await world.desk.tasks.control(
        world.call, ControlTasks.model_validate({"task_ids": [mails[0].task_id, mails[3].task_id], "action": "cancel"})
    )
    both = {"status": ["queued", "cancelled", "queued"]}

    async def subjects(**narrowed: Any) -> list[str]:
        return [one.subject for one in (await find(world, **narrowed)).items]

    assert await subjects(status="cancelled") == ["5", "2"]
    assert await subjects(**both) == ["5", "4", "3", "2", "1", "0"]
    assert await subjects(**both, since=at[2], until=at[4]) == ["4", "3", "2"]
    assert await subjects(since=at[4]) == ["5", "4"] and await subjects(until=at[1]) == ["1", "0"]
    assert await subjects(**both, to="ann1", since=at[1], until=at[5]) == ["5", "3", "1"]
    pages, cursor = list[str](), None
    while True:
        page = await find(world, **both, limit=2, cursor=cursor)
        pages += [one.subject for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == ["5", "4", "3", "2", "1", "0"]


async def test_what_may_be_asked_of_lists_of_mails_is_told(world: World):
    with pytest.raises(ValidationFailed, match="`since` is later than `until`"):
        await find(world, since="2027-02-01T09:00:00Z", until="2027-01-01T09:00:00Z")
    for said, meant in (("scheduled", "queued"), ("canceled", "cancelled"), ("error", "failed")):
        command = understood("email_find", FindEmails, {"status": [said, "sent"]})
        assert command.statuses() == [meant, "sent"]
    assert understood("email_find", FindEmails, {"status": "sent, failed"}).statuses() == ["sent", "failed"]
