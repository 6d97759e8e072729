"""The same mail within minutes is remarked on, and goes out all the same."""

from typing import Any

import pytest

from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.email.views import SentEmail
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def sent(world: World, call: Call | None = None, **changes: Any) -> SentEmail:
    spec = {"to": ["ann@example.org"], "subject": "Hello", "text": "How are you?"} | changes
    return await world.desk.emails.send(call or world.call, SendEmail.model_validate(spec))


async def test_the_same_mail_within_minutes_is_remarked_on_and_sent(world: World):
    first = await sent(world)
    assert first.warnings is None
    world.clock.advance(40)
    again = await sent(world)
    assert again.email.id != first.email.id and again.email.status == "queued"
    (warning,) = again.warnings or ()
    assert f"40 s ago as {first.email.id}" in warning and "idempotency_key" in warning
    world.clock.advance(700)
    assert (await sent(world)).warnings is None


async def test_other_words_other_people_another_sender_or_a_key_are_no_repeat(world: World):
    await sent(world, idempotency_key="k")
    for other in ({"text": "?"}, {"subject": "Hi"}, {"to": ["bob@example.org"]}, {"idempotency_key": "k"}):
        assert (await sent(world, **other)).warnings is None
    assert (await sent(world, caller(Role.ADMIN, id="another"))).warnings is None
    assert (await sent(world)).warnings is not None


async def test_a_dry_run_of_a_mail_to_more_than_two_says_that_all_see_each_other(world: World):
    together = "All 3 of to and cc see each other's address in this one mail; bcc, or a call each, hides them."
    for dry_run in (True, False):
        for to, warned in (
            ({"to": ("a@example.org", "b@example.org", "c@example.org")}, [together]),
            ({"to": ("a@example.org", "c@example.org"), "cc": ("b@example.org",)}, [together]),
            ({"to": ("a@example.org", "b@example.org")}, None),
            ({"to": ("a@example.org", "Ann <a@example.org>", "b@example.org"), "bcc": ("c@example.org",)}, None),
        ):
            mail = SendEmail.model_validate({"subject": f"s {to}", "text": "t", "dry_run": dry_run, **to})
            assert (await world.desk.emails.send(world.call, mail)).warnings == (warned if dry_run else None)


@pytest.mark.parametrize(
    "first",
    [
        {"to": ["b@x.org", "a@x.org"]},
        {"to": ["Ann <a@X.org>", "b@x.org"]},
        {"to": ["a@x.org"], "bcc": ["b@x.org"]},
        {"to": ["a@x.org", "b@x.org"], "reply_to": "c@x.org", "attachments": [{"name": "f", "content_base64": "QQ=="}]},
    ],
)
async def test_the_same_words_to_the_same_people_are_remarked_on_however_they_are_named(
    world: World, first: dict[str, Any]
):
    told = {"subject": "s", "text": "t"}
    before = (await world.desk.emails.send(world.call, SendEmail.model_validate(told | first))).email.id
    world.clock.advance(60)
    again = told | {"to": ["a@x.org", "b@x.org"], "cc": []}
    for more, what in (({"dry_run": True}, "would go out, too"), ({}, "both go out")):
        warnings = (await world.desk.emails.send(world.call, SendEmail.model_validate(again | more))).warnings or ()
        assert any(f"60 s ago as {before}; " in one and what in one for one in warnings)


@pytest.mark.parametrize("other", [{"text": "u"}, {"subject": "r"}, {"to": ["c@x.org"]}, {"html": "<p>t</p>"}])
async def test_other_words_or_other_people_are_not_remarked_on(world: World, other: dict[str, Any]):
    told = {"subject": "s", "text": "t", "to": ["a@x.org", "b@x.org"]}
    await world.desk.emails.send(world.call, SendEmail.model_validate(told))
    warnings = (await world.desk.emails.send(world.call, SendEmail.model_validate(told | other))).warnings or ()
    assert not any("s ago as" in one for one in warnings)
