"""Whom a mail may go to is told before, and each recipient counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.email.allowance import over_the_limit
from mcp_server.domain.email.commands import SendEmail
from mcp_server.kernel.errors import LimitExceeded, PermissionDenied
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.times import SECOND, iso
from tests.domain.email.test_service import allow, find, send
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_every_recipient_counts_for_the_hour_wherever_it_stands(world: World):
    allow(world, per_hour=5)
    await send(world, "a@x.org", "b@x.org", cc=["c@x.org"], bcc=["d@x.org", "A <a@x.org>"])
    world.clock.advance(600)
    with pytest.raises(
        LimitExceeded, match="to 4 recipients within the last hour, this one has 2, and 5 are"
    ) as refused:
        await send(world, "e@x.org", "f@x.org")
    assert refused.value.details == {
        "per_hour": 5, "sent": 4, "recipients": 2, "again_at": "2027-01-15T09:00:00.000Z",
    }  # fmt: skip
    await send(world, "e@x.org")
    with pytest.raises(LimitExceeded, match="has 6 recipients, and 5 within an hour are allowed.*Send it to 5 at most"):
        await send(world, *(f"{n}@x.org" for n in range(6)))
    world.clock.advance(3001)
    await send(world, "f@x.org", "g@x.org", "h@x.org", "i@x.org")
    assert len((await find(world)).items) == 3


async def test_a_dry_run_says_that_the_hours_limit_would_refuse_it(world: World):
    allow(world, per_hour=1)
    dry = SendEmail.model_validate({"to": ["a@x.org"], "subject": "s", "text": "t", "dry_run": True})
    assert (await world.desk.emails.send(world.call, dry)).warnings is None
    await send(world, "a@x.org")
    warning, twice = (await world.desk.emails.send(world.call, dry)).warnings or ()
    assert warning.startswith("It would be refused now. Emails went to 1 recipients")
    assert twice.startswith("The same words to the same people were queued 0 s ago")
    for to, again in ((("b@x.org", "a@x.org"), True), (("b@x.org",), False)):
        said = (await world.desk.emails.send(world.call, dry.model_copy(update={"to": to}))).warnings or ()
        alike = [one for one in said if "same words" in one]
        assert [one.partition(" were")[0] for one in alike] == ["The same words to a@x.org"] * again


async def test_a_dry_run_says_what_would_happen_at_each_recipient_and_why(world: World):
    listed = "*@example.org, boss@partner.example"
    allow(world, allow=("*@example.org", "boss@partner.example"), approvers=("ann",))
    people: dict[str, Any] = {"cc": ["Boss <BOSS@partner.example>"], "bcc": ["eve%evil.test@example.org"]}
    shown = await send(world, "a@EXAMPLE.org", "x@eхample.org", dry_run=True, **people)
    assert shown.status == "dry_run: would wait for an approval"
    asks = f"needs approval: on none of the allowed addresses {listed}"
    assert shown.recipients == {
        "a@example.org": "allowed by *@example.org",
        "x@eхample.org (x@xn--eample-bsf.org)": asks,
        "BOSS@partner.example": "allowed by boss@partner.example",
        "eve%evil.test@example.org": asks,
    }
    allow(world, allow=("*@example.org",))
    shown = await send(world, "a@example.org", "x@evil.test", dry_run=True)
    assert shown.status == "dry_run: would be refused"
    assert shown.recipients == {
        "a@example.org": "allowed by *@example.org",
        "x@evil.test": "refused: on none of the allowed addresses *@example.org, and nobody is there to be asked",
    }
    with pytest.raises(PermissionDenied, match="may not send to x@evil.test"):
        await send(world, "a@example.org", "x@evil.test")
    allow(world)
    assert (await send(world, "x@y.org", dry_run=True)).recipients == {
        "x@y.org": "allowed: this server sends to everyone"
    }
    assert await world.events() == []


async def test_a_route_through_an_allowed_domain_needs_an_approval_and_is_shown_as_it_is(world: World):
    allow(world, allow=("*@example.org",), approvers=("ann",))
    for route in ("eve%evil.test@example.org", "evil.test!eve@example.org"):
        email = await send(world, route)
        assert email.status == "waiting"
        asked = await world.desk.approvals.get(world.call, email.approval_id or "")
        assert f"Not on the list of allowed recipients: {route}." in asked.action
    assert (await send(world, "eve+evil@example.org")).status == "queued"


@given(
    sent=st.lists(st.tuples(st.integers(0, 3600), st.integers(1, 9)), max_size=12),
    per_hour=st.integers(1, 40),
    more=st.integers(1, 12),
)
def test_what_is_refused_is_taken_when_it_is_said_to_be(sent: list[tuple[int, int]], per_hour: int, more: int):
    now = 3600 * SECOND
    rows = [
        {
            "created_at": at * SECOND,
            "recipients": dump_json([f"{n}@x.org" for n in range(many)]),
            "cc": "[]",
            "bcc": "[]",
        }
        for at, many in sorted(sent)
    ]
    refused = over_the_limit(rows, per_hour, more)
    total = sum(many for _, many in sent)
    assert (refused is None) == (total + more <= per_hour)
    if refused is not None and more <= per_hour:
        later = next(
            at for at in sorted(row["created_at"] for row in rows)
            if over_the_limit([row for row in rows if row["created_at"] > at], per_hour, more) is None
        )  # fmt: skip
        assert refused.details["again_at"] == iso(later + now)
