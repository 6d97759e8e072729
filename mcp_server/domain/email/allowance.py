"""Whom a mail may go to, and how many within an hour."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.kernel.addresses import kept_address, pattern_for, shown_address
from mcp_server.kernel.clocks import JUMP_MIN
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.times import SECOND, Micros, iso

_HOUR = 3600 * SECOND


def outside(spec: EmailSpec, policy: EmailPolicy) -> list[str]:
    """Those to whom the mail may not go without people's yes."""
    return [one for one in spec.everyone() if policy.allow and pattern_for(one, policy.allow) is None]


def fates(spec: EmailSpec, policy: EmailPolicy) -> dict[str, str]:
    """What would happen to the mail at each recipient, and why."""
    return {shown_address(one): _fate(one, policy) for one in spec.everyone()}


def _fate(address: str, policy: EmailPolicy) -> str:
    if not policy.allow:
        return "allowed: this server sends to everyone"
    pattern = pattern_for(address, policy.allow)
    if pattern is not None:
        return f"allowed by {pattern}"
    why = f"on none of the allowed addresses {', '.join(policy.allow)}"
    if policy.approvers:
        return f"needs approval: {why}"
    return f"refused: {why}, and nobody is there to be asked"


def this_hour(now: Micros) -> tuple[Micros, Micros]:
    """Since and until when a mail counts for this hour. What a clock that was ahead dates later says nothing of it."""
    return now - _HOUR, now + JUMP_MIN


def over_the_limit(rows: Iterable[Mapping[str, Any]], per_hour: int | None, more: int) -> LimitExceeded | None:
    """The refusal where a mail is one too many, given the mails of this hour, the oldest first: each counts as often as
    it has recipients."""
    if per_hour is None:
        return None
    if more > per_hour:
        return LimitExceeded(
            f"This email has {more} recipients, and {per_hour} within an hour are allowed (DATAMCP_EMAIL_PER_HOUR).",
            next=f"Send it to {per_hour} at most, and to the others later.",
            details={"per_hour": per_hour, "recipients": more},
        )
    sent = [(row["created_at"], len(_recipients(row))) for row in rows]
    total = sum(count for _, count in sent)
    if total + more <= per_hour:
        return None
    again = iso(_room_at(sent, total + more - per_hour))
    return LimitExceeded(
        f"Emails went to {total} recipients within the last hour, this one has {more}, and {per_hour} are allowed.",
        next=f"Send it again after {again}.",
        details={"per_hour": per_hour, "sent": total, "recipients": more, "again_at": again},
    )


def _room_at(sent: Sequence[tuple[Micros, int]], wanted: int) -> Micros:
    """When so many of those that count now do so no more."""
    for at, count in sent:
        wanted -= count
        if wanted <= 0:
            return at + _HOUR
    raise AssertionError("more was sent than is wanted back")


def _recipients(row: Mapping[str, Any]) -> set[str]:
    return {kept_address(text) for column in ("recipients", "cc", "bcc") for text in json.loads(row[column])}
